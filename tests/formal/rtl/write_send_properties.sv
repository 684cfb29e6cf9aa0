// SPDX-License-Identifier: Apache-2.0
// write_send: besides the rules of its AXI port, a burst lies where it was announced, and a beat goes out as it was taken.
module write_send_properties #(
    parameter int RATIO = 2,
    parameter int BURST = 4,
    parameter int PLANE = 4  // bits of the distance between two parts in beats
) (
    input logic                             clk_i,
    input logic                             rst_i,
    input logic [                PLANE-1:0] plane_i,
    input logic [                RATIO-1:0] burst_valid_i,
    input logic [             RATIO*58-1:0] burst_position_i,
    input logic [  RATIO*$clog2(BURST)-1:0] burst_length_i,
    input logic [            RATIO*512-1:0] beat_data_i,
    input logic [                RATIO-1:0] beat_words_i,
    input logic                             awready_i,
    input logic                             wready_i,
    input logic                             bvalid_i,
    input logic [                      1:0] bresp_i,
    input logic                             abort_i,
    input logic                             mark_i
);
  localparam int LENGTH = $clog2(BURST);

  logic [RATIO-1:0] burst_ready, beat_ready;
  logic awvalid, wvalid, wlast, bready, empty, quiet, error;
  logic [63:0] awaddr, wstrb;
  logic [7:0] awlen;
  logic [511:0] wdata;

  starts_reset start (.*);

  write_send #(
      .WORD    (512),
      .RATIO   (RATIO),
      .BURST   (BURST),
      .POSITION(58),
      .LENGTH  (LENGTH),
      .PLANE   (PLANE)
  ) dut (
      .clk_i,
      .rst_i,
      .plane_i,
      .burst_valid_i,
      .burst_ready_o(burst_ready),
      .burst_position_i,
      .burst_length_i,
      .beat_valid_i ('1),
      .beat_ready_o (beat_ready),
      .beat_data_i,
      .beat_words_i,
      .awvalid_o    (awvalid),
      .awready_i,
      .awaddr_o     (awaddr),
      .awlen_o      (awlen),
      .wvalid_o     (wvalid),
      .wready_i,
      .wdata_o      (wdata),
      .wstrb_o      (wstrb),
      .wlast_o      (wlast),
      .bvalid_i,
      .bready_o     (bready),
      .bresp_i,
      .abort_i,
      .empty_o      (empty),
      .quiet_o      (quiet),
      .error_o      (error)
  );

  write_rules #(
      .BURST(BURST)
  ) rules (
      .clk_i,
      .rst_i,
      .awvalid_i(awvalid),
      .awready_i,
      .awaddr_i (awaddr),
      .awlen_i  (awlen),
      .wvalid_i (wvalid),
      .wready_i,
      .wdata_i  (wdata),
      .wstrb_i  (wstrb),
      .wlast_i  (wlast),
      .bvalid_i,
      .bready_i (bready),
      .quiet_i  (quiet)
  );
  assign rules.mark = mark_i;

  // Announcements are streams, and a burst lies in one window wherever its part is: planes are whole windows here.
  logic [RATIO-1:0] announced_q;
  logic [RATIO*58-1:0] position_q;
  logic [RATIO*LENGTH-1:0] length_q;
  logic [PLANE-1:0] plane_q;
  logic was_reset_q;

  always_ff @(posedge clk_i) begin
    announced_q <= rst_i ? '0 : burst_valid_i & ~burst_ready;
    position_q  <= burst_position_i;
    length_q    <= burst_length_i;
    plane_q     <= plane_i;
    was_reset_q <= rst_i;
  end

  always_comb begin
    assume (was_reset_q || plane_i == plane_q);
    assume (plane_i[LENGTH-1:0] == '0);
    for (int n = 0; n < RATIO; n++) begin
      assume (!announced_q[n] || (burst_valid_i[n] && burst_position_i[58*n+:58] == position_q[58*n+:58] &&
                                  burst_length_i[LENGTH*n+:LENGTH] == length_q[LENGTH*n+:LENGTH]));
      assume (burst_position_i[58*n+:LENGTH] >= burst_length_i[LENGTH*n+:LENGTH]);
    end
  end

  // An announcement that is taken is offered next, at its first beat.
  wire [RATIO-1:0] taken = burst_valid_i & burst_ready;
  logic [57:0] first, first_q, before_q;  // of the burst taken last, and a clock ago
  logic [LENGTH-1:0] size, size_q, size_before_q;

  always_comb begin
    first = first_q;
    size  = size_q;
    for (int n = 0; n < RATIO; n++) begin
      if (taken[n]) begin
        size  = burst_length_i[LENGTH*n+:LENGTH];
        first = burst_position_i[58*n+:58] + 58'(plane_i) * 58'(n) - 58'(burst_length_i[LENGTH*n+:LENGTH]);
      end
    end
  end

  logic [RATIO-1:0] beat_q;
  logic [RATIO*512-1:0] beat_data_q;
  always_ff @(posedge clk_i) begin
    first_q       <= first;
    size_q        <= size;
    before_q      <= first_q;
    size_before_q <= size_q;
    beat_q        <= rst_i ? '0 : beat_ready;
    beat_data_q   <= beat_data_i;
  end

  always_comb begin
    if (!rst_i) begin
      takes_one: assert (taken == (taken & -taken));
      lies_there: assert (!rules.offered || (awaddr == {before_q, 6'd0} && awlen == 8'(size_before_q)));
      one_part: assert (beat_ready == (beat_ready & -beat_ready));
      waits: assert (beat_q == '0 || wvalid);
    end
  end
  for (genvar n = 0; n < RATIO; n++) begin : g_part
    always_comb if (!rst_i) sends: assert (!beat_q[n] || wdata == beat_data_q[512*n+:512]);
  end

  // How its registers stand to what was seen.
  wire [4:0] orders = dut.orders.write_q - dut.orders.read_q;
  wire [3:0] place = dut.orders.read_q[3:0] + rules.ahead_q[3:0] - 4'(wvalid && wlast);
  wire [LENGTH-1:0] order = dut.orders.g_distributed.memory[place][LENGTH-1:0];
  wire [3:0] latest = dut.orders.write_q[3:0] - 4'd1;
  wire standing = wvalid && wlast;
  always_comb begin
    if (!rst_i) begin
      of_orders: assert (orders <= 5'd16);
      of_owed: assert (rules.owed == 9'(orders) + 9'(standing));
      of_open: assert (9'(dut.open_q) == rules.open_q + 9'(awvalid));
      of_complete: assert (rules.open_q + 9'(awvalid) == rules.complete_q + rules.owed);
      of_picked: assert (!dut.picked_q || (dut.last_beat == first_q + 58'(size_q) && dut.length_q == size_q &&
                                           dut.position_q[LENGTH-1:0] >= size_q));
      of_plane: assert (!dut.picked_q || dut.distance_q[LENGTH-1:0] == '0);
      of_order: assert (!rules.follows_q || (rules.ahead_q < rules.owed_q &&
                                             ((standing && rules.ahead_q == '0) || order == rules.length_q[LENGTH-1:0])));
      of_length: assert (!rules.follows_q || rules.length_q < 8'(BURST));
      of_latest: assert (!rules.offered || (orders != '0 && 8'(dut.orders.g_distributed.memory[latest][LENGTH-1:0]) == awlen));
      of_count: assert (rules.beat_q < 8'(BURST));
      of_beat: assert (8'(dut.sent_q) == (standing ? 8'd0 : rules.beat_q + 8'(wvalid)));
      of_sent: assert (orders == '0 || dut.sent_q <= dut.from_length);
      of_idle: assert (orders != '0 || dut.sent_q == '0);
    end
  end

endmodule
