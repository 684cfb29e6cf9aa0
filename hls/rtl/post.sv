// SPDX-License-Identifier: Apache-2.0
// post: what happens to a finished sum, a pixel a clock: requantize, activation, eltwise, pool. Up to the pool nothing waits: a pixel
// is admitted when its lane parameters, its addend and room in front of the pool are there (about 10 to 25 clocks to the pool).
module post #(
    parameter int unsigned CPI = 8,
    parameter int unsigned CPO = 8,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned POOL_WINDOW = 8,
    parameter int unsigned POOL_WIDTH = 1024,
    parameter bit LANE_MULTIPLIERS = 1
) (
    input logic clk_i,
    input logic rst_i,
    input descriptor_pkg::layer_descriptor_t layer_i,
    input logic sums_valid_i,
    output logic sums_ready_o,
    input logic sums_first_i,
    // Part of the stream; pool counts for itself.
    // verilator lint_off UNUSEDSIGNAL
    input logic sums_last_i,
    // verilator lint_on UNUSEDSIGNAL
    input logic [CPO*32-1:0] sums_data_i,
    // one item for each output group of each strip, taken with its first pixel
    input logic lanes_valid_i,
    output logic lanes_ready_o,
    input logic [CPO*64-1:0] lanes_data_i,
    input logic addend_valid_i,
    output logic addend_ready_o,
    input logic [CPO*ACTIVATION_BITS-1:0] addend_data_i,
    input logic table_write_i,
    input logic [1:0] table_index_i,
    input logic [511:0] table_data_i,
    input logic scales_write_i,
    input logic [7:0] scales_index_i,
    input logic [511:0] scales_data_i,
    input logic pool_cmd_valid_i,
    output logic pool_cmd_ready_o,
    input logic [15:0] pool_cmd_map_first_i,
    input logic [15:0] pool_cmd_map_rows_i,
    input logic [15:0] pool_cmd_pooled_first_i,
    input logic [15:0] pool_cmd_pooled_rows_i,
    input logic pool_cmd_first_strip_i,
    output logic pixel_valid_o,
    input logic pixel_ready_i,
    output logic [CPO*ACTIVATION_BITS-1:0] pixel_data_o,
    output logic idle_o  // no pixel inside, no strip begun
);
  localparam int unsigned PIXEL = CPO * ACTIVATION_BITS;
  localparam int unsigned ROOM = 32;  // more than the longest way from here to the pool and back

  if (ACTIVATION_BITS != 8 && ACTIVATION_BITS != 16) begin : g_check_bits
    $error("post: ACTIVATION_BITS must be 8 or 16, not %0d", ACTIVATION_BITS);
  end
  if (CPI < 1 || CPO % CPI != 0) begin : g_check_lanes
    $error("post: CPO must be a multiple of CPI, not %0d of %0d", CPO, CPI);
  end

  // Decoded once; the layer stands still from before its first pixel.
  logic adds, looks_up_before, looks_up_behind;
  always_ff @(posedge clk_i) begin
    adds <= layer_i.add_mode != descriptor_pkg::ADD_OFF;
    looks_up_before <= layer_i.table_mode == descriptor_pkg::TABLE_BEFORE_ADD;
    looks_up_behind <= layer_i.table_mode == descriptor_pkg::TABLE_AFTER_ADD;
  end

  // Admission.
  logic [$clog2(ROOM+1)-1:0] room;
  logic result_taken, table_busy;
  wire admit = sums_valid_i && sums_ready_o;
  assign sums_ready_o = room != '0 && !table_busy && (!sums_first_i || lanes_valid_i) && (!adds || addend_valid_i);
  assign lanes_ready_o = admit && sums_first_i;
  assign addend_ready_o = admit && adds;
  always_ff @(posedge clk_i) begin
    if (rst_i) room <= ($bits(room))'(ROOM);
    else room <= room - ($bits(room))'(admit) + ($bits(room))'(result_taken);
  end

  logic entered, products_valid, products_first, values_valid;
  logic [CPO*64-1:0] products;
  logic [CPO*6-1:0] main_left, other_left, right;
  logic [PIXEL-1:0] values;
  requantize #(
      .CPO(CPO),
      .ACTIVATION_BITS(ACTIVATION_BITS),
      .USE_DSP(LANE_MULTIPLIERS)
  ) u_requantize (
      .clk_i,
      .rst_i,
      .layer_i,
      .sums_valid_i(admit),
      .sums_first_i,
      .sums_data_i,
      .lanes_data_i,
      .entered_o(entered),
      .products_valid_o(products_valid),
      .products_first_o(products_first),
      .products_data_o(products),
      .main_left_o(main_left),
      .other_left_o(other_left),
      .right_o(right),
      .values_valid_o(values_valid),
      .values_data_o(values)
  );

  // One table serves both places: a layer has it before the add or behind it.
  logic looked_up_valid, main_valid, added_valid, sum_valid, result_valid;
  logic [PIXEL-1:0] looked_up, main, added, sum, result;
  assign main_valid = looks_up_before ? looked_up_valid : values_valid;
  assign main = looks_up_before ? looked_up : values;
  assign sum_valid = adds ? added_valid : main_valid;
  assign sum = adds ? added : main;
  assign result_valid = looks_up_behind ? looked_up_valid : sum_valid;
  assign result = looks_up_behind ? looked_up : sum;

  if (ACTIVATION_BITS == 8) begin : g_activation
    activation #(
        .CPO(CPO)
    ) u_activation (
        .clk_i,
        .rst_i,
        .table_write_i,
        .table_index_i,
        .table_data_i,
        .busy_o(table_busy),
        .valid_i(looks_up_before ? values_valid : looks_up_behind && sum_valid),
        .data_i(looks_up_before ? values : sum),
        .valid_o(looked_up_valid),
        .data_o(looked_up)
    );
  end else begin : g_no_activation
    // Only 8-bit values have tables.
    // verilator lint_off UNUSEDSIGNAL
    wire unused = &{1'b0, table_write_i, table_index_i, table_data_i};
    // verilator lint_on UNUSEDSIGNAL
    assign table_busy = 1'b0;
    assign looked_up_valid = 1'b0;
    assign looked_up = '0;
  end

  eltwise #(
      .CPO(CPO),
      .ACTIVATION_BITS(ACTIVATION_BITS),
      .USE_DSP(LANE_MULTIPLIERS),
      .PIXELS(ROOM)
  ) u_eltwise (
      .clk_i,
      .rst_i,
      .layer_i,
      .addend_valid_i(admit && adds),
      .addend_data_i,
      .entered_i(entered),
      .values_valid_i(main_valid),
      .values_data_i(main),
      .products_valid_i(products_valid),
      .products_first_i(products_first),
      .products_data_i(products),
      .main_left_i(main_left),
      .other_left_i(other_left),
      .right_i(right),
      .sums_valid_o(added_valid),
      .sums_data_o(added)
  );

  logic pixel_valid, pixel_ready, pool_idle;
  logic [PIXEL-1:0] pixel;
  fifo #(
      .WIDTH(PIXEL),
      .DEPTH(ROOM)
  ) u_results (
      .clk_i,
      .rst_i,
      .valid_i(result_valid),
      // Only pixels with room are admitted.
      // verilator lint_off PINCONNECTEMPTY
      .ready_o(),
      // verilator lint_on PINCONNECTEMPTY
      .data_i(result),
      .valid_o(pixel_valid),
      .ready_i(pixel_ready),
      .data_o(pixel)
  );
  assign result_taken = pixel_valid && pixel_ready;

  pool #(
      .CPO(CPO),
      .ACTIVATION_BITS(ACTIVATION_BITS),
      .POOL_WINDOW(POOL_WINDOW),
      .POOL_WIDTH(POOL_WIDTH),
      .USE_DSP(LANE_MULTIPLIERS)
  ) u_pool (
      .clk_i,
      .rst_i,
      .layer_i,
      .scales_write_i,
      .scales_index_i,
      .scales_data_i,
      .cmd_valid_i(pool_cmd_valid_i),
      .cmd_ready_o(pool_cmd_ready_o),
      .cmd_map_first_i(pool_cmd_map_first_i),
      .cmd_map_rows_i(pool_cmd_map_rows_i),
      .cmd_pooled_first_i(pool_cmd_pooled_first_i),
      .cmd_pooled_rows_i(pool_cmd_pooled_rows_i),
      .cmd_first_strip_i(pool_cmd_first_strip_i),
      .pixel_valid_i(pixel_valid),
      .pixel_ready_o(pixel_ready),
      .pixel_data_i(pixel),
      .pixel_valid_o,
      .pixel_ready_i,
      .pixel_data_o,
      .idle_o(pool_idle)
  );
  assign idle_o = room == ($bits(room))'(ROOM) && pool_idle;

endmodule
