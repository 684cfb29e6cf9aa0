// SPDX-License-Identifier: Apache-2.0
// read_port: besides the rules of its AXI port, every burst lies in its run, and errors are told.
module read_port_properties #(
    parameter int DEPTH = 4,
    parameter int BURST = 2,
    parameter int SPAN  = 4   // bits of an address in beats and of a run's length that vary
) (
    input logic        clk_i,
    input logic        rst_i,
    input logic        cmd_valid_i,
    input logic [SPAN-1:0] cmd_beat_i,
    input logic [SPAN-1:0] cmd_beats_i,
    input logic        beat_ready_i,
    input logic        arready_i,
    input logic        rvalid_i,
    input logic [ 1:0] rresp_i,
    input logic        rlast_i,
    input logic        abort_i,
    input logic        mark_run_i
);
  starts_reset start (.*);

  logic cmd_ready, beat_valid, arvalid, rready, quiet, error;
  logic [511:0] data;
  logic [63:0] araddr;
  logic [7:0] arlen;

  read_port #(
      .DEPTH(DEPTH),
      .BURST(BURST)
  ) dut (
      .clk_i,
      .rst_i,
      .cmd_valid_i,
      .cmd_ready_o  (cmd_ready),
      .cmd_address_i({58'(cmd_beat_i), 6'd0}),
      .cmd_beats_i  (32'(cmd_beats_i)),
      .beat_valid_o (beat_valid),
      .beat_ready_i,
      .beat_data_o  (data),
      .arvalid_o    (arvalid),
      .arready_i,
      .araddr_o     (araddr),
      .arlen_o      (arlen),
      .rvalid_i,
      .rready_o     (rready),
      .rdata_i      ('0),
      .rresp_i,
      .rlast_i,
      .abort_i,
      .quiet_o      (quiet),
      .error_o      (error)
  );

  read_rules #(
      .ROOM (DEPTH),
      .BURST(BURST)
  ) rules (
      .clk_i,
      .rst_i,
      .arvalid_i(arvalid),
      .arready_i,
      .araddr_i (araddr),
      .arlen_i  (arlen),
      .rvalid_i,
      .rready_i (rready),
      .rlast_i,
      .beat_i   (beat_valid && beat_ready_i),
      .abort_i,
      .quiet_i  (quiet)
  );

  // A run of any number: bursts of the runs before it, then its own, one behind the other.
  wire taken = cmd_valid_i && cmd_ready;
  wire asked = arvalid && arready_i;
  wire [31:0] length = 32'(arlen) + 32'd1;
  logic marked_q;
  logic [31:0] before_q, left_q;
  logic [57:0] next_q;
  wire mark = taken && mark_run_i && !marked_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      marked_q <= 1'b0;
      before_q <= '0;
      left_q   <= '0;
    end else begin
      if (mark) marked_q <= 1'b1;
      if (mark) begin
        left_q <= 32'(cmd_beats_i);
        next_q <= 58'(cmd_beat_i);
      end
      if (!marked_q) before_q <= before_q + (taken && !mark ? 32'(cmd_beats_i) : 0) - (asked ? length : 0);
      else if (asked && before_q != 0) before_q <= before_q - length;
      else if (asked && left_q != 0) begin
        left_q <= left_q - length;
        next_q <= next_q + 58'(length);
      end
    end
  end

  // How the port's registers stand to what was seen.
  wire [31:0] offered = arvalid ? length : 0;
  wire [$clog2(DEPTH):0] stored = dut.beats.write_q - dut.beats.read_q;
  wire [31:0] run_left = 32'(dut.length_q) + (dut.last_q ? 0 : dut.behind_q);
  wire [31:0] boundary = BURST - 32'(dut.beat_q[$clog2(BURST)-1:0]);
  wire more = 32'(dut.length_q) == boundary && dut.behind_q != 0 && dut.behind_q[31:SPAN] == '0;
  wire [31:0] to_ask = dut.busy_q ? run_left : 0;
  logic [31:0] bursts;
  always_comb begin
    bursts = 32'(arvalid);
    for (int n = 0; n < DEPTH; n++) bursts += 32'(rules.lasts_q[n]);
    if (!rst_i) begin
      of_room: assert (32'(dut.room_q) + offered + 32'(rules.under_way_q) + 32'(rules.stored_q) <= DEPTH);
      of_bursts: assert (32'(dut.bursts_q) == bursts);
      of_length: assert (!dut.busy_q || (dut.length_q != 0 && 32'(dut.length_q) <= boundary));
      of_behind: assert (!dut.busy_q || dut.last_q || more);
      of_offer: assert (32'(arlen) < BURST || !arvalid);
      of_lasts: assert ((rules.lasts_q >> rules.under_way_q) == 0 && (rules.under_way_q == 0 || rules.lasts_q[rules.under_way_q-1]));
      of_unmarked: assert (marked_q || abort_i || before_q == offered + to_ask);
      of_before: assert (!marked_q || abort_i || before_q == 0 ||
                         (before_q == offered && dut.busy_q && run_left == left_q && dut.beat_q == next_q));
      of_marked: assert (!marked_q || abort_i || before_q != 0 || left_q == 0 ||
                         (left_q == offered && araddr[63:6] == next_q) ||
                         (left_q == offered + to_ask && dut.busy_q && dut.beat_q == next_q + 58'(offered) &&
                          (!arvalid || araddr[63:6] == next_q)));
      of_align: assert (!arvalid || (araddr[5:0] == 0 && 9'(araddr[6+:$clog2(BURST)]) + 9'(arlen) < BURST));
      of_fifo: assert (32'(rules.stored_q) == 32'(stored));
    end
  end

  logic aborted_q;
  always_ff @(posedge clk_i) aborted_q <= abort_i && !rst_i;

  logic error_q;
  always_ff @(posedge clk_i) error_q <= rvalid_i && rresp_i[1] && !rst_i;

  always_comb begin
    if (!rst_i) tells_error: assert (error == error_q);
    assume (!aborted_q || abort_i);
    assume (cmd_beats_i != '0 && {1'b0, cmd_beat_i} + {1'b0, cmd_beats_i} <= {1'b1, {SPAN{1'b0}}});
    if (!rst_i && !abort_i && arvalid && marked_q) begin
      run_before: assert (before_q == 0 || length <= before_q);
      run_inside: assert (before_q != 0 || left_q == 0 || (araddr[63:6] == next_q && length <= left_q));
    end
  end
endmodule
