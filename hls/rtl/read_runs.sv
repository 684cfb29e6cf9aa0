// SPDX-License-Identifier: Apache-2.0
// read_runs: the runs that a layer reads for its groups and strips, as commands for a read port: for each group, for each
// strip, the run at address + group * stride. One a clock; a command of no beats yields none.
module read_runs (
    input  logic        clk_i,
    input  logic        rst_i,
    input  logic        cmd_valid_i,
    output logic        cmd_ready_o,
    input  logic [63:0] cmd_address_i,
    input  logic [31:0] cmd_run_beats_i,
    input  logic [31:0] cmd_group_stride_i,
    input  logic [31:0] cmd_group_count_i,
    input  logic [31:0] cmd_strip_count_i,
    output logic        run_valid_o,
    input  logic        run_ready_i,
    output logic [63:0] run_address_o,
    output logic [31:0] run_beats_o
);

  logic [31:0] stride_q, groups_q, strips_q, strip_count_q;
  logic take, step, last_strip, last;

  assign last_strip  = strips_q == 32'd1;
  assign last        = last_strip && groups_q == 32'd1;
  assign step        = run_valid_o && run_ready_i;
  assign cmd_ready_o = !run_valid_o || (step && last);
  assign take        = cmd_valid_i && cmd_ready_o;

  always_ff @(posedge clk_i) begin
    if (rst_i) run_valid_o <= 1'b0;
    else if (cmd_ready_o) run_valid_o <= cmd_valid_i && cmd_run_beats_i != '0;
  end

  always_ff @(posedge clk_i) begin
    if (take) begin
      run_address_o <= cmd_address_i;
      run_beats_o   <= cmd_run_beats_i;
      stride_q      <= cmd_group_stride_i;
      groups_q      <= cmd_group_count_i;
      strips_q      <= cmd_strip_count_i;
      strip_count_q <= cmd_strip_count_i;
    end else if (step) begin
      strips_q <= last_strip ? strip_count_q : strips_q - 32'd1;
      if (last_strip) begin
        run_address_o <= run_address_o + {26'd0, stride_q, 6'd0};
        groups_q      <= groups_q - 32'd1;
      end
    end
  end

endmodule
