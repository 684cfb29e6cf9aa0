// SPDX-License-Identifier: Apache-2.0
// s_axi_control: AXI4-Lite, and the ap_ctrl protocol as the host sees it: a start for each request and none while a launch
// runs; ap_done and the status stay until they are read.
module s_axi_control_properties (
    input logic        clk_i,
    input logic        rst_i,
    input logic        awvalid_i,
    input logic [14:0] awaddr_i,
    input logic        wvalid_i,
    input logic [31:0] wdata_i,
    input logic [ 3:0] wstrb_i,
    input logic        bready_i,
    input logic        arvalid_i,
    input logic [14:0] araddr_i,
    input logic        rready_i,
    input logic        done_i,
    input logic [31:0] status_i
);
  localparam logic [14:2] CONTROL = 13'h00;
  localparam logic [14:2] STATUS = 13'h17;
  localparam logic [14:2] STATUS_VALID = 13'h18;

  logic awready, wready, bvalid, arready, rvalid, start;
  logic [1:0] bresp, rresp;
  logic [31:0] rdata;
  logic running_q;

  starts_reset first (.*);

  s_axi_control dut (
      .clk_i,
      .rst_i,
      .awvalid_i,
      .awready_o(awready),
      .awaddr_i,
      .wvalid_i,
      .wready_o (wready),
      .wdata_i,
      .wstrb_i,
      .bvalid_o (bvalid),
      .bready_i,
      .bresp_o  (bresp),
      .arvalid_i,
      .arready_o(arready),
      .araddr_i,
      .rvalid_o (rvalid),
      .rready_i,
      .rdata_o  (rdata),
      .rresp_o  (rresp),
      .start_o  (start),
      .done_i,
      .idle_i   (!running_q),
      .status_i
  );

  // A launch runs from its start to its end; it ends only while it runs.
  always_ff @(posedge clk_i) running_q <= !rst_i && (start || (running_q && !done_i));

  always_comb assume (!done_i || running_q);

  // Addresses, data and responses that are on their way.
  wire address = awvalid_i && awready;
  wire data = wvalid_i && wready;
  wire response = bvalid && bready_i;
  wire ask = arvalid_i && arready;
  wire answer = rvalid && rready_i;
  logic [1:0] addresses_q, datas_q, reads_q;
  logic b_waits_q, r_waits_q;
  logic [31:0] rdata_q;

  always_ff @(posedge clk_i) begin
    b_waits_q <= bvalid && !bready_i && !rst_i;
    r_waits_q <= rvalid && !rready_i && !rst_i;
    rdata_q   <= rdata;
    if (rst_i) begin
      addresses_q <= '0;
      datas_q     <= '0;
      reads_q     <= '0;
    end else begin
      addresses_q <= addresses_q + 2'(address) - 2'(response);
      datas_q     <= datas_q + 2'(data) - 2'(response);
      reads_q     <= reads_q + 2'(ask) - 2'(answer);
    end
  end

  always_comb begin
    if (!rst_i) begin
      b_stands: assert (!b_waits_q || bvalid);
      r_stands: assert (!r_waits_q || (rvalid && rdata == rdata_q));
      b_answers: assert (!bvalid || (addresses_q != '0 && datas_q != '0));
      r_answers: assert (!rvalid || reads_q != '0);
      writes_few: assert (addresses_q <= 2'd2 && datas_q <= 2'd2);
      one_read: assert (reads_q <= 2'd1);
      okay: assert (bresp == '0 && rresp == '0);
      start_once: assert (!start || !running_q);
    end
  end

  // What a read must show: fixed when its address is taken.
  logic done_q, valid_q, was_done_q, was_valid_q;
  logic [31:0] status_q, was_status_q;
  logic [14:2] register_q;

  always_ff @(posedge clk_i) begin
    done_q  <= !rst_i && (done_i || (done_q && !(ask && araddr_i[14:2] == CONTROL)));
    valid_q <= !rst_i && (done_i || (valid_q && !(ask && araddr_i[14:2] == STATUS_VALID)));
    if (done_i) status_q <= status_i;
    if (ask) begin
      register_q   <= araddr_i[14:2];
      was_done_q   <= done_q;
      was_valid_q  <= valid_q;
      was_status_q <= status_q;
    end
  end

  logic ended_q;  // a launch has ended, so that there is a status
  logic was_ended_q;
  always_ff @(posedge clk_i) begin
    ended_q <= !rst_i && (ended_q || done_i);
    if (ask) was_ended_q <= ended_q;
  end

  always_comb begin
    if (!rst_i && rvalid) begin
      shows_done: assert (register_q != CONTROL || rdata[1] == was_done_q);
      shows_valid: assert (register_q != STATUS_VALID || rdata[0] == was_valid_q);
      shows_status: assert (register_q != STATUS || !was_ended_q || rdata == was_status_q);
    end
  end

  // Starts are asked for: by a write of bit 0, or by auto-restart (bit 7 of a write before) at the end of a launch.
  logic [1:0] held_q;  // an address and data that are not yet written
  logic wants_q, restart_q;
  logic [14:2] at_q;
  logic [31:0] what_q;
  logic [3:0] which_q;
  logic written;
  assign written = (held_q == 2'b11) && !bvalid;
  wire control = written && at_q == CONTROL && which_q[0];

  always_ff @(posedge clk_i) begin
    if (address) at_q <= awaddr_i[14:2];
    if (data) {what_q, which_q} <= {wdata_i, wstrb_i};
    held_q <= rst_i ? 2'b00 : (held_q & {2{!written}}) | {data, address};
    if (rst_i) {wants_q, restart_q} <= '0;
    else begin
      if (control) restart_q <= what_q[7];
      if (control && what_q[0]) wants_q <= 1'b1;
      else if (done_i) wants_q <= restart_q;
    end
  end

  always_comb begin
    if (!rst_i) start_asked: assert (!start || wants_q);
    if (!rst_i) start_comes: assert (!wants_q || running_q || start);
  end

endmodule
