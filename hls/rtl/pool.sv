// SPDX-License-Identifier: Apache-2.0
// pool: maximum or average over windows or the whole map, as the pixels stream by, one a clock (pool_steps.sv says when not).
// About 20 clocks from the pixel that ends a window to the pooled one. Without a pool, pixels pass at once.
module pool #(
    parameter int unsigned CPO = 8,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned POOL_WINDOW = 8,
    parameter int unsigned POOL_WIDTH = 1024,
    parameter bit USE_DSP = 1,
    parameter int unsigned PIXEL = CPO * ACTIVATION_BITS
) (
    input logic clk_i,
    input logic rst_i,
    input descriptor_pkg::layer_descriptor_t layer_i,
    input logic scales_write_i,
    input logic [7:0] scales_index_i,
    input logic [511:0] scales_data_i,
    // a strip; the layer's out_count maps of it follow each other
    input logic cmd_valid_i,
    output logic cmd_ready_o,
    input logic [15:0] cmd_map_first_i,
    input logic [15:0] cmd_map_rows_i,
    input logic [15:0] cmd_pooled_first_i,
    input logic [15:0] cmd_pooled_rows_i,
    input logic cmd_first_strip_i,
    input logic pixel_valid_i,
    output logic pixel_ready_o,
    input logic [PIXEL-1:0] pixel_data_i,
    output logic pixel_valid_o,
    input logic pixel_ready_i,
    output logic [PIXEL-1:0] pixel_data_o,
    output logic idle_o
);
  localparam int unsigned VALUE = ACTIVATION_BITS + 1;  // an activation minus a zero point
  localparam int unsigned TOTAL = VALUE + 2 * $clog2(POOL_WINDOW);
  localparam int unsigned OPERAND = TOTAL > 17 ? TOTAL : 17;  // at least half of 32 bits and a sign
  localparam int unsigned ROOM = 32;  // more than the latency

  if (POOL_WINDOW < 2 || POOL_WINDOW > 8 || POOL_WIDTH < 2) begin : g_check
    $error("pool: POOL_WINDOW must be in 2..8, POOL_WIDTH at least 2");
  end

  // What the layer is, decoded once; it stands still from before its first pixel.
  logic off, windowed, maximum, averages;
  always_ff @(posedge clk_i) begin
    off <= layer_i.pool_mode == descriptor_pkg::POOL_OFF;
    windowed <= layer_i.pool_mode == descriptor_pkg::POOL_MAX || layer_i.pool_mode == descriptor_pkg::POOL_AVERAGE;
    maximum <= layer_i.pool_mode == descriptor_pkg::POOL_MAX || layer_i.pool_mode == descriptor_pkg::POOL_GLOBAL_MAX;
    averages <= layer_i.pool_mode == descriptor_pkg::POOL_AVERAGE;
  end

  // Steps.
  logic steps_ready, steps_idle, step, in_map, first_row, beside, first_column, first_pixel, emit;
  logic signed [19:0] row, column;
  logic [$clog2(ROOM+1)-1:0] room;
  pool_steps u_steps (
      .clk_i,
      .rst_i,
      .layer_i,
      .cmd_valid_i,
      .cmd_ready_o,
      .cmd_map_first_i,
      .cmd_map_rows_i,
      .cmd_pooled_first_i,
      .cmd_pooled_rows_i,
      .cmd_first_strip_i,
      .pixel_valid_i,
      .pixel_ready_o(steps_ready),
      .room_i(room != '0),
      .idle_o(steps_idle),
      .step_o(step),
      .in_map_o(in_map),
      .first_row_o(first_row),
      .beside_o(beside),
      .first_column_o(first_column),
      .first_pixel_o(first_pixel),
      .emit_o(emit),
      .row_o(row),
      .column_o(column)
  );

  // The values of a step; outside the map what changes no total.
  localparam logic [VALUE-1:0] LOWEST = {1'b1, {VALUE - 1{1'b0}}};
  logic value_valid, value_first, value_emit;
  logic [CPO*VALUE-1:0] values;
  always_ff @(posedge clk_i) begin
    value_valid <= step && !rst_i;
    if (step) begin
      value_first <= first_pixel;
      value_emit <= emit;
      for (int lane = 0; lane < CPO; ++lane) begin
        logic [ACTIVATION_BITS-1:0] zero;
        zero = maximum ? '0 : layer_i.pool_in_zero[ACTIVATION_BITS-1:0];
        values[lane*VALUE+:VALUE] <= in_map ?
            VALUE'(signed'(pixel_data_i[lane*ACTIVATION_BITS+:ACTIVATION_BITS])) - VALUE'(signed'(zero)) :
            maximum ? LOWEST : '0;
      end
    end
  end

  logic window_valid;
  logic [CPO*TOTAL-1:0] window_total;
  pool_windows #(
      .CPO(CPO),
      .ACTIVATION_BITS(ACTIVATION_BITS),
      .POOL_WINDOW(POOL_WINDOW),
      .POOL_WIDTH(POOL_WIDTH)
  ) u_windows (
      .clk_i,
      .rst_i,
      .layer_i,
      .step_i(step && windowed),
      .first_row_i(first_row),
      .beside_i(beside),
      .first_column_i(first_column),
      .emit_i(emit),
      .column_i(column[$clog2(POOL_WIDTH)-1:0]),
      .values_i(values),
      .total_valid_o(window_valid),
      .total_o(window_total)
  );

  logic [6:0] cells;
  pool_cells u_cells (
      .clk_i,
      .layer_i,
      .valid_i(step && emit && averages),
      .row_i(row),
      .column_i(column),
      .cells_o(cells)
  );

  // The total of the map lives from strip to strip.
  logic signed [31:0] map_total[CPO];
  logic map_valid, low_valid;
  always_ff @(posedge clk_i) begin
    if (value_valid && !windowed) begin
      for (int lane = 0; lane < CPO; ++lane) begin
        logic signed [31:0] value;
        value = 32'(signed'(values[lane*VALUE+:VALUE]));
        if (value_first) map_total[lane] <= value;
        else if (!maximum) map_total[lane] <= map_total[lane] + value;
        else if (value > map_total[lane]) map_total[lane] <= value;
      end
    end
    map_valid <= value_valid && value_emit && !windowed && !rst_i;
    low_valid <= map_valid && !maximum && !rst_i;
  end

  // Averages: totals of windows, or the two parts of the map's.
  logic [CPO*OPERAND-1:0] operand;
  logic [PIXEL-1:0] largest;
  always_comb begin
    for (int lane = 0; lane < CPO; ++lane) begin
      if (windowed) operand[lane*OPERAND+:OPERAND] = OPERAND'(signed'(window_total[lane*TOTAL+:TOTAL]));
      else if (low_valid) operand[lane*OPERAND+:OPERAND] = {1'b0, map_total[lane][OPERAND-2:0]};
      else operand[lane*OPERAND+:OPERAND] = OPERAND'(map_total[lane] >>> (OPERAND - 1));
      largest[lane*ACTIVATION_BITS+:ACTIVATION_BITS] =
          windowed ? window_total[lane*TOTAL+:ACTIVATION_BITS] : map_total[lane][ACTIVATION_BITS-1:0];
    end
  end

  logic average_valid;
  logic [PIXEL-1:0] average;
  pool_average #(
      .CPO(CPO),
      .ACTIVATION_BITS(ACTIVATION_BITS),
      .POOL_WINDOW(POOL_WINDOW),
      .OPERAND(OPERAND),
      .USE_DSP(USE_DSP)
  ) u_average (
      .clk_i,
      .rst_i,
      .layer_i,
      .scales_write_i,
      .scales_index_i,
      .scales_data_i,
      .valid_i(!maximum && (window_valid || map_valid || low_valid)),
      .high_i(map_valid),
      .low_i(low_valid),
      .record_i(windowed ? cells : 7'd0),
      .operand_i(operand),
      .valid_o(average_valid),
      .pixel_o(average)
  );

  logic pooled_valid;
  logic [PIXEL-1:0] pooled;
  fifo #(
      .WIDTH(PIXEL),
      .DEPTH(ROOM)
  ) u_pooled (
      .clk_i,
      .rst_i,
      .valid_i(maximum ? window_valid || map_valid : average_valid),
      // A step that emits has room.
      // verilator lint_off PINCONNECTEMPTY
      .ready_o(),
      // verilator lint_on PINCONNECTEMPTY
      .data_i(maximum ? largest : average),
      .valid_o(pooled_valid),
      .ready_i(pixel_ready_i),
      .data_o(pooled)
  );
  always_ff @(posedge clk_i) begin
    if (rst_i) room <= ($bits(room))'(ROOM);
    else room <= room - ($bits(room))'(step && emit) + ($bits(room))'(pooled_valid && pixel_ready_i);
  end

  assign pixel_valid_o = off ? pixel_valid_i : pooled_valid;
  assign pixel_data_o = off ? pixel_data_i : pooled;
  assign pixel_ready_o = off ? pixel_ready_i : steps_ready;
  assign idle_o = steps_idle && room == ($bits(room))'(ROOM);

endmodule
