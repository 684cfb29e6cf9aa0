// SPDX-License-Identifier: Apache-2.0
// read_runs: for each group, for each strip, one run at address + group * stride; offers stand; nothing is left out.
module read_runs_properties #(
    parameter int BITS = 3  // of the counts, strides and addresses that vary
) (
    input logic            clk_i,
    input logic            rst_i,
    input logic            cmd_valid_i,
    input logic [BITS-1:0] cmd_beat_i,
    input logic [BITS-1:0] cmd_run_beats_i,
    input logic [BITS-1:0] cmd_group_stride_i,
    input logic [BITS-1:0] cmd_group_count_i,
    input logic [BITS-1:0] cmd_strip_count_i,
    input logic            run_ready_i
);
  logic cmd_ready, run_valid;
  logic [63:0] run_address;
  logic [31:0] run_beats;

  starts_reset start (.*);

  read_runs dut (
      .clk_i,
      .rst_i,
      .cmd_valid_i,
      .cmd_ready_o       (cmd_ready),
      .cmd_address_i     (64'({cmd_beat_i, 6'd0})),
      .cmd_run_beats_i   (32'(cmd_run_beats_i)),
      .cmd_group_stride_i(32'(cmd_group_stride_i)),
      .cmd_group_count_i (32'(cmd_group_count_i)),
      .cmd_strip_count_i (32'(cmd_strip_count_i)),
      .run_valid_o       (run_valid),
      .run_ready_i,
      .run_address_o     (run_address),
      .run_beats_o       (run_beats)
  );

  always_comb assume (cmd_group_count_i != '0 && cmd_strip_count_i != '0);

  // The command at work, and how far it is.
  wire taken = cmd_valid_i && cmd_ready;
  wire step = run_valid && run_ready_i;
  logic busy_q, waits_q;
  logic [BITS-1:0] stride_q, group_q, groups_q, strip_q, strips_q, beats_q;
  logic [2*BITS:0] beat_q;  // of the run to come
  logic [63:0] address_q;
  logic [31:0] length_q;
  wire last_strip = strip_q == strips_q - 1'b1;
  wire last = last_strip && group_q == groups_q - 1'b1;

  always_ff @(posedge clk_i) begin
    waits_q   <= run_valid && !run_ready_i && !rst_i;
    address_q <= run_address;
    length_q  <= run_beats;
    if (rst_i) busy_q <= 1'b0;
    else if (taken) begin
      busy_q   <= cmd_run_beats_i != '0;
      beats_q  <= cmd_run_beats_i;
      stride_q <= cmd_group_stride_i;
      groups_q <= cmd_group_count_i;
      strips_q <= cmd_strip_count_i;
      beat_q   <= (2 * BITS + 1)'(cmd_beat_i);
      group_q  <= '0;
      strip_q  <= '0;
    end else if (step) begin
      if (last) busy_q <= 1'b0;
      strip_q <= last_strip ? '0 : strip_q + 1'b1;
      if (last_strip) begin
        group_q <= group_q + 1'b1;
        beat_q  <= beat_q + (2 * BITS + 1)'(stride_q);
      end
    end
  end

  always_comb begin
    if (!rst_i) begin
      stands: assert (!waits_q || (run_valid && run_address == address_q && run_beats == length_q));
      runs: assert (!run_valid || (busy_q && run_address == 64'({beat_q, 6'd0}) && run_beats == 32'(beats_q)));
      finishes: assert (!taken || !busy_q || (step && last));
    end
  end

endmodule
