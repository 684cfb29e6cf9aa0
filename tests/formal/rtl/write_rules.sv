// SPDX-License-Identifier: Apache-2.0
// What an AXI4 write port with aligned bursts may do, and a memory that answers a burst once its address and its last beat
// have come. Everything is said of ports.
module write_rules #(
    parameter int BURST = 4
) (
    input logic         clk_i,
    input logic         rst_i,
    input logic         awvalid_i,
    input logic         awready_i,
    input logic [ 63:0] awaddr_i,
    input logic [  7:0] awlen_i,
    input logic         wvalid_i,
    input logic         wready_i,
    input logic [511:0] wdata_i,
    input logic [ 63:0] wstrb_i,
    input logic         wlast_i,
    input logic         bvalid_i,
    input logic         bready_i,
    input logic         quiet_i
);
  localparam int OFFSET = $clog2(BURST);
  localparam int COUNT = 9;

  wire asked = awvalid_i && awready_i;
  wire sent = wvalid_i && wready_i;
  wire answered = bvalid_i && bready_i;

  // Bursts: addresses without a response, last beats without a response, offered addresses whose last beat has not gone.
  logic [COUNT-1:0] open_q, complete_q, owed_q;
  logic waits_q;
  wire offered = awvalid_i && !waits_q;
  wire [COUNT-1:0] owed = owed_q + COUNT'(offered);

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      open_q     <= '0;
      complete_q <= '0;
      owed_q     <= '0;
    end else begin
      open_q     <= open_q + COUNT'(asked) - COUNT'(answered);
      complete_q <= complete_q + COUNT'(sent && wlast_i) - COUNT'(answered);
      owed_q     <= owed - COUNT'(sent && wlast_i);
    end
  end

  always_comb assume (!bvalid_i || (open_q != '0 && complete_q != '0 && !complete_q[COUNT-1]));

  // Any one burst: it has as many beats as its address says.
  logic mark, follows_q, mark_q;  // `follows_q`: it is still to be sent
  logic [COUNT-1:0] ahead_q;
  logic [7:0] length_q, beat_q;

  // An offer and a beat stand until they are taken.
  logic beat_waits_q, wlast_q;
  logic [63:0] address_q, strobe_q;
  logic [7:0] awlen_q;
  logic [511:0] data_q;

  always_ff @(posedge clk_i) begin
    waits_q      <= awvalid_i && !awready_i && !rst_i;
    address_q    <= awaddr_i;
    awlen_q      <= awlen_i;
    beat_waits_q <= wvalid_i && !wready_i && !rst_i;
    data_q       <= wdata_i;
    strobe_q     <= wstrb_i;
    wlast_q      <= wlast_i;
    if (rst_i) beat_q <= '0;
    else if (sent) beat_q <= wlast_i ? '0 : beat_q + 8'd1;
    if (rst_i) follows_q <= 1'b0;
    else if (offered && mark && !follows_q) begin
      follows_q <= !(sent && wlast_i && owed_q == '0);
      ahead_q   <= owed_q - COUNT'(sent && wlast_i && owed_q != '0);
      length_q  <= awlen_i;
    end else if (follows_q && sent && wlast_i) begin
      follows_q <= ahead_q != '0;
      ahead_q   <= ahead_q - COUNT'(1);
    end
  end

  always_comb begin
    if (!rst_i) begin
      offer_stands: assert (!waits_q || (awvalid_i && awaddr_i == address_q && awlen_i == awlen_q));
      beat_stands: assert (!beat_waits_q || (wvalid_i && wdata_i == data_q && wstrb_i == strobe_q && wlast_i == wlast_q));
      aligned: assert (!awvalid_i || awaddr_i[5:0] == '0);
      one_window: assert (!awvalid_i || 9'(awaddr_i[6+:OFFSET]) + 9'(awlen_i) < 9'(BURST));
      beats: assert (!wvalid_i || owed != '0);
      length: assert (!wvalid_i || !follows_q || ahead_q != '0 ||
                      (beat_q <= length_q && wlast_i == (beat_q == length_q)));
      quiet: assert (!quiet_i || (!awvalid_i && !wvalid_i && owed_q == '0 && open_q == '0 && complete_q == '0));
    end
  end

endmodule
