// SPDX-License-Identifier: Apache-2.0
// read_mux: two read ports share one AXI port, in turns. Port n has ARID n; what comes back with RID bit 0 = n is its.
// Addresses and valids pass combinationally; RDATA, RRESP and RLAST go to both ports directly.
module read_mux (
    input  logic         clk_i,
    input  logic         rst_i,
    input  logic [  1:0] arvalid_i,
    output logic [  1:0] arready_o,
    input  logic [127:0] araddr_i,
    input  logic [ 15:0] arlen_i,
    output logic [  1:0] rvalid_o,
    input  logic [  1:0] rready_i,
    output logic         arvalid_o,
    input  logic         arready_i,
    output logic [ 63:0] araddr_o,
    output logic [  7:0] arlen_o,
    output logic         arid_o,
    input  logic         rvalid_i,
    output logic         rready_o,
    input  logic         rid_i
);

  // The port that goes first. While an offer stands it is the one that made it: AXI forbids to change an offer.
  logic first_q;

  assign arid_o    = arvalid_i[first_q] ? first_q : !first_q;
  assign arvalid_o = |arvalid_i;
  assign araddr_o  = arid_o ? araddr_i[127:64] : araddr_i[63:0];
  assign arlen_o   = arid_o ? arlen_i[15:8] : arlen_i[7:0];
  assign arready_o = {arready_i && arid_o, arready_i && !arid_o};

  always_ff @(posedge clk_i) begin
    if (rst_i) first_q <= 1'b0;
    else if (arvalid_o) first_q <= arready_i ? !arid_o : arid_o;
  end

  assign rvalid_o = {rvalid_i && rid_i, rvalid_i && !rid_i};
  assign rready_o = rready_i[rid_i];

endmodule
