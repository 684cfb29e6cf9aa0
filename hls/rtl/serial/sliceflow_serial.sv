// SPDX-License-Identifier: Apache-2.0
// sliceflow_serial: a complete system for a small FPGA: the kernel, on-chip memory for everything that it reads and
// writes, and a serial line to a host. README.md has the memory map.
module sliceflow_serial #(
    parameter int unsigned CPI = 2,
    parameter int unsigned CPO = 2,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned WEIGHT_BITS = 8,
    parameter int unsigned BANK_WORDS = 2048,
    parameter int unsigned ACCUMULATOR_PIXELS = 1024,
    parameter int unsigned POOL_WINDOW = 2,
    parameter int unsigned POOL_WIDTH = 32,
    parameter int unsigned PACK = 0,
    parameter int unsigned LANE_MULTIPLIERS = 1,
    parameter int unsigned ROWS = 1024,  // of 64 bytes
    parameter int unsigned DIVISOR = 25,  // clocks of a bit on the line
    parameter int unsigned SILENCE = 1 << 20,  // clocks without a byte after which a request is given up
    parameter int unsigned CLOCK_KHZ = 25000,
    parameter int unsigned IDENTITY = 0  // of the profile, as the host computes it
) (
    input  logic       clk_i,
    input  logic       rst_n_i,
    input  logic       line_i,
    output logic       line_o,
    output logic [3:0] activity_o  // interrupt, burst of a read, of a write, request
);
  localparam int unsigned ROW_BITS = $clog2(ROWS);
  localparam logic [31:0] MAGIC = "SLFW";

  // The reset ends with a clock, everywhere at once.
  logic [3:0] reset_q;
  logic rst_n, rst;
  always_ff @(posedge clk_i) reset_q <= {reset_q[2:0], rst_n_i};
  assign rst_n = reset_q[3];
  assign rst   = !rst_n;

  // Memory.
  logic memory_write;
  logic [ROW_BITS-1:0] read_row, write_row;
  logic [63:0] write_strobe;
  logic [511:0] write_data, read_data;
  beat_memory #(
      .ROWS(ROWS)
  ) i_memory (
      .clk_i,
      .read_row_i(read_row),
      .read_data_o(read_data),
      .write_i(memory_write),
      .write_row_i(write_row),
      .write_strobe_i(write_strobe),
      .write_data_i(write_data)
  );

  // Bridge.
  logic received, send, sent, access, is_write, done, toggle, active;
  logic [7:0] received_byte, sent_byte;
  logic [23:0] address;
  logic [31:0] to_access, from_access;
  uart_receive #(
      .DIVISOR(DIVISOR)
  ) i_receive (
      .clk_i,
      .rst_i(rst),
      .line_i,
      .valid_o(received),
      .byte_o(received_byte)
  );
  uart_send #(
      .DIVISOR(DIVISOR)
  ) i_send (
      .clk_i,
      .rst_i(rst),
      .valid_i(send),
      .ready_o(sent),
      .byte_i(sent_byte),
      .line_o
  );
  serial_bridge #(
      .SILENCE(SILENCE)
  ) i_bridge (
      .clk_i,
      .rst_i(rst),
      .received_i(received),
      .byte_i(received_byte),
      .send_o(send),
      .sent_i(send && sent),
      .byte_o(sent_byte),
      .access_o(access),
      .write_o(is_write),
      .address_o(address),
      .data_o(to_access),
      .done_i(done),
      .data_i(from_access),
      .toggle_o(toggle),
      .active_o(active)
  );

  // Where an access goes: the kernel's registers, the memory, or words that say what the system is, which stay.
  logic at_registers, at_identity, at_memory, asked_q;
  logic write_taken, read_taken, read_valid, identity_done_q;
  logic awvalid, awready, wvalid, wready, bvalid, arvalid, arready, rvalid;
  logic [31:0] register_data, identity_q;
  logic aw_done_q, w_done_q;
  assign at_registers = access && address[23];
  assign at_memory = access && address[23:6+ROW_BITS] == '0;
  assign at_identity = access && !at_registers && !at_memory;
  assign awvalid = at_registers && is_write && !aw_done_q;
  assign wvalid = at_registers && is_write && !w_done_q;
  assign arvalid = at_registers && !is_write && !asked_q;
  always_comb begin
    done = identity_done_q;
    if (at_registers) done = is_write ? bvalid : rvalid;
    if (at_memory) done = is_write ? write_taken : read_valid;
    from_access = identity_q;
    if (at_registers) from_access = register_data;
    if (at_memory) from_access = read_data[32*address[5:2]+:32];
  end
  always_ff @(posedge clk_i) begin
    identity_done_q <= at_identity && !identity_done_q;
    case (address[4:2])
      3'd0: identity_q <= MAGIC;
      3'd1: identity_q <= IDENTITY;
      3'd2: identity_q <= 64 * ROWS;
      3'd3: identity_q <= CLOCK_KHZ;
      3'd4: identity_q <= 32'(toggle);
      default: identity_q <= '0;
    endcase
    // What has been asked of an access that is not done yet.
    asked_q <= access && !done && (asked_q || (arvalid && arready) || read_taken);
    aw_done_q <= access && !done && (aw_done_q || (awvalid && awready));
    w_done_q <= access && !done && (w_done_q || (wvalid && wready));
    if (rst) {identity_done_q, asked_q, aw_done_q, w_done_q} <= '0;
  end

  // The kernel's ports.
  logic [3:0] m_arvalid, m_arready, m_arid, m_rvalid;
  logic [3:0][63:0] m_araddr;
  logic [3:0][7:0] m_arlen;
  logic m_rid, m_rlast, m_awvalid, m_awready, m_wvalid, m_wready, m_wlast, m_bvalid, interrupt;
  logic [1:0] m_rresp, m_bresp;
  logic [511:0] m_rdata, m_wdata;
  logic [63:0] m_awaddr, m_wstrb;
  burst_reader #(
      .ROW_BITS(ROW_BITS)
  ) i_reader (
      .clk_i,
      .rst_i(rst),
      .arvalid_i(m_arvalid),
      .arready_o(m_arready),
      .araddr_i(m_araddr),
      .arlen_i(m_arlen),
      .arid_i(m_arid),
      .rvalid_o(m_rvalid),
      .rdata_o(m_rdata),
      .rid_o(m_rid),
      .rresp_o(m_rresp),
      .rlast_o(m_rlast),
      .bridge_read_i(at_memory && !is_write && !asked_q),
      .bridge_taken_o(read_taken),
      .bridge_row_i(address[6+:ROW_BITS]),
      .bridge_valid_o(read_valid),
      .memory_row_o(read_row),
      .memory_data_i(read_data)
  );
  burst_writer #(
      .ROW_BITS(ROW_BITS)
  ) i_writer (
      .clk_i,
      .rst_i(rst),
      .awvalid_i(m_awvalid),
      .awready_o(m_awready),
      .awaddr_i(m_awaddr),
      .wvalid_i(m_wvalid),
      .wready_o(m_wready),
      .wdata_i(m_wdata),
      .wstrb_i(m_wstrb),
      .wlast_i(m_wlast),
      .bvalid_o(m_bvalid),
      .bresp_o(m_bresp),
      .bridge_write_i(at_memory && is_write),
      .bridge_taken_o(write_taken),
      .bridge_row_i(address[6+:ROW_BITS]),
      .bridge_word_i(address[5:2]),
      .bridge_data_i(to_access),
      .memory_write_o(memory_write),
      .memory_row_o(write_row),
      .memory_strobe_o(write_strobe),
      .memory_data_o(write_data)
  );
  assign activity_o = {interrupt, m_arvalid != '0, m_awvalid, active};

  // Not connected: what Vitis' interface has and one memory of rows does not need.
  // verilator lint_off PINCONNECTEMPTY
  sliceflow_kernel #(
      .CPI(CPI),
      .CPO(CPO),
      .ACTIVATION_BITS(ACTIVATION_BITS),
      .WEIGHT_BITS(WEIGHT_BITS),
      .BANK_WORDS(BANK_WORDS),
      .ACCUMULATOR_PIXELS(ACCUMULATOR_PIXELS),
      .POOL_WINDOW(POOL_WINDOW),
      .POOL_WIDTH(POOL_WIDTH),
      .PACK(PACK),
      .LANE_MULTIPLIERS(LANE_MULTIPLIERS)
  ) i_kernel (
      .ap_clk(clk_i),
      .ap_rst_n(rst_n),
      .interrupt(interrupt),
      .s_axi_control_awvalid(awvalid),
      .s_axi_control_awready(awready),
      .s_axi_control_awaddr(address[14:0]),
      .s_axi_control_wvalid(wvalid),
      .s_axi_control_wready(wready),
      .s_axi_control_wdata(to_access),
      .s_axi_control_wstrb(4'hf),
      .s_axi_control_bvalid(bvalid),
      .s_axi_control_bready(1'b1),
      .s_axi_control_bresp(),
      .s_axi_control_arvalid(arvalid),
      .s_axi_control_arready(arready),
      .s_axi_control_araddr(address[14:0]),
      .s_axi_control_rvalid(rvalid),
      .s_axi_control_rready(1'b1),
      .s_axi_control_rdata(register_data),
      .s_axi_control_rresp(),
      .m_axi_program_awvalid(),
      .m_axi_program_awready(1'b0),
      .m_axi_program_awaddr(),
      .m_axi_program_awid(),
      .m_axi_program_awlen(),
      .m_axi_program_awsize(),
      .m_axi_program_awburst(),
      .m_axi_program_awlock(),
      .m_axi_program_awcache(),
      .m_axi_program_awprot(),
      .m_axi_program_awqos(),
      .m_axi_program_wvalid(),
      .m_axi_program_wready(1'b0),
      .m_axi_program_wdata(),
      .m_axi_program_wstrb(),
      .m_axi_program_wlast(),
      .m_axi_program_bvalid(1'b0),
      .m_axi_program_bready(),
      .m_axi_program_bid('0),
      .m_axi_program_bresp('0),
      .m_axi_program_arvalid(m_arvalid[0]),
      .m_axi_program_arready(m_arready[0]),
      .m_axi_program_araddr(m_araddr[0]),
      .m_axi_program_arid(m_arid[0]),
      .m_axi_program_arlen(m_arlen[0]),
      .m_axi_program_arsize(),
      .m_axi_program_arburst(),
      .m_axi_program_arlock(),
      .m_axi_program_arcache(),
      .m_axi_program_arprot(),
      .m_axi_program_arqos(),
      .m_axi_program_rvalid(m_rvalid[0]),
      .m_axi_program_rready(),
      .m_axi_program_rdata(m_rdata),
      .m_axi_program_rid(m_rid),
      .m_axi_program_rresp(m_rresp),
      .m_axi_program_rlast(m_rlast),
      .m_axi_weights_awvalid(),
      .m_axi_weights_awready(1'b0),
      .m_axi_weights_awaddr(),
      .m_axi_weights_awid(),
      .m_axi_weights_awlen(),
      .m_axi_weights_awsize(),
      .m_axi_weights_awburst(),
      .m_axi_weights_awlock(),
      .m_axi_weights_awcache(),
      .m_axi_weights_awprot(),
      .m_axi_weights_awqos(),
      .m_axi_weights_wvalid(),
      .m_axi_weights_wready(1'b0),
      .m_axi_weights_wdata(),
      .m_axi_weights_wstrb(),
      .m_axi_weights_wlast(),
      .m_axi_weights_bvalid(1'b0),
      .m_axi_weights_bready(),
      .m_axi_weights_bid('0),
      .m_axi_weights_bresp('0),
      .m_axi_weights_arvalid(m_arvalid[1]),
      .m_axi_weights_arready(m_arready[1]),
      .m_axi_weights_araddr(m_araddr[1]),
      .m_axi_weights_arid(m_arid[1]),
      .m_axi_weights_arlen(m_arlen[1]),
      .m_axi_weights_arsize(),
      .m_axi_weights_arburst(),
      .m_axi_weights_arlock(),
      .m_axi_weights_arcache(),
      .m_axi_weights_arprot(),
      .m_axi_weights_arqos(),
      .m_axi_weights_rvalid(m_rvalid[1]),
      .m_axi_weights_rready(),
      .m_axi_weights_rdata(m_rdata),
      .m_axi_weights_rid(m_rid),
      .m_axi_weights_rresp(m_rresp),
      .m_axi_weights_rlast(m_rlast),
      .m_axi_in_awvalid(),
      .m_axi_in_awready(1'b0),
      .m_axi_in_awaddr(),
      .m_axi_in_awid(),
      .m_axi_in_awlen(),
      .m_axi_in_awsize(),
      .m_axi_in_awburst(),
      .m_axi_in_awlock(),
      .m_axi_in_awcache(),
      .m_axi_in_awprot(),
      .m_axi_in_awqos(),
      .m_axi_in_wvalid(),
      .m_axi_in_wready(1'b0),
      .m_axi_in_wdata(),
      .m_axi_in_wstrb(),
      .m_axi_in_wlast(),
      .m_axi_in_bvalid(1'b0),
      .m_axi_in_bready(),
      .m_axi_in_bid('0),
      .m_axi_in_bresp('0),
      .m_axi_in_arvalid(m_arvalid[2]),
      .m_axi_in_arready(m_arready[2]),
      .m_axi_in_araddr(m_araddr[2]),
      .m_axi_in_arid(m_arid[2]),
      .m_axi_in_arlen(m_arlen[2]),
      .m_axi_in_arsize(),
      .m_axi_in_arburst(),
      .m_axi_in_arlock(),
      .m_axi_in_arcache(),
      .m_axi_in_arprot(),
      .m_axi_in_arqos(),
      .m_axi_in_rvalid(m_rvalid[2]),
      .m_axi_in_rready(),
      .m_axi_in_rdata(m_rdata),
      .m_axi_in_rid(m_rid),
      .m_axi_in_rresp(m_rresp),
      .m_axi_in_rlast(m_rlast),
      .m_axi_add_awvalid(),
      .m_axi_add_awready(1'b0),
      .m_axi_add_awaddr(),
      .m_axi_add_awid(),
      .m_axi_add_awlen(),
      .m_axi_add_awsize(),
      .m_axi_add_awburst(),
      .m_axi_add_awlock(),
      .m_axi_add_awcache(),
      .m_axi_add_awprot(),
      .m_axi_add_awqos(),
      .m_axi_add_wvalid(),
      .m_axi_add_wready(1'b0),
      .m_axi_add_wdata(),
      .m_axi_add_wstrb(),
      .m_axi_add_wlast(),
      .m_axi_add_bvalid(1'b0),
      .m_axi_add_bready(),
      .m_axi_add_bid('0),
      .m_axi_add_bresp('0),
      .m_axi_add_arvalid(m_arvalid[3]),
      .m_axi_add_arready(m_arready[3]),
      .m_axi_add_araddr(m_araddr[3]),
      .m_axi_add_arid(m_arid[3]),
      .m_axi_add_arlen(m_arlen[3]),
      .m_axi_add_arsize(),
      .m_axi_add_arburst(),
      .m_axi_add_arlock(),
      .m_axi_add_arcache(),
      .m_axi_add_arprot(),
      .m_axi_add_arqos(),
      .m_axi_add_rvalid(m_rvalid[3]),
      .m_axi_add_rready(),
      .m_axi_add_rdata(m_rdata),
      .m_axi_add_rid(m_rid),
      .m_axi_add_rresp(m_rresp),
      .m_axi_add_rlast(m_rlast),
      .m_axi_out_awvalid(m_awvalid),
      .m_axi_out_awready(m_awready),
      .m_axi_out_awaddr(m_awaddr),
      .m_axi_out_awid(),
      .m_axi_out_awlen(),
      .m_axi_out_awsize(),
      .m_axi_out_awburst(),
      .m_axi_out_awlock(),
      .m_axi_out_awcache(),
      .m_axi_out_awprot(),
      .m_axi_out_awqos(),
      .m_axi_out_wvalid(m_wvalid),
      .m_axi_out_wready(m_wready),
      .m_axi_out_wdata(m_wdata),
      .m_axi_out_wstrb(m_wstrb),
      .m_axi_out_wlast(m_wlast),
      .m_axi_out_bvalid(m_bvalid),
      .m_axi_out_bready(),
      .m_axi_out_bid('0),
      .m_axi_out_bresp(m_bresp),
      .m_axi_out_arvalid(),
      .m_axi_out_arready(1'b0),
      .m_axi_out_araddr(),
      .m_axi_out_arid(),
      .m_axi_out_arlen(),
      .m_axi_out_arsize(),
      .m_axi_out_arburst(),
      .m_axi_out_arlock(),
      .m_axi_out_arcache(),
      .m_axi_out_arprot(),
      .m_axi_out_arqos(),
      .m_axi_out_rvalid(1'b0),
      .m_axi_out_rready(),
      .m_axi_out_rdata('0),
      .m_axi_out_rid('0),
      .m_axi_out_rresp('0),
      .m_axi_out_rlast(1'b0)
  );
  // verilator lint_on PINCONNECTEMPTY

endmodule
