// SPDX-License-Identifier: Apache-2.0
// read_mux: an offer on the shared port stands with its number; each port's address goes out once, as it is; neither port is
// passed over twice; answers go to the port of their number.
module read_mux_properties (
    input logic         clk_i,
    input logic         rst_i,
    input logic [  1:0] arvalid_i,
    input logic [127:0] araddr_i,
    input logic [ 15:0] arlen_i,
    input logic [  1:0] rready_i,
    input logic         arready_i,
    input logic         rvalid_i,
    input logic         rid_i
);
  logic [1:0] arready, rvalid;
  logic arvalid, arid, rready;
  logic [63:0] araddr;
  logic [7:0] arlen;

  starts_reset start (.*);

  read_mux dut (
      .clk_i,
      .rst_i,
      .arvalid_i,
      .arready_o(arready),
      .araddr_i,
      .arlen_i,
      .rvalid_o (rvalid),
      .rready_i,
      .arvalid_o(arvalid),
      .arready_i,
      .araddr_o (araddr),
      .arlen_o  (arlen),
      .arid_o   (arid),
      .rvalid_i,
      .rready_o (rready),
      .rid_i
  );

  // The ports' own offers stand.
  logic [1:0] waits_q;
  logic [127:0] port_address_q;
  logic [15:0] port_length_q;
  logic stands_q, id_q;
  logic [63:0] address_q;
  logic [7:0] length_q;
  logic [1:0] passed_q[2];  // bursts of the other port since this one waits

  always_ff @(posedge clk_i) begin
    waits_q        <= rst_i ? '0 : arvalid_i & ~arready;
    port_address_q <= araddr_i;
    port_length_q  <= arlen_i;
    stands_q       <= arvalid && !arready_i && !rst_i;
    id_q           <= arid;
    address_q      <= araddr;
    length_q       <= arlen;
    for (int n = 0; n < 2; n++) begin
      if (rst_i || !arvalid_i[n] || arready[n]) passed_q[n] <= '0;
      else if (arready[1-n] && arvalid_i[1-n]) passed_q[n] <= passed_q[n] + 2'd1;
    end
  end

  always_comb begin
    for (int n = 0; n < 2; n++) begin
      assume (!waits_q[n] || (arvalid_i[n] && araddr_i[64*n+:64] == port_address_q[64*n+:64] &&
                              arlen_i[8*n+:8] == port_length_q[8*n+:8]));
    end
    if (!rst_i) begin
      stands: assert (!stands_q || (arvalid && arid == id_q && araddr == address_q && arlen == length_q));
      is_asked: assert (!arvalid || (arvalid_i[arid] && araddr == araddr_i[64*arid+:64] && arlen == arlen_i[8*arid+:8]));
      goes_once: assert ((arready & arvalid_i) == (arvalid && arready_i ? 2'b01 << arid : 2'b00));
      fair: assert (passed_q[0] <= 2'd1 && passed_q[1] <= 2'd1);
      answers: assert (rvalid == (rvalid_i ? 2'b01 << rid_i : 2'b00) && rready == rready_i[rid_i]);
    end
  end

endmodule
