// SPDX-License-Identifier: Apache-2.0
// add_streams: add with one data port for each of its streams, and the clock that the array keeps between early flags and partial sums.
module add_streams
  import kernel_pkg::*;
#(
    parameter int unsigned CPO = 4,
    parameter int unsigned PARTIAL = 23,
    parameter int unsigned ACCUMULATOR_PIXELS = 64,
    parameter int unsigned CREDITS = 64
) (
    input logic clk_i,
    input logic rst_i,
    input logic frame_valid_i,
    input logic [$bits(frame_flags_t)-1:0] frame_flags_i,
    input logic [CPO*PARTIAL-1:0] frame_partial_i,
    input logic bias_valid_i,
    output logic bias_ready_o,
    input logic [CPO*32-1:0] bias_data_i,
    input logic take_bias_i,
    output logic bias_ready_for_frame_o,
    output logic credit_o,
    output logic sums_valid_o,
    input logic sums_ready_i,
    output logic [CPO*32+1:0] sums_data_o
);
  logic partial_valid;
  frame_flags_t partial_flags;
  logic [CPO*PARTIAL-1:0] partial;
  always_ff @(posedge clk_i) begin
    partial_valid <= frame_valid_i && !rst_i;
    partial_flags <= frame_flags_i;
    partial <= frame_partial_i;
  end
  add #(.CPO(CPO), .PARTIAL(PARTIAL), .ACCUMULATOR_PIXELS(ACCUMULATOR_PIXELS), .CREDITS(CREDITS)) i_add (
      .clk_i, .rst_i, .early_valid_i(frame_valid_i), .early_flags_i(frame_flags_i), .partial_valid_i(partial_valid),
      .partial_flags_i(partial_flags), .partial_i(partial), .bias_valid_i, .bias_ready_o, .bias_i(bias_data_i),
      .take_bias_i, .bias_ready_for_frame_o, .credit_o, .sums_valid_o, .sums_ready_i,
      .sums_first_o(sums_data_o[CPO*32+1]), .sums_last_o(sums_data_o[CPO*32]), .sums_o(sums_data_o[CPO*32-1:0])
  );
endmodule
