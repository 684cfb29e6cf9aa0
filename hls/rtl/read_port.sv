// SPDX-License-Identifier: Apache-2.0
// read_port: runs of beats from memory, a beat a clock. Bursts end at multiples of BURST beats; a burst is issued once the
// FIFO has room for all of it, so memory never waits. A run's first burst follows the last one of the run before directly.
module read_port #(
    parameter int DEPTH = 256,  // beats under way or stored; covers the memory's latency
    parameter int BURST = 64    // largest burst in beats
) (
    input  logic         clk_i,
    input  logic         rst_i,
    input  logic         cmd_valid_i,
    output logic         cmd_ready_o,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [ 63:0] cmd_address_i,  // the lowest six bits are zero
    // verilator lint_on UNUSEDSIGNAL
    input  logic [ 31:0] cmd_beats_i,
    output logic         beat_valid_o,
    input  logic         beat_ready_i,
    output logic [511:0] beat_data_o,
    output logic         arvalid_o,
    input  logic         arready_i,
    output logic [ 63:0] araddr_o,
    output logic [  7:0] arlen_o,
    input  logic         rvalid_i,
    output logic         rready_o,
    input  logic [511:0] rdata_i,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [  1:0] rresp_i,        // bit 1 marks an error
    // verilator lint_on UNUSEDSIGNAL
    input  logic         rlast_i,
    input  logic         abort_i,
    output logic         quiet_o,
    output logic         error_o
);

  localparam int OFFSET = $clog2(BURST);
  localparam int COUNT = $clog2(DEPTH) + 1;

`ifndef __ICARUS__  // knows no elaboration tasks
  if (BURST < 2 || BURST > 64 || BURST != 1 << OFFSET || DEPTH < BURST) begin : g_check
    $error("read_port: BURST must be a power of two, 2..64, and DEPTH at least BURST");
  end
`endif

  // The run under way: its next burst, whether it is the last, and the beats behind it. Bursts but the first begin at a boundary.
  logic busy_q, last_q;
  logic [57:0] beat_q;
  logic [OFFSET:0] length_q;
  logic [31:0] behind_q;

  logic [OFFSET:0] to_boundary;
  logic [32:0] beyond;  // negative: the run ends before a boundary
  (* keep *) logic issue;
  logic [COUNT-1:0] room_q, bursts_q;

  assign to_boundary = (OFFSET + 1)'(BURST) - {1'b0, cmd_address_i[OFFSET+5:6]};
  assign beyond      = {1'b0, cmd_beats_i} - 33'(to_boundary);
  assign issue       = busy_q && !abort_i && (!arvalid_o || arready_i) && room_q >= COUNT'(length_q);
  assign cmd_ready_o = !busy_q || (issue && last_q);

  always_ff @(posedge clk_i) begin
    if (rst_i) busy_q <= 1'b0;
    else if (cmd_ready_o) busy_q <= cmd_valid_i;
  end

  // The choice does not wait for `issue`, which is late; what is loaded without a command is not used.
  always_ff @(posedge clk_i) begin
    if (!busy_q || issue) begin
      if (!busy_q || last_q) begin
        beat_q   <= cmd_address_i[63:6];
        length_q <= beyond[32] ? cmd_beats_i[OFFSET:0] : to_boundary;
        last_q   <= beyond[32] || beyond[31:0] == '0;
        behind_q[31:OFFSET] <= beyond[31:OFFSET];
      end else begin
        beat_q   <= {beat_q[57:OFFSET] + 1'b1, OFFSET'(0)};
        length_q <= behind_q[31:OFFSET] != '0 ? (OFFSET + 1)'(BURST) : behind_q[OFFSET:0];
        last_q   <= behind_q <= 32'(BURST);
        behind_q[31:OFFSET] <= behind_q[31:OFFSET] - 1'b1;
      end
    end
    if (!busy_q || (issue && last_q)) behind_q[OFFSET-1:0] <= beyond[OFFSET-1:0];
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) arvalid_o <= 1'b0;
    else if (issue) arvalid_o <= 1'b1;
    else if (arready_i) arvalid_o <= 1'b0;
  end

  always_ff @(posedge clk_i) begin
    if (issue) begin
      araddr_o <= {beat_q, 6'd0};
      arlen_o  <= 8'(length_q) - 8'd1;
    end
  end

  // Room that no burst has been promised, and bursts whose last beat has not come.
  logic pop, burst_end;
  assign pop       = beat_valid_o && beat_ready_i;
  assign burst_end = rvalid_i && rlast_i;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      room_q   <= COUNT'(DEPTH);
      bursts_q <= '0;
    end else begin
      if (issue || pop) room_q <= room_q + COUNT'(pop) - (issue ? COUNT'(length_q) : '0);
      if (issue != burst_end) bursts_q <= issue ? bursts_q + 1'b1 : bursts_q - 1'b1;
    end
  end

  assign quiet_o  = bursts_q == '0;
  assign rready_o = 1'b1;

  always_ff @(posedge clk_i) error_o <= !rst_i && rvalid_i && rresp_i[1];

  // verilator lint_off PINCONNECTEMPTY
  fifo #(
      .WIDTH(512),
      .DEPTH(DEPTH)
  ) beats (
      .clk_i,
      .rst_i,
      .valid_i(rvalid_i && !abort_i),
      .ready_o(),                      // room was reserved
      .data_i (rdata_i),
      .valid_o(beat_valid_o),
      .ready_i(beat_ready_i),
      .data_o (beat_data_o)
  );
  // verilator lint_on PINCONNECTEMPTY

endmodule
