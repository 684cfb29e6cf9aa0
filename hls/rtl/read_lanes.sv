// SPDX-License-Identifier: Apache-2.0
// read_lanes: the table and the averaging scales of a layer into the units' memories, then the lane records of every output
// group as two streams, an item each max(1, CPO/4) clocks.
module read_lanes #(
    parameter int CPO   = 8,
    parameter int DEPTH = 64,
    parameter int BURST = 16
) (
    input  logic              clk_i,
    input  logic              rst_i,
    input  logic              cmd_valid_i,
    output logic              cmd_ready_o,
    input  logic [      63:0] cmd_address_i,
    input  logic [      31:0] cmd_run_beats_i,
    input  logic [      31:0] cmd_group_stride_i,
    input  logic [      31:0] cmd_group_count_i,
    input  logic [      31:0] cmd_strip_count_i,
    input  logic              cmd_table_i,
    input  logic [      63:0] cmd_table_address_i,
    input  logic [      31:0] cmd_scale_beats_i,
    input  logic [      63:0] cmd_scales_address_i,
    input  logic              tables_free_i,         // every layer before that of the last command taken has ended
    output logic              bias_valid_o,
    input  logic              bias_ready_i,
    output logic [CPO*32-1:0] bias_data_o,
    output logic              lanes_valid_o,
    input  logic              lanes_ready_i,
    output logic [CPO*64-1:0] lanes_data_o,
    output logic              table_write_o,
    output logic [       1:0] table_index_o,
    output logic [     511:0] table_data_o,
    output logic              scales_write_o,
    output logic [       7:0] scales_index_o,
    output logic [     511:0] scales_data_o,
    output logic              arvalid_o,
    input  logic              arready_i,
    output logic [      63:0] araddr_o,
    output logic [       7:0] arlen_o,
    input  logic              rvalid_i,
    output logic              rready_o,
    input  logic [     511:0] rdata_i,
    input  logic [       1:0] rresp_i,
    input  logic              rlast_i,
    input  logic              abort_i,
    output logic              quiet_o,
    output logic              error_o
);

  localparam int RECORDS = CPO < 4 ? CPO : 4;  // records in a beat
  localparam int BLOCK = CPO / RECORDS;        // beats of an output group
  localparam int RUNS = 32;                    // runs under way

  if (CPO < 2 || CPO > 32 || CPO != 1 << $clog2(CPO)) begin : g_check
    $error("read_lanes: CPO must be a power of two, 2..32");
  end

  typedef enum logic [1:0] {
    LANES,
    TABLE,
    SCALES
  } kind_t;

  // Asking: table, scales, then the runs of lane records.
  logic runs_ready, run_valid, run_ready;
  logic [63:0] run_address, ask_address;
  logic [31:0] run_beats, ask_beats;
  logic take, ask, ask_valid, tag_ready, port_ready;
  logic table_ask_q, scales_ask_q;
  logic [63:0] table_address_q, scales_address_q;
  logic [31:0] scale_beats_q;
  kind_t ask_kind;

  // Table and scales that are not yet written. A further command would move the layer that tables_free_i speaks of.
  logic [1:0] unwritten_q;
  logic written;

  assign cmd_ready_o = runs_ready && unwritten_q == '0;
  assign take        = cmd_valid_i && cmd_ready_o;
  assign ask_kind    = table_ask_q ? TABLE : scales_ask_q ? SCALES : LANES;
  assign ask_address = table_ask_q ? table_address_q : scales_ask_q ? scales_address_q : run_address;
  assign ask_beats   = table_ask_q ? 32'd4 : scales_ask_q ? scale_beats_q : run_beats;
  assign ask_valid   = table_ask_q || scales_ask_q || run_valid;
  assign ask         = ask_valid && tag_ready && port_ready;
  assign run_ready   = tag_ready && port_ready && !table_ask_q && !scales_ask_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      table_ask_q  <= 1'b0;
      scales_ask_q <= 1'b0;
      unwritten_q  <= '0;
    end else if (take) begin
      table_ask_q  <= cmd_table_i;
      scales_ask_q <= cmd_scale_beats_i != '0;
      unwritten_q  <= 2'(cmd_table_i) + 2'(cmd_scale_beats_i != '0);
    end else begin
      if (ask) table_ask_q <= 1'b0;
      if (ask && !table_ask_q) scales_ask_q <= 1'b0;
      if (written) unwritten_q <= unwritten_q - 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (take) begin
      table_address_q  <= cmd_table_address_i;
      scales_address_q <= cmd_scales_address_i;
      scale_beats_q    <= cmd_scale_beats_i;
    end
  end

  read_runs runs (
      .clk_i,
      .rst_i,
      .cmd_valid_i  (cmd_valid_i && unwritten_q == '0),
      .cmd_ready_o  (runs_ready),
      .cmd_address_i,
      .cmd_run_beats_i,
      .cmd_group_stride_i,
      .cmd_group_count_i,
      .cmd_strip_count_i,
      .run_valid_o  (run_valid),
      .run_ready_i  (run_ready),
      .run_address_o(run_address),
      .run_beats_o  (run_beats)
  );

  // What each run on its way is.
  logic tag_valid, tag_pop;
  logic [31:0] tag_beats;
  logic [1:0] tag_kind;

  fifo #(
      .WIDTH(34),
      .DEPTH(RUNS)
  ) tags (
      .clk_i,
      .rst_i,
      .valid_i(ask_valid && port_ready),
      .ready_o(tag_ready),
      .data_i ({ask_kind, ask_beats}),
      .valid_o(tag_valid),
      .ready_i(tag_pop),
      .data_o ({tag_kind, tag_beats})
  );

  logic beat_valid, beat_ready;
  logic [511:0] beat;

  read_port #(
      .DEPTH(DEPTH),
      .BURST(BURST)
  ) port (
      .clk_i,
      .rst_i,
      .cmd_valid_i  (ask_valid && tag_ready),
      .cmd_ready_o  (port_ready),
      .cmd_address_i(ask_address),
      .cmd_beats_i  (ask_beats),
      .beat_valid_o (beat_valid),
      .beat_ready_i (beat_ready),
      .beat_data_o  (beat),
      .arvalid_o,
      .arready_i,
      .araddr_o,
      .arlen_o,
      .rvalid_i,
      .rready_o,
      .rdata_i,
      .rresp_i,
      .rlast_i,
      .abort_i,
      .quiet_o,
      .error_o
  );

  // Handing out. A block's last beat goes on together with those held.
  logic [31:0] index_q;
  logic beat_take, is_lanes, block_end, push, bias_ready, lanes_ready;

  assign is_lanes   = tag_kind == LANES;
  assign push       = beat_valid && tag_valid && is_lanes && block_end && bias_ready && lanes_ready;
  assign beat_ready = tag_valid && (is_lanes ? push || !block_end : tables_free_i);
  assign beat_take  = beat_valid && beat_ready;
  assign tag_pop    = beat_take && index_q == tag_beats - 32'd1;
  assign written    = tag_pop && !is_lanes;

  always_ff @(posedge clk_i) begin
    if (rst_i) index_q <= '0;
    else if (beat_take) index_q <= tag_pop ? '0 : index_q + 32'd1;
  end

  assign table_write_o  = beat_take && tag_kind == TABLE;
  assign table_index_o  = index_q[1:0];
  assign table_data_o   = beat;
  assign scales_write_o = beat_take && tag_kind == SCALES;
  assign scales_index_o = index_q[7:0];
  assign scales_data_o  = beat;

  // verilator lint_off UNUSEDSIGNAL
  logic [BLOCK*512-1:0] block;  // a record's last four bytes, and records beyond CPO, are filling
  // verilator lint_on UNUSEDSIGNAL

  if (BLOCK == 1) begin : g_beat
    assign block_end = 1'b1;
    assign block     = beat;
  end else begin : g_beats
    localparam int STEP = $clog2(BLOCK);
    logic [(BLOCK-1)*512-1:0] held_q;

    assign block_end = index_q[STEP-1:0] == '1;
    assign block     = {beat, held_q};

    always_ff @(posedge clk_i) begin
      if (beat_take && is_lanes && !block_end) held_q[512*index_q[STEP-1:0]+:512] <= beat;
    end
  end

  logic [CPO*32-1:0] bias;
  logic [CPO*64-1:0] lanes;

  for (genvar lane = 0; lane < CPO; lane++) begin : g_lane
    assign bias[32*lane+:32]  = block[128*lane+:32];
    assign lanes[64*lane+:64] = block[128*lane+32+:64];
  end

  fifo #(
      .WIDTH(CPO * 32),
      .DEPTH(2)
  ) bias_items (
      .clk_i,
      .rst_i,
      .valid_i(push),
      .ready_o(bias_ready),
      .data_i (bias),
      .valid_o(bias_valid_o),
      .ready_i(bias_ready_i),
      .data_o (bias_data_o)
  );

  fifo #(
      .WIDTH(CPO * 64),
      .DEPTH(2)
  ) lanes_items (
      .clk_i,
      .rst_i,
      .valid_i(push),
      .ready_o(lanes_ready),
      .data_i (lanes),
      .valid_o(lanes_valid_o),
      .ready_i(lanes_ready_i),
      .data_o (lanes_data_o)
  );

endmodule
