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
  logic one_strip_q, last_strip_q, last_group_q;  // of a group; the counters are at their ends
  logic step;

  assign step        = run_valid_o && run_ready_i;
  assign cmd_ready_o = !run_valid_o || (step && last_strip_q && last_group_q);

  always_ff @(posedge clk_i) begin
    if (rst_i) run_valid_o <= 1'b0;
    else if (cmd_ready_o) run_valid_o <= cmd_valid_i && cmd_run_beats_i != '0;
  end

  // The choice does not wait for `step`, which is late; what is loaded without a command is not used.
  always_ff @(posedge clk_i) begin
    if (!run_valid_o || step) begin
      if (!run_valid_o || (last_strip_q && last_group_q)) begin
        run_address_o <= cmd_address_i;
        run_beats_o   <= cmd_run_beats_i;
        stride_q      <= cmd_group_stride_i;
        groups_q      <= cmd_group_count_i;
        strips_q      <= cmd_strip_count_i;
        strip_count_q <= cmd_strip_count_i;
        one_strip_q   <= cmd_strip_count_i == 32'd1;
        last_strip_q  <= cmd_strip_count_i == 32'd1;
        last_group_q  <= cmd_group_count_i == 32'd1;
      end else begin
        strips_q     <= last_strip_q ? strip_count_q : strips_q - 32'd1;
        last_strip_q <= last_strip_q ? one_strip_q : strips_q == 32'd2;
        if (last_strip_q) begin
          run_address_o <= run_address_o + {26'd0, stride_q, 6'd0};
          groups_q      <= groups_q - 32'd1;
          last_group_q  <= groups_q == 32'd2;
        end
      end
    end
  end

endmodule
