// SPDX-License-Identifier: Apache-2.0
// write_send: announced bursts of several parts to one AXI write port. A burst a clock, a beat a clock; addresses come out
// two clocks after the announcement. A burst is offered once all of its beats are stored, so memory never waits.
module write_send #(
    parameter int WORD     = 64,
    parameter int RATIO    = 1,
    parameter int BURST    = 16,
    parameter int POSITION = 61,
    parameter int LENGTH   = 4,
    parameter int PLANE    = 37   // bits of the distance between two parts in words
) (
    input  logic                      clk_i,
    input  logic                      rst_i,
    input  logic [         PLANE-1:0] plane_i,           // holds still while bursts come
    input  logic [         RATIO-1:0] burst_valid_i,
    output logic [         RATIO-1:0] burst_ready_o,
    input  logic [RATIO*POSITION-1:0] burst_position_i,  // last word, as if it were in part 0
    input  logic [  RATIO*LENGTH-1:0] burst_length_i,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [         RATIO-1:0] beat_valid_i,      // always, for an announced burst
    // verilator lint_on UNUSEDSIGNAL
    output logic [         RATIO-1:0] beat_ready_o,
    input  logic [     RATIO*512-1:0] beat_data_i,
    input  logic [RATIO*512/WORD-1:0] beat_words_i,
    output logic                      awvalid_o,
    input  logic                      awready_i,
    output logic [              63:0] awaddr_o,
    output logic [               7:0] awlen_o,
    output logic                      wvalid_o,
    input  logic                      wready_i,
    output logic [             511:0] wdata_o,
    output logic [              63:0] wstrb_o,
    output logic                      wlast_o,
    input  logic                      bvalid_i,
    output logic                      bready_o,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [               1:0] bresp_i,           // bit 1 marks an error
    // verilator lint_on UNUSEDSIGNAL
    input  logic                      abort_i,
    output logic                      empty_o,           // no burst waits for its address
    output logic                      quiet_o,
    output logic                      error_o
);

  localparam int WORDS = 512 / WORD;
  localparam int PART = RATIO == 1 ? 1 : $clog2(RATIO);
  localparam int ORDERS = 16;  // bursts offered whose data have not gone out
  localparam int OFFSET = $clog2(BURST);

  function automatic logic [PLANE+PART-1:0] times(input logic [PART-1:0] part, input logic [PLANE-1:0] plane);
    times = '0;
    for (int n = 0; n < PART; n++) if (part[n]) times += (PLANE + PART)'(plane) << n;
  endfunction

  // First stage: a burst of the lowest part that has one. The parts come in step, so none waits forever.
  logic pick_valid, pick_ready;
  logic [PART-1:0] pick;

  always_comb begin
    pick = '0;
    for (int n = RATIO - 1; n >= 0; n--) if (burst_valid_i[n]) pick = PART'(n);
  end

  assign pick_valid    = |burst_valid_i;
  assign burst_ready_o = RATIO'(pick_ready) << pick;

  logic picked_q, offer, order_ready;
  logic [PART-1:0] part_q;
  logic [LENGTH-1:0] length_q;
  logic [POSITION-1:0] position_q;
  logic [PLANE+PART-1:0] distance_q;

  assign pick_ready = !picked_q || offer;
  assign empty_o    = !picked_q && !pick_valid;

  always_ff @(posedge clk_i) begin
    if (rst_i) picked_q <= 1'b0;
    else if (pick_ready) picked_q <= pick_valid;
  end

  always_ff @(posedge clk_i) begin
    if (pick_valid && pick_ready) begin
      part_q     <= pick;
      length_q   <= burst_length_i[LENGTH*pick+:LENGTH];
      position_q <= burst_position_i[POSITION*pick+:POSITION];
      distance_q <= times(pick, plane_i);
    end
  end

  // Second stage: its address. Bursts without response are counted; there are never more than the counter holds.
  logic [7:0] open_q;
  // verilator lint_off UNUSEDSIGNAL
  logic [POSITION-1:0] last_word;  // its place in the beat does not matter
  // verilator lint_on UNUSEDSIGNAL
  logic [57:0] last_beat;

  assign last_word = position_q + POSITION'(distance_q);
  assign last_beat = last_word[POSITION-1-:58];
  assign offer     = picked_q && !abort_i && (!awvalid_o || awready_i) && order_ready && open_q != '1;

  always_ff @(posedge clk_i) begin
    if (rst_i) awvalid_o <= 1'b0;
    else if (offer) awvalid_o <= 1'b1;
    else if (awready_i) awvalid_o <= 1'b0;
  end

  always_ff @(posedge clk_i) begin
    if (offer) begin
      awaddr_o <= {last_beat[57:OFFSET], last_beat[OFFSET-1:0] - length_q, 6'd0};
      awlen_o  <= 8'(length_q);
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) open_q <= '0;
    else if (offer != bvalid_i) open_q <= offer ? open_q + 8'd1 : open_q - 8'd1;
  end

  assign bready_o = 1'b1;
  assign quiet_o  = open_q == '0;

  always_ff @(posedge clk_i) error_o <= !rst_i && bvalid_i && bresp_i[1];

  // Data, in the order of the addresses.
  logic order_valid, send, send_last;
  logic [PART-1:0] from;
  logic [LENGTH-1:0] from_length, sent_q;
  logic [WORDS-1:0] words;

  fifo #(
      .WIDTH(PART + LENGTH),
      .DEPTH(ORDERS)
  ) orders (
      .clk_i,
      .rst_i,
      .valid_i(offer),
      .ready_o(order_ready),
      .data_i ({part_q, length_q}),
      .valid_o(order_valid),
      .ready_i(send_last),
      .data_o ({from, from_length})
  );

  assign send         = order_valid && (!wvalid_o || wready_i);
  assign send_last    = send && sent_q == from_length;
  assign beat_ready_o = RATIO'(send) << from;
  assign words        = beat_words_i[WORDS*from+:WORDS];

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      wvalid_o <= 1'b0;
      sent_q   <= '0;
    end else if (send) begin
      wvalid_o <= 1'b1;
      sent_q   <= send_last ? '0 : sent_q + 1'b1;
    end else if (wready_i) begin
      wvalid_o <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (send) begin
      wdata_o <= beat_data_i[512*from+:512];
      for (int n = 0; n < WORDS; n++) wstrb_o[WORD/8*n+:WORD/8] <= {(WORD / 8) {words[n]}};
      wlast_o <= sent_q == from_length;
    end
  end

endmodule
