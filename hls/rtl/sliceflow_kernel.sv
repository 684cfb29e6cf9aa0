// SPDX-License-Identifier: Apache-2.0
// The accelerator: a Vitis RTL kernel with one AXI4-Lite slave and five AXI4 masters of 512 bits. See README.md.
module sliceflow_kernel
  import kernel_pkg::*;
#(
    parameter int unsigned CPI = 8,
    parameter int unsigned CPO = 8,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned WEIGHT_BITS = 8,
    parameter int unsigned BANK_WORDS = 4096,
    parameter int unsigned ACCUMULATOR_PIXELS = 8192,
    parameter int unsigned POOL_WINDOW = 8,
    parameter int unsigned POOL_WIDTH = 1024,
    parameter int unsigned PACK = (ACTIVATION_BITS == 8 && WEIGHT_BITS <= 8) ? 1 : 0,
    parameter int unsigned LUT_TAPS = 0,
    parameter int unsigned LANE_MULTIPLIERS = 0
) (
    input  logic        ap_clk,
    input  logic        ap_rst_n,
    // verilator lint_off SYMRSVDWORD
    output logic        interrupt,  // Vitis' name
    // verilator lint_on SYMRSVDWORD
    input  logic        s_axi_control_awvalid,
    output logic        s_axi_control_awready,
    input  logic [14:0] s_axi_control_awaddr,
    input  logic        s_axi_control_wvalid,
    output logic        s_axi_control_wready,
    input  logic [31:0] s_axi_control_wdata,
    input  logic [3:0]  s_axi_control_wstrb,
    output logic        s_axi_control_bvalid,
    input  logic        s_axi_control_bready,
    output logic [1:0]  s_axi_control_bresp,
    input  logic        s_axi_control_arvalid,
    output logic        s_axi_control_arready,
    input  logic [14:0] s_axi_control_araddr,
    output logic        s_axi_control_rvalid,
    input  logic        s_axi_control_rready,
    output logic [31:0] s_axi_control_rdata,
    output logic [1:0]  s_axi_control_rresp,
    // verilator lint_off UNUSEDSIGNAL
    output logic         m_axi_program_awvalid,
    input  logic         m_axi_program_awready,
    output logic [63:0]  m_axi_program_awaddr,
    output logic [0:0]   m_axi_program_awid,
    output logic [7:0]   m_axi_program_awlen,
    output logic [2:0]   m_axi_program_awsize,
    output logic [1:0]   m_axi_program_awburst,
    output logic [1:0]   m_axi_program_awlock,
    output logic [3:0]   m_axi_program_awcache,
    output logic [2:0]   m_axi_program_awprot,
    output logic [3:0]   m_axi_program_awqos,
    output logic         m_axi_program_wvalid,
    input  logic         m_axi_program_wready,
    output logic [511:0] m_axi_program_wdata,
    output logic [63:0]  m_axi_program_wstrb,
    output logic         m_axi_program_wlast,
    input  logic         m_axi_program_bvalid,
    output logic         m_axi_program_bready,
    input  logic [0:0]   m_axi_program_bid,
    input  logic [1:0]   m_axi_program_bresp,
    output logic         m_axi_program_arvalid,
    input  logic         m_axi_program_arready,
    output logic [63:0]  m_axi_program_araddr,
    output logic [0:0]   m_axi_program_arid,
    output logic [7:0]   m_axi_program_arlen,
    output logic [2:0]   m_axi_program_arsize,
    output logic [1:0]   m_axi_program_arburst,
    output logic [1:0]   m_axi_program_arlock,
    output logic [3:0]   m_axi_program_arcache,
    output logic [2:0]   m_axi_program_arprot,
    output logic [3:0]   m_axi_program_arqos,
    input  logic         m_axi_program_rvalid,
    output logic         m_axi_program_rready,
    input  logic [511:0] m_axi_program_rdata,
    input  logic [0:0]   m_axi_program_rid,
    input  logic [1:0]   m_axi_program_rresp,
    input  logic         m_axi_program_rlast,
    // verilator lint_on UNUSEDSIGNAL
    // verilator lint_off UNUSEDSIGNAL
    output logic         m_axi_weights_awvalid,
    input  logic         m_axi_weights_awready,
    output logic [63:0]  m_axi_weights_awaddr,
    output logic [0:0]   m_axi_weights_awid,
    output logic [7:0]   m_axi_weights_awlen,
    output logic [2:0]   m_axi_weights_awsize,
    output logic [1:0]   m_axi_weights_awburst,
    output logic [1:0]   m_axi_weights_awlock,
    output logic [3:0]   m_axi_weights_awcache,
    output logic [2:0]   m_axi_weights_awprot,
    output logic [3:0]   m_axi_weights_awqos,
    output logic         m_axi_weights_wvalid,
    input  logic         m_axi_weights_wready,
    output logic [511:0] m_axi_weights_wdata,
    output logic [63:0]  m_axi_weights_wstrb,
    output logic         m_axi_weights_wlast,
    input  logic         m_axi_weights_bvalid,
    output logic         m_axi_weights_bready,
    input  logic [0:0]   m_axi_weights_bid,
    input  logic [1:0]   m_axi_weights_bresp,
    output logic         m_axi_weights_arvalid,
    input  logic         m_axi_weights_arready,
    output logic [63:0]  m_axi_weights_araddr,
    output logic [0:0]   m_axi_weights_arid,
    output logic [7:0]   m_axi_weights_arlen,
    output logic [2:0]   m_axi_weights_arsize,
    output logic [1:0]   m_axi_weights_arburst,
    output logic [1:0]   m_axi_weights_arlock,
    output logic [3:0]   m_axi_weights_arcache,
    output logic [2:0]   m_axi_weights_arprot,
    output logic [3:0]   m_axi_weights_arqos,
    input  logic         m_axi_weights_rvalid,
    output logic         m_axi_weights_rready,
    input  logic [511:0] m_axi_weights_rdata,
    input  logic [0:0]   m_axi_weights_rid,
    input  logic [1:0]   m_axi_weights_rresp,
    input  logic         m_axi_weights_rlast,
    // verilator lint_on UNUSEDSIGNAL
    // verilator lint_off UNUSEDSIGNAL
    output logic         m_axi_in_awvalid,
    input  logic         m_axi_in_awready,
    output logic [63:0]  m_axi_in_awaddr,
    output logic [0:0]   m_axi_in_awid,
    output logic [7:0]   m_axi_in_awlen,
    output logic [2:0]   m_axi_in_awsize,
    output logic [1:0]   m_axi_in_awburst,
    output logic [1:0]   m_axi_in_awlock,
    output logic [3:0]   m_axi_in_awcache,
    output logic [2:0]   m_axi_in_awprot,
    output logic [3:0]   m_axi_in_awqos,
    output logic         m_axi_in_wvalid,
    input  logic         m_axi_in_wready,
    output logic [511:0] m_axi_in_wdata,
    output logic [63:0]  m_axi_in_wstrb,
    output logic         m_axi_in_wlast,
    input  logic         m_axi_in_bvalid,
    output logic         m_axi_in_bready,
    input  logic [0:0]   m_axi_in_bid,
    input  logic [1:0]   m_axi_in_bresp,
    output logic         m_axi_in_arvalid,
    input  logic         m_axi_in_arready,
    output logic [63:0]  m_axi_in_araddr,
    output logic [0:0]   m_axi_in_arid,
    output logic [7:0]   m_axi_in_arlen,
    output logic [2:0]   m_axi_in_arsize,
    output logic [1:0]   m_axi_in_arburst,
    output logic [1:0]   m_axi_in_arlock,
    output logic [3:0]   m_axi_in_arcache,
    output logic [2:0]   m_axi_in_arprot,
    output logic [3:0]   m_axi_in_arqos,
    input  logic         m_axi_in_rvalid,
    output logic         m_axi_in_rready,
    input  logic [511:0] m_axi_in_rdata,
    input  logic [0:0]   m_axi_in_rid,
    input  logic [1:0]   m_axi_in_rresp,
    input  logic         m_axi_in_rlast,
    // verilator lint_on UNUSEDSIGNAL
    // verilator lint_off UNUSEDSIGNAL
    output logic         m_axi_add_awvalid,
    input  logic         m_axi_add_awready,
    output logic [63:0]  m_axi_add_awaddr,
    output logic [0:0]   m_axi_add_awid,
    output logic [7:0]   m_axi_add_awlen,
    output logic [2:0]   m_axi_add_awsize,
    output logic [1:0]   m_axi_add_awburst,
    output logic [1:0]   m_axi_add_awlock,
    output logic [3:0]   m_axi_add_awcache,
    output logic [2:0]   m_axi_add_awprot,
    output logic [3:0]   m_axi_add_awqos,
    output logic         m_axi_add_wvalid,
    input  logic         m_axi_add_wready,
    output logic [511:0] m_axi_add_wdata,
    output logic [63:0]  m_axi_add_wstrb,
    output logic         m_axi_add_wlast,
    input  logic         m_axi_add_bvalid,
    output logic         m_axi_add_bready,
    input  logic [0:0]   m_axi_add_bid,
    input  logic [1:0]   m_axi_add_bresp,
    output logic         m_axi_add_arvalid,
    input  logic         m_axi_add_arready,
    output logic [63:0]  m_axi_add_araddr,
    output logic [0:0]   m_axi_add_arid,
    output logic [7:0]   m_axi_add_arlen,
    output logic [2:0]   m_axi_add_arsize,
    output logic [1:0]   m_axi_add_arburst,
    output logic [1:0]   m_axi_add_arlock,
    output logic [3:0]   m_axi_add_arcache,
    output logic [2:0]   m_axi_add_arprot,
    output logic [3:0]   m_axi_add_arqos,
    input  logic         m_axi_add_rvalid,
    output logic         m_axi_add_rready,
    input  logic [511:0] m_axi_add_rdata,
    input  logic [0:0]   m_axi_add_rid,
    input  logic [1:0]   m_axi_add_rresp,
    input  logic         m_axi_add_rlast,
    // verilator lint_on UNUSEDSIGNAL
    // verilator lint_off UNUSEDSIGNAL
    output logic         m_axi_out_awvalid,
    input  logic         m_axi_out_awready,
    output logic [63:0]  m_axi_out_awaddr,
    output logic [0:0]   m_axi_out_awid,
    output logic [7:0]   m_axi_out_awlen,
    output logic [2:0]   m_axi_out_awsize,
    output logic [1:0]   m_axi_out_awburst,
    output logic [1:0]   m_axi_out_awlock,
    output logic [3:0]   m_axi_out_awcache,
    output logic [2:0]   m_axi_out_awprot,
    output logic [3:0]   m_axi_out_awqos,
    output logic         m_axi_out_wvalid,
    input  logic         m_axi_out_wready,
    output logic [511:0] m_axi_out_wdata,
    output logic [63:0]  m_axi_out_wstrb,
    output logic         m_axi_out_wlast,
    input  logic         m_axi_out_bvalid,
    output logic         m_axi_out_bready,
    input  logic [0:0]   m_axi_out_bid,
    input  logic [1:0]   m_axi_out_bresp,
    output logic         m_axi_out_arvalid,
    input  logic         m_axi_out_arready,
    output logic [63:0]  m_axi_out_araddr,
    output logic [0:0]   m_axi_out_arid,
    output logic [7:0]   m_axi_out_arlen,
    output logic [2:0]   m_axi_out_arsize,
    output logic [1:0]   m_axi_out_arburst,
    output logic [1:0]   m_axi_out_arlock,
    output logic [3:0]   m_axi_out_arcache,
    output logic [2:0]   m_axi_out_arprot,
    output logic [3:0]   m_axi_out_arqos,
    input  logic         m_axi_out_rvalid,
    output logic         m_axi_out_rready,
    input  logic [511:0] m_axi_out_rdata,
    input  logic [0:0]   m_axi_out_rid,
    input  logic [1:0]   m_axi_out_rresp,
    input  logic         m_axi_out_rlast
    // verilator lint_on UNUSEDSIGNAL
);
  localparam int unsigned WORD = CPI * ACTIVATION_BITS;
  localparam int unsigned PIXEL = CPO * ACTIVATION_BITS;
  localparam int unsigned BEAT_WORDS = BEAT_BITS / WORD;
  localparam int unsigned LOAD_WORDS = BEAT_WORDS < 8 ? BEAT_WORDS : 8;
  localparam int unsigned PARTIAL = ACTIVATION_BITS + WEIGHT_BITS + $clog2(TAPS * CPI);
  localparam int unsigned BLOCK = TAPS * CPI * CPO * WEIGHT_BITS;
  localparam int unsigned CREDITS = 64;

  if (CPI < 2 || CPI > 32 || 2 ** $clog2(CPI) != CPI) begin : g_check_cpi
    $error("CPI must be a power of two, 2..32, not %0d", CPI);
  end
  if (CPO < CPI || CPO > 32 || 2 ** $clog2(CPO) != CPO) begin : g_check_cpo
    $error("CPO must be a power of two, CPI..32, not %0d", CPO);
  end
  if (ACTIVATION_BITS != 8 && ACTIVATION_BITS != 16) begin : g_check_activations
    $error("ACTIVATION_BITS must be 8 or 16, not %0d", ACTIVATION_BITS);
  end
  if (WEIGHT_BITS != 4 && WEIGHT_BITS != 8) begin : g_check_weights
    $error("WEIGHT_BITS must be 4 or 8, not %0d", WEIGHT_BITS);
  end

  // --- Resets: the scheduler's own stop also empties the units. ---
  logic soft_reset;
  wire reset = !ap_rst_n;
  wire unit_reset = reset || soft_reset;

  // --- Control. ---
  logic start, done, idle, log_write, host_abort;
  logic [63:0] program_base, weights_base, in_base, add_base, out_base;
  logic [31:0] first, count, status, watchdog, schedule_debug;
  logic [9:0] log_index;
  logic [127:0] log_data, debug;
  s_axi_control i_control (
      .clk_i(ap_clk), .rst_i(reset),
      .awvalid_i(s_axi_control_awvalid), .awready_o(s_axi_control_awready), .awaddr_i(s_axi_control_awaddr),
      .wvalid_i(s_axi_control_wvalid), .wready_o(s_axi_control_wready), .wdata_i(s_axi_control_wdata),
      .wstrb_i(s_axi_control_wstrb), .bvalid_o(s_axi_control_bvalid), .bready_i(s_axi_control_bready),
      .bresp_o(s_axi_control_bresp), .arvalid_i(s_axi_control_arvalid), .arready_o(s_axi_control_arready),
      .araddr_i(s_axi_control_araddr), .rvalid_o(s_axi_control_rvalid), .rready_i(s_axi_control_rready),
      .rdata_o(s_axi_control_rdata), .rresp_o(s_axi_control_rresp), .interrupt_o(interrupt),
      .start_o(start), .done_i(done), .idle_i(idle), .program_o(program_base), .weights_o(weights_base),
      .act_in_o(in_base), .act_add_o(add_base), .act_out_o(out_base), .first_o(first), .count_o(count), .abort_o(host_abort),
      .watchdog_o(watchdog), .status_i(status),
      .log_write_i(log_write), .log_index_i(log_index), .log_data_i(log_data), .debug_i(debug)
  );

  // --- Scheduler. ---
  // verilator lint_off UNUSEDSIGNAL
  descriptor_pkg::layer_descriptor_t layer, next;  // only parts of these leave the scheduler
  layer_plan_t plan;
  // verilator lint_on UNUSEDSIGNAL
  shape_t shape;
  logic fetch_valid, fetch_ready, descriptor_valid, descriptor_ready;
  logic [63:0] fetch_address;
  logic [BEAT_BITS-1:0] descriptor_beat;
  logic weights_valid, weights_ready, block_cmd_valid, block_cmd_ready, lanes_cmd_valid, lanes_cmd_ready;
  logic [4:0] strip_valid, strip_ready;
  load_cmd_t load_cmd;
  pad_cmd_t pad_cmd;
  pool_cmd_t pool_cmd;
  addend_cmd_t addend_cmd;
  write_cmd_t write_cmd;
  logic frame_valid, drained, abort;
  logic [5:0] port_error, port_quiet;
  logic progress;
  always_ff @(posedge ap_clk)
    progress <= frame_valid || m_axi_program_rvalid || m_axi_weights_rvalid || m_axi_in_rvalid || m_axi_add_rvalid ||
        (m_axi_out_wvalid && m_axi_out_wready) || m_axi_out_bvalid;
  schedule #(
      .CPI(CPI), .CPO(CPO), .ACTIVATION_BITS(ACTIVATION_BITS), .WEIGHT_BITS(WEIGHT_BITS), .BANK_WORDS(BANK_WORDS),
      .ACCUMULATOR_PIXELS(ACCUMULATOR_PIXELS), .POOL_WINDOW(POOL_WINDOW), .POOL_WIDTH(POOL_WIDTH)
  ) i_schedule (
      .clk_i(ap_clk), .rst_i(reset), .start_i(start), .done_o(done), .idle_o(idle), .status_o(status),
      .program_i(program_base), .act_in_i(in_base), .act_add_i(add_base), .act_out_i(out_base),
      .first_i(first), .count_i(count), .log_write_o(log_write), .log_index_o(log_index), .log_data_o(log_data),
      .debug_o(schedule_debug), .fetch_valid_o(fetch_valid), .fetch_ready_i(fetch_ready), .fetch_address_o(fetch_address),
      .beat_valid_i(descriptor_valid), .beat_ready_o(descriptor_ready), .beat_i(descriptor_beat),
      .layer_o(layer), .shape_o(shape), .weights_valid_o(weights_valid), .weights_ready_i(weights_ready),
      .block_valid_o(block_cmd_valid), .block_ready_i(block_cmd_ready), .lanes_valid_o(lanes_cmd_valid),
      .lanes_ready_i(lanes_cmd_ready), .next_o(next), .plan_o(plan), .strip_valid_o(strip_valid),
      .strip_ready_i(strip_ready), .load_o(load_cmd), .pad_o(pad_cmd), .pool_o(pool_cmd), .addend_o(addend_cmd),
      .write_o(write_cmd), .frame_i(frame_valid), .drained_i(drained), .memory_error_i(|port_error), .abort_o(abort),
      .quiet_i(&port_quiet), .soft_reset_o(soft_reset), .stop_i(host_abort), .watchdog_i(watchdog), .progress_i(progress)
  );

  // Units may lag behind one another by some strips.
  logic load_valid, load_ready, pad_valid, pad_ready, pool_valid, pool_ready, addend_valid, addend_ready, write_valid, write_ready;
  load_cmd_t load_strip;
  pad_cmd_t pad_strip;
  pool_cmd_t pool_strip;
  addend_cmd_t addend_strip;
  write_cmd_t write_strip;
  fifo #(.WIDTH($bits(load_cmd_t)), .DEPTH(4)) i_load_cmds (
      .clk_i(ap_clk), .rst_i(unit_reset), .valid_i(strip_valid[0]), .ready_o(strip_ready[0]), .data_i(load_cmd),
      .valid_o(load_valid), .ready_i(load_ready), .data_o(load_strip));
  fifo #(.WIDTH($bits(pad_cmd_t)), .DEPTH(8)) i_pad_cmds (
      .clk_i(ap_clk), .rst_i(unit_reset), .valid_i(strip_valid[1]), .ready_o(strip_ready[1]), .data_i(pad_cmd),
      .valid_o(pad_valid), .ready_i(pad_ready), .data_o(pad_strip));
  fifo #(.WIDTH($bits(pool_cmd_t)), .DEPTH(8)) i_pool_cmds (
      .clk_i(ap_clk), .rst_i(unit_reset), .valid_i(strip_valid[2]), .ready_o(strip_ready[2]), .data_i(pool_cmd),
      .valid_o(pool_valid), .ready_i(pool_ready), .data_o(pool_strip));
  fifo #(.WIDTH($bits(addend_cmd_t)), .DEPTH(8)) i_addend_cmds (
      .clk_i(ap_clk), .rst_i(unit_reset), .valid_i(strip_valid[3]), .ready_o(strip_ready[3]), .data_i(addend_cmd),
      .valid_o(addend_valid), .ready_i(addend_ready), .data_o(addend_strip));
  fifo #(.WIDTH($bits(write_cmd_t)), .DEPTH(8)) i_write_cmds (
      .clk_i(ap_clk), .rst_i(unit_reset), .valid_i(strip_valid[4]), .ready_o(strip_ready[4]), .data_i(write_cmd),
      .valid_o(write_valid), .ready_i(write_ready), .data_o(write_strip));

  // --- Program port: descriptors and lane parameters. ---
  logic [1:0] program_arvalid, program_arready, program_rvalid, program_rready;
  logic [127:0] program_araddr;
  logic [15:0] program_arlen;
  read_mux i_program (
      .clk_i(ap_clk), .rst_i(reset), .arvalid_i(program_arvalid), .arready_o(program_arready), .araddr_i(program_araddr),
      .arlen_i(program_arlen), .rvalid_o(program_rvalid), .rready_i(program_rready), .arvalid_o(m_axi_program_arvalid),
      .arready_i(m_axi_program_arready), .araddr_o(m_axi_program_araddr), .arlen_o(m_axi_program_arlen),
      .arid_o(m_axi_program_arid), .rvalid_i(m_axi_program_rvalid), .rready_o(m_axi_program_rready),
      .rid_i(m_axi_program_rid)
  );
  read_port #(.DEPTH(16), .BURST(8)) i_descriptors (
      .clk_i(ap_clk), .rst_i(unit_reset), .cmd_valid_i(fetch_valid), .cmd_ready_o(fetch_ready),
      .cmd_address_i(fetch_address), .cmd_beats_i(32'd8), .beat_valid_o(descriptor_valid),
      .beat_ready_i(descriptor_ready), .beat_data_o(descriptor_beat), .arvalid_o(program_arvalid[0]),
      .arready_i(program_arready[0]), .araddr_o(program_araddr[63:0]), .arlen_o(program_arlen[7:0]),
      .rvalid_i(program_rvalid[0]), .rready_o(program_rready[0]), .rdata_i(m_axi_program_rdata),
      .rresp_i(m_axi_program_rresp), .rlast_i(m_axi_program_rlast), .abort_i(abort), .quiet_o(port_quiet[0]),
      .error_o(port_error[0])
  );
  logic bias_valid, bias_ready, lanes_valid, lanes_ready, table_write, scales_write;
  logic [CPO*32-1:0] bias;
  logic [CPO*64-1:0] lanes;
  logic [1:0] table_index;
  logic [7:0] scales_index;
  logic [BEAT_BITS-1:0] table_data, scales_data;
  read_lanes #(.CPO(CPO)) i_read_lanes (
      .clk_i(ap_clk), .rst_i(unit_reset), .cmd_valid_i(lanes_cmd_valid), .cmd_ready_o(lanes_cmd_ready),
      .cmd_address_i(program_base + 64'({plan.lane_first, 6'd0})), .cmd_run_beats_i(plan.lane_run),
      .cmd_group_stride_i(plan.lane_stride), .cmd_group_count_i(next.group_count), .cmd_strip_count_i(next.strip_count),
      .cmd_table_i(next.table_mode != descriptor_pkg::TABLE_OFF),
      .cmd_table_address_i(program_base + 64'({next.table_base, 6'd0})), .cmd_scale_beats_i(plan.scale_beats),
      .cmd_scales_address_i(program_base + 64'({next.pool_scales_base, 6'd0})), .tables_free_i(1'b1),
      .bias_valid_o(bias_valid), .bias_ready_i(bias_ready), .bias_data_o(bias), .lanes_valid_o(lanes_valid),
      .lanes_ready_i(lanes_ready), .lanes_data_o(lanes), .table_write_o(table_write), .table_index_o(table_index),
      .table_data_o(table_data), .scales_write_o(scales_write), .scales_index_o(scales_index),
      .scales_data_o(scales_data), .arvalid_o(program_arvalid[1]), .arready_i(program_arready[1]),
      .araddr_o(program_araddr[127:64]), .arlen_o(program_arlen[15:8]), .rvalid_i(program_rvalid[1]),
      .rready_o(program_rready[1]), .rdata_i(m_axi_program_rdata), .rresp_i(m_axi_program_rresp),
      .rlast_i(m_axi_program_rlast), .abort_i(abort), .quiet_o(port_quiet[1]), .error_o(port_error[1])
  );

  // --- Weights. ---
  logic weight_beat_valid, weight_beat_ready, block_valid, take_block;
  logic [BEAT_BITS-1:0] weight_beat;
  logic [BLOCK-1:0] block;
  read_weights i_read_weights (
      .clk_i(ap_clk), .rst_i(unit_reset), .cmd_valid_i(weights_valid), .cmd_ready_o(weights_ready),
      .cmd_address_i(weights_base + 64'({plan.weight_first, 6'd0})), .cmd_run_beats_i(plan.weight_run),
      .cmd_group_stride_i(plan.weight_stride), .cmd_group_count_i(next.group_count),
      .cmd_strip_count_i(next.strip_count), .beat_valid_o(weight_beat_valid), .beat_ready_i(weight_beat_ready),
      .beat_data_o(weight_beat), .arvalid_o(m_axi_weights_arvalid), .arready_i(m_axi_weights_arready),
      .araddr_o(m_axi_weights_araddr), .arlen_o(m_axi_weights_arlen), .rvalid_i(m_axi_weights_rvalid),
      .rready_o(m_axi_weights_rready), .rdata_i(m_axi_weights_rdata), .rresp_i(m_axi_weights_rresp),
      .rlast_i(m_axi_weights_rlast), .abort_i(abort), .quiet_o(port_quiet[2]), .error_o(port_error[2])
  );
  weight_block #(.CPI(CPI), .CPO(CPO), .WEIGHT_BITS(WEIGHT_BITS)) i_weight_block (
      .clk_i(ap_clk), .rst_i(unit_reset), .cmd_valid_i(block_cmd_valid), .cmd_ready_o(block_cmd_ready),
      .cmd_op_i(next.op), .cmd_blocks_i(plan.blocks), .beat_valid_i(weight_beat_valid), .beat_ready_o(weight_beat_ready),
      .beat_i(weight_beat), .block_valid_o(block_valid), .take_i(take_block), .block_o(block)
  );

  // --- Input. ---
  logic bank_write, bank_write_buffer, bank_write_pointwise, advance, bank_read, bank_read_buffer, strip_loaded, release_strip;
  logic [3:0] bank_write_bank, bank_write_count;
  logic [1:0] bank_write_class, strip_number;
  logic [19:0] bank_write_address;
  logic [LOAD_WORDS*WORD-1:0] bank_write_data;
  logic [TAPS*20-1:0] bank_read_address;
  logic [TAPS*WORD-1:0] bank_read_data, frame;
  logic [15:0] loaded_slices, loaded_rows;
  load #(.WORD(WORD), .LOAD_WORDS(LOAD_WORDS)) i_load (
      .clk_i(ap_clk), .rst_i(unit_reset), .cmd_valid_i(load_valid), .cmd_ready_o(load_ready), .cmd_i(load_strip),
      .arvalid_o(m_axi_in_arvalid), .arready_i(m_axi_in_arready), .araddr_o(m_axi_in_araddr), .arlen_o(m_axi_in_arlen),
      .rvalid_i(m_axi_in_rvalid), .rready_o(m_axi_in_rready), .rdata_i(m_axi_in_rdata), .rresp_i(m_axi_in_rresp),
      .rlast_i(m_axi_in_rlast), .abort_i(abort), .quiet_o(port_quiet[3]), .error_o(port_error[3]),
      .write_o(bank_write), .write_buffer_o(bank_write_buffer), .write_pointwise_o(bank_write_pointwise),
      .write_bank_o(bank_write_bank), .write_class_o(bank_write_class), .write_address_o(bank_write_address),
      .write_count_o(bank_write_count), .write_data_o(bank_write_data), .strip_i(strip_number),
      .release_i(release_strip), .loaded_o(strip_loaded), .loaded_slices_o(loaded_slices), .loaded_rows_o(loaded_rows)
  );
  banks #(.WORD(WORD), .BANK_WORDS(BANK_WORDS), .LOAD_WORDS(LOAD_WORDS)) i_banks (
      .clk_i(ap_clk), .write_i(bank_write), .write_buffer_i(bank_write_buffer),
      .write_pointwise_i(bank_write_pointwise), .write_bank_i(bank_write_bank), .write_class_i(bank_write_class),
      .write_address_i(bank_write_address), .write_count_i(bank_write_count), .write_data_i(bank_write_data),
      .advance_i(advance), .read_i(bank_read), .read_buffer_i(bank_read_buffer), .read_address_i(bank_read_address),
      .read_data_o(bank_read_data)
  );

  // --- Frames and the array. ---
  logic row_valid, row_ready, bias_ready_for_frame, credit, take_bias, early_valid, partial_valid;
  frame_row_t row;
  frame_flags_t frame_flags, early_flags, partial_flags;
  logic [CPO*PARTIAL-1:0] partial;
  pad i_pad (
      .clk_i(ap_clk), .rst_i(unit_reset), .layer_i(layer), .shape_i(shape), .cmd_valid_i(pad_valid),
      .cmd_ready_o(pad_ready), .cmd_i(pad_strip), .strip_o(strip_number), .loaded_i(strip_loaded),
      .loaded_slices_i(loaded_slices), .loaded_rows_i(loaded_rows), .row_valid_o(row_valid), .row_ready_i(row_ready),
      .row_o(row)
  );
  cvt #(.CPI(CPI), .ACTIVATION_BITS(ACTIVATION_BITS), .CREDITS(CREDITS)) i_cvt (
      .clk_i(ap_clk), .rst_i(unit_reset), .layer_i(layer), .shape_i(shape), .row_valid_i(row_valid),
      .row_ready_o(row_ready), .row_i(row), .advance_o(advance), .read_o(bank_read), .read_buffer_o(bank_read_buffer),
      .read_address_o(bank_read_address), .read_data_i(bank_read_data), .release_o(release_strip),
      .block_ready_i(block_valid), .bias_ready_i(bias_ready_for_frame), .credit_i(credit), .take_block_o(take_block),
      .take_bias_o(take_bias), .frame_valid_o(frame_valid), .frame_flags_o(frame_flags), .frame_o(frame)
  );
  mul #(
      .CPI(CPI), .CPO(CPO), .ACTIVATION_BITS(ACTIVATION_BITS), .WEIGHT_BITS(WEIGHT_BITS), .PACK(PACK), .LUT_TAPS(LUT_TAPS)
  ) i_mul (
      .clk_i(ap_clk), .rst_i(unit_reset), .take_block_i(take_block), .block_i(block), .frame_valid_i(frame_valid),
      .frame_flags_i(frame_flags), .frame_i(frame), .early_valid_o(early_valid), .early_flags_o(early_flags),
      .partial_valid_o(partial_valid), .partial_flags_o(partial_flags), .partial_o(partial)
  );
  logic sums_valid, sums_ready, sums_first, sums_last;
  logic [CPO*32-1:0] sums;
  add #(.CPO(CPO), .PARTIAL(PARTIAL), .ACCUMULATOR_PIXELS(ACCUMULATOR_PIXELS), .CREDITS(CREDITS)) i_add (
      .clk_i(ap_clk), .rst_i(unit_reset), .early_valid_i(early_valid), .early_flags_i(early_flags),
      .partial_valid_i(partial_valid), .partial_flags_i(partial_flags), .partial_i(partial), .bias_valid_i(bias_valid),
      .bias_ready_o(bias_ready), .bias_i(bias), .take_bias_i(take_bias), .bias_ready_for_frame_o(bias_ready_for_frame),
      .credit_o(credit), .sums_valid_o(sums_valid), .sums_ready_i(sums_ready), .sums_first_o(sums_first),
      .sums_last_o(sums_last), .sums_o(sums)
  );

  // --- Behind the sums. ---
  logic addend_data_valid, addend_data_ready, pixel_valid, pixel_ready, write_idle, post_idle;
  logic [PIXEL-1:0] addend, pixel;
  read_addend #(.CPI(CPI), .CPO(CPO), .ACTIVATION_BITS(ACTIVATION_BITS)) i_read_addend (
      .clk_i(ap_clk), .rst_i(unit_reset), .cmd_valid_i(addend_valid), .cmd_ready_o(addend_ready),
      .cmd_address_i(addend_strip.address), .cmd_plane_i(addend_strip.plane), .cmd_pixels_i(addend_strip.pixels),
      .cmd_outs_i(addend_strip.outs), .cmd_slices_i(addend_strip.slices),
      .addend_valid_o(addend_data_valid), .addend_ready_i(addend_data_ready), .addend_data_o(addend),
      .arvalid_o(m_axi_add_arvalid), .arready_i(m_axi_add_arready), .araddr_o(m_axi_add_araddr),
      .arlen_o(m_axi_add_arlen), .rvalid_i(m_axi_add_rvalid), .rready_o(m_axi_add_rready), .rdata_i(m_axi_add_rdata),
      .rresp_i(m_axi_add_rresp), .rlast_i(m_axi_add_rlast), .abort_i(abort), .quiet_o(port_quiet[4]),
      .error_o(port_error[4])
  );
  post #(
      .CPI(CPI), .CPO(CPO), .ACTIVATION_BITS(ACTIVATION_BITS), .POOL_WINDOW(POOL_WINDOW), .POOL_WIDTH(POOL_WIDTH),
      .LANE_MULTIPLIERS(LANE_MULTIPLIERS)
  ) i_post (
      .clk_i(ap_clk), .rst_i(unit_reset), .layer_i(layer), .sums_valid_i(sums_valid), .sums_ready_o(sums_ready),
      .sums_first_i(sums_first), .sums_last_i(sums_last), .sums_data_i(sums), .lanes_valid_i(lanes_valid),
      .lanes_ready_o(lanes_ready), .lanes_data_i(lanes), .addend_valid_i(addend_data_valid),
      .addend_ready_o(addend_data_ready), .addend_data_i(addend), .table_write_i(table_write),
      .table_index_i(table_index), .table_data_i(table_data), .scales_write_i(scales_write),
      .scales_index_i(scales_index), .scales_data_i(scales_data), .pool_cmd_valid_i(pool_valid),
      .pool_cmd_ready_o(pool_ready), .pool_cmd_map_first_i(pool_strip.map_first),
      .pool_cmd_map_rows_i(pool_strip.map_rows), .pool_cmd_pooled_first_i(pool_strip.pooled_first),
      .pool_cmd_pooled_rows_i(pool_strip.pooled_rows), .pool_cmd_first_strip_i(pool_strip.first_strip),
      .pixel_valid_o(pixel_valid), .pixel_ready_i(pixel_ready), .pixel_data_o(pixel), .idle_o(post_idle)
  );
  logic copy_valid, copy_ready;
  logic [PIXEL-1:0] copy;
  upsample #(.WIDTH(PIXEL)) i_upsample (
      .clk_i(ap_clk), .rst_i(unit_reset), .repeat_y_i(layer.upsample_y[15:0]), .repeat_x_i(layer.upsample_x[15:0]),
      .pixel_valid_i(pixel_valid), .pixel_ready_o(pixel_ready), .pixel_data_i(pixel), .copy_valid_o(copy_valid),
      .copy_ready_i(copy_ready), .copy_data_o(copy)
  );
  write #(.CPI(CPI), .CPO(CPO), .ACTIVATION_BITS(ACTIVATION_BITS)) i_write (
      .clk_i(ap_clk), .rst_i(unit_reset), .cmd_valid_i(write_valid), .cmd_ready_o(write_ready),
      .cmd_address_i(write_strip.address), .cmd_plane_i(write_strip.plane), .cmd_rows_i(write_strip.rows),
      .cmd_width_i(write_strip.width), .cmd_row_i(write_strip.row), .cmd_repeat_y_i(write_strip.repeat_y),
      .cmd_repeat_x_i(write_strip.repeat_x), .cmd_outs_i(write_strip.outs), .cmd_slices_i(write_strip.slices),
      .pixel_valid_i(copy_valid), .pixel_ready_o(copy_ready), .pixel_data_i(copy),
      .awvalid_o(m_axi_out_awvalid), .awready_i(m_axi_out_awready), .awaddr_o(m_axi_out_awaddr),
      .awlen_o(m_axi_out_awlen), .wvalid_o(m_axi_out_wvalid), .wready_i(m_axi_out_wready), .wdata_o(m_axi_out_wdata),
      .wstrb_o(m_axi_out_wstrb), .wlast_o(m_axi_out_wlast), .bvalid_i(m_axi_out_bvalid), .bready_o(m_axi_out_bready),
      .bresp_i(m_axi_out_bresp), .abort_i(abort), .quiet_o(port_quiet[5]), .error_o(port_error[5]),
      .idle_o(write_idle)
  );
  assign drained = write_idle && !write_valid && !pool_valid && post_idle;
  assign debug = {
    schedule_debug,
    port_quiet, 10'd0, load_valid, load_ready, pad_valid, pad_ready, pool_valid, pool_ready, addend_valid, addend_ready,
    write_valid, write_ready, write_idle, drained, 4'd0,
    row_valid, row_ready, advance, frame_valid, block_valid, weight_beat_valid, bias_ready_for_frame, lanes_valid,
    sums_valid, sums_ready, addend_data_valid, addend_data_ready, pixel_valid, pixel_ready, strip_loaded, 1'b0,
    loaded_slices,
    loaded_rows, 16'd0
  };

  // --- What AXI fixes: whole beats, incrementing bursts; and the directions that a port does not use. ---
  assign {m_axi_program_arsize, m_axi_program_arburst, m_axi_program_arlock, m_axi_program_arcache, m_axi_program_arprot, m_axi_program_arqos} = {3'd6, 2'b01, 2'd0, 4'b0011, 3'd0, 4'd0};
  assign {m_axi_program_awvalid, m_axi_program_awaddr, m_axi_program_awid, m_axi_program_awlen, m_axi_program_awlock, m_axi_program_awprot, m_axi_program_awqos} = '0;
  assign {m_axi_program_awsize, m_axi_program_awburst, m_axi_program_awcache} = {3'd6, 2'b01, 4'b0011};
  assign {m_axi_program_wvalid, m_axi_program_wdata, m_axi_program_wstrb, m_axi_program_wlast} = '0;
  assign m_axi_program_bready = 1'b1;
  assign {m_axi_weights_arsize, m_axi_weights_arburst, m_axi_weights_arlock, m_axi_weights_arcache, m_axi_weights_arprot, m_axi_weights_arqos} = {3'd6, 2'b01, 2'd0, 4'b0011, 3'd0, 4'd0};
  assign m_axi_weights_arid = '0;
  assign {m_axi_weights_awvalid, m_axi_weights_awaddr, m_axi_weights_awid, m_axi_weights_awlen, m_axi_weights_awlock, m_axi_weights_awprot, m_axi_weights_awqos} = '0;
  assign {m_axi_weights_awsize, m_axi_weights_awburst, m_axi_weights_awcache} = {3'd6, 2'b01, 4'b0011};
  assign {m_axi_weights_wvalid, m_axi_weights_wdata, m_axi_weights_wstrb, m_axi_weights_wlast} = '0;
  assign m_axi_weights_bready = 1'b1;
  assign {m_axi_in_arsize, m_axi_in_arburst, m_axi_in_arlock, m_axi_in_arcache, m_axi_in_arprot, m_axi_in_arqos} = {3'd6, 2'b01, 2'd0, 4'b0011, 3'd0, 4'd0};
  assign m_axi_in_arid = '0;
  assign {m_axi_in_awvalid, m_axi_in_awaddr, m_axi_in_awid, m_axi_in_awlen, m_axi_in_awlock, m_axi_in_awprot, m_axi_in_awqos} = '0;
  assign {m_axi_in_awsize, m_axi_in_awburst, m_axi_in_awcache} = {3'd6, 2'b01, 4'b0011};
  assign {m_axi_in_wvalid, m_axi_in_wdata, m_axi_in_wstrb, m_axi_in_wlast} = '0;
  assign m_axi_in_bready = 1'b1;
  assign {m_axi_add_arsize, m_axi_add_arburst, m_axi_add_arlock, m_axi_add_arcache, m_axi_add_arprot, m_axi_add_arqos} = {3'd6, 2'b01, 2'd0, 4'b0011, 3'd0, 4'd0};
  assign m_axi_add_arid = '0;
  assign {m_axi_add_awvalid, m_axi_add_awaddr, m_axi_add_awid, m_axi_add_awlen, m_axi_add_awlock, m_axi_add_awprot, m_axi_add_awqos} = '0;
  assign {m_axi_add_awsize, m_axi_add_awburst, m_axi_add_awcache} = {3'd6, 2'b01, 4'b0011};
  assign {m_axi_add_wvalid, m_axi_add_wdata, m_axi_add_wstrb, m_axi_add_wlast} = '0;
  assign m_axi_add_bready = 1'b1;
  assign {m_axi_out_awsize, m_axi_out_awburst, m_axi_out_awlock, m_axi_out_awcache, m_axi_out_awprot, m_axi_out_awqos} = {3'd6, 2'b01, 2'd0, 4'b0011, 3'd0, 4'd0};
  assign m_axi_out_awid = '0;
  assign {m_axi_out_arvalid, m_axi_out_araddr, m_axi_out_arid, m_axi_out_arlen, m_axi_out_arlock, m_axi_out_arprot, m_axi_out_arqos} = '0;
  assign {m_axi_out_arsize, m_axi_out_arburst, m_axi_out_arcache} = {3'd6, 2'b01, 4'b0011};
  assign m_axi_out_rready = 1'b1;

endmodule
