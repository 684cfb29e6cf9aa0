// SPDX-License-Identifier: Apache-2.0
// add: the accumulators of a strip. Partial sums are added to what the pass before left, the first pass to the bias; the last pass goes out.
// A sum is written a clock after it was read, so a pixel's passes must be PASS_SPACING (cvt) clocks apart. The output never waits: cvt
// issues no frame of a last pass for which the FIFO here has no room.
module add
  import kernel_pkg::*;
#(
    parameter int unsigned CPO = 8,
    parameter int unsigned PARTIAL = 23,
    parameter int unsigned ACCUMULATOR_PIXELS = 8192,
    parameter int unsigned CREDITS = 64
) (
    input logic clk_i,
    input logic rst_i,
    input logic early_valid_i,
    // verilator lint_off UNUSEDSIGNAL
    input frame_flags_t early_flags_i,  // some flags matter before the array only
    input logic partial_valid_i,
    input frame_flags_t partial_flags_i,
    // verilator lint_on UNUSEDSIGNAL
    input logic [CPO*PARTIAL-1:0] partial_i,
    // one bias for each output group
    input logic bias_valid_i,
    output logic bias_ready_o,
    input logic [CPO*32-1:0] bias_i,
    input logic take_bias_i,  // a first frame is on its way and will need the next bias
    output logic bias_ready_for_frame_o,
    // finished sums
    output logic credit_o,
    output logic sums_valid_o,
    input logic sums_ready_i,
    output logic sums_first_o,
    output logic sums_last_o,
    output logic [CPO*32-1:0] sums_o
);
  localparam int unsigned INDEX_BITS = $clog2(ACCUMULATOR_PIXELS);

  // Biases: those in the FIFO that no frame has claimed yet.
  // verilator lint_off UNUSEDSIGNAL
  logic bias_valid;  // claimed biases are there
  // verilator lint_on UNUSEDSIGNAL
  logic take;
  logic [CPO*32-1:0] bias;
  logic [2:0] unclaimed;
  fifo #(.WIDTH(CPO * 32), .DEPTH(4)) i_biases (
      .clk_i, .rst_i, .valid_i(bias_valid_i), .ready_o(bias_ready_o), .data_i(bias_i),
      .valid_o(bias_valid), .ready_i(take), .data_o(bias)
  );
  assign bias_ready_for_frame_o = unclaimed != 0;
  assign take = partial_valid_i && partial_flags_i.first_pass && partial_flags_i.last_frame;
  always_ff @(posedge clk_i) begin
    unclaimed <= unclaimed + 3'(bias_valid_i && bias_ready_o) - 3'(take_bias_i);
    if (rst_i) unclaimed <= '0;
  end

  // The accumulators.
  (* ram_style = "block" *) logic [CPO*32-1:0] memory[ACCUMULATOR_PIXELS];
  logic [INDEX_BITS-1:0] early_index, index;
  logic [CPO*32-1:0] so_far, total;
  always_comb begin
    for (int lane = 0; lane < CPO; ++lane)
      total[lane*32+:32] = (partial_flags_i.first_pass ? bias[lane*32+:32] : so_far[lane*32+:32]) +
          32'(signed'(partial_i[lane*PARTIAL+:PARTIAL]));
  end
  wire keep = partial_valid_i && !partial_flags_i.last_pass;
  always_ff @(posedge clk_i) begin
    if (early_valid_i) begin
      if (!early_flags_i.first_pass) so_far <= memory[early_index];
      early_index <= early_flags_i.last_frame ? '0 : early_index + 1'b1;
    end
    if (keep) memory[index] <= total;
    if (partial_valid_i) index <= partial_flags_i.last_frame ? '0 : index + 1'b1;
    if (rst_i) {early_index, index} <= '0;
  end

  // Finished sums.
  logic out_valid, out_first, out_last, at_first;
  logic [CPO*32-1:0] out;
  always_ff @(posedge clk_i) begin
    out_valid <= partial_valid_i && partial_flags_i.last_pass && !rst_i;
    if (partial_valid_i && partial_flags_i.last_pass) begin
      out <= total;
      out_first <= at_first;
      out_last <= partial_flags_i.last_frame;
      at_first <= partial_flags_i.last_frame;
    end
    if (rst_i) at_first <= 1'b1;
  end
  // verilator lint_off UNUSEDSIGNAL
  logic unused_ready;  // there is always room
  // verilator lint_on UNUSEDSIGNAL
  fifo #(.WIDTH(CPO * 32 + 2), .DEPTH(CREDITS)) i_sums (
      .clk_i, .rst_i, .valid_i(out_valid), .ready_o(unused_ready), .data_i({out_first, out_last, out}),
      .valid_o(sums_valid_o), .ready_i(sums_ready_i), .data_o({sums_first_o, sums_last_o, sums_o})
  );
  assign credit_o = sums_valid_o && sums_ready_i;

endmodule
