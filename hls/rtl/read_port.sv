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

  // The run under way.
  logic busy_q;
  logic [57:0] beat_q;
  logic [31:0] left_q;

  logic [OFFSET:0] to_boundary, length;
  logic last, issue;
  logic [COUNT-1:0] room_q, bursts_q;

  assign to_boundary = (OFFSET + 1)'(BURST) - {1'b0, beat_q[OFFSET-1:0]};
  assign last        = left_q <= 32'(to_boundary);
  assign length      = last ? left_q[OFFSET:0] : to_boundary;
  assign issue       = busy_q && !abort_i && (!arvalid_o || arready_i) && room_q >= COUNT'(length);
  assign cmd_ready_o = !busy_q || (issue && last);

  always_ff @(posedge clk_i) begin
    if (rst_i) busy_q <= 1'b0;
    else if (cmd_ready_o) busy_q <= cmd_valid_i;
  end

  always_ff @(posedge clk_i) begin
    if (cmd_valid_i && cmd_ready_o) begin
      beat_q <= cmd_address_i[63:6];
      left_q <= cmd_beats_i;
    end else if (issue) begin
      beat_q <= beat_q + 58'(length);
      left_q <= left_q - 32'(length);
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) arvalid_o <= 1'b0;
    else if (issue) arvalid_o <= 1'b1;
    else if (arready_i) arvalid_o <= 1'b0;
  end

  always_ff @(posedge clk_i) begin
    if (issue) begin
      araddr_o <= {beat_q, 6'd0};
      arlen_o  <= 8'(length) - 8'd1;
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
      if (issue || pop) room_q <= room_q + COUNT'(pop) - (issue ? COUNT'(length) : '0);
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
