// SPDX-License-Identifier: Apache-2.0
// What an AXI4 read port with aligned bursts and reserved room may do, and a memory that answers it in order. Everything is
// said of ports. `room`: beats that may be under way or stored.
module read_rules #(
    parameter int ROOM  = 4,
    parameter int BURST = 2
) (
    input logic        clk_i,
    input logic        rst_i,
    input logic        arvalid_i,
    input logic        arready_i,
    input logic [63:0] araddr_i,
    input logic [ 7:0] arlen_i,
    input logic        rvalid_i,
    input logic        rready_i,
    input logic        rlast_i,
    input logic        beat_i,     // a beat leaves the port
    input logic        abort_i,
    input logic        quiet_i
);
  localparam int COUNT = $clog2(2 * ROOM + BURST + 1);
  localparam int OFFSET = $clog2(BURST);

  // The memory: a bit for each beat under way, the oldest lowest; a one ends a burst.
  logic [ROOM-1:0] lasts_q;
  logic [COUNT-1:0] under_way_q, stored_q;
  wire asked = arvalid_i && arready_i;
  wire came = rvalid_i && rready_i;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      lasts_q     <= '0;
      under_way_q <= '0;
      stored_q    <= '0;
    end else begin
      lasts_q <= (lasts_q | (asked ? ROOM'(1) << (under_way_q + COUNT'(arlen_i)) : '0)) >> came;
      under_way_q <= under_way_q + (asked ? COUNT'(arlen_i) + COUNT'(1) : '0) - COUNT'(came);
      stored_q <= stored_q + COUNT'(came && !abort_i) - COUNT'(beat_i);
    end
  end

  always_comb begin
    assume (!rvalid_i || under_way_q != '0);
    assume (rlast_i == lasts_q[0]);
  end

  // An offer stands until it is taken.
  logic waits_q;
  logic [63:0] address_q;
  logic [7:0] length_q;

  always_ff @(posedge clk_i) begin
    waits_q   <= arvalid_i && !arready_i && !rst_i;
    address_q <= araddr_i;
    length_q  <= arlen_i;
  end

  always_comb begin
    if (!rst_i) begin
      offer_stands: assert (!waits_q || (arvalid_i && araddr_i == address_q && arlen_i == length_q));
      aligned: assert (!arvalid_i || araddr_i[5:0] == '0);
      one_window: assert (!arvalid_i || 9'(araddr_i[6+:OFFSET]) + 9'(arlen_i) < 9'(BURST));
      always_ready: assert (rready_i);
      room: assert (32'(under_way_q) + (arvalid_i ? 32'(arlen_i) + 1 : 0) + 32'(stored_q) <= ROOM);
      stored: assert (!beat_i || stored_q != '0);
      quiet: assert (!quiet_i || (under_way_q == '0 && !arvalid_i));
    end
  end

endmodule
