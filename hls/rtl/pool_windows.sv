// SPDX-License-Identifier: Apache-2.0
// pool_windows: maximum or sum over windows, down the columns, then along the row. A step a clock; a window's total comes 3 clocks
// after the step that ends it. Down, line j holds the total of the last rows of a window, one fewer than line j+1; along, so do
// registers. Small windows use the last lines only, so that the total is always that of the last.
module pool_windows #(
    parameter int unsigned CPO = 8,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned POOL_WINDOW = 8,
    parameter int unsigned POOL_WIDTH = 1024,
    parameter int unsigned VALUE = ACTIVATION_BITS + 1,
    parameter int unsigned COLUMN = VALUE + $clog2(POOL_WINDOW),
    parameter int unsigned TOTAL = COLUMN + $clog2(POOL_WINDOW)
) (
    input logic clk_i,
    input logic rst_i,
    // Each unit reads the fields that concern it.
    // verilator lint_off UNUSEDSIGNAL
    input descriptor_pkg::layer_descriptor_t layer_i,
    // verilator lint_on UNUSEDSIGNAL
    input logic step_i,
    input logic first_row_i,
    input logic beside_i,  // the map: the lines do not hold this column
    input logic first_column_i,
    input logic emit_i,
    input logic [$clog2(POOL_WIDTH)-1:0] column_i,
    // a clock after the step
    input logic [CPO*VALUE-1:0] values_i,
    // three clocks after the step
    output logic total_valid_o,
    output logic [CPO*TOTAL-1:0] total_o
);
  localparam int unsigned LINES = POOL_WINDOW - 1;
  typedef logic [$clog2(POOL_WIDTH)-1:0] column_t;

  // What the layer is, decoded once: which of the POOL_WINDOW totals are in use, and the first of them.
  logic maximum;
  logic [POOL_WINDOW-1:0] is_down, is_along;
  // verilator lint_off UNUSEDSIGNAL
  logic [POOL_WINDOW-1:0] begins_down, begins_along;  // the first total begins always
  // verilator lint_on UNUSEDSIGNAL
  always_ff @(posedge clk_i) begin
    maximum <= layer_i.pool_mode == descriptor_pkg::POOL_MAX;
    for (int unsigned j = 0; j < POOL_WINDOW; ++j) begin
      is_down[j] <= layer_i.pool_window_y[3:0] >= 4'(POOL_WINDOW - j);
      is_along[j] <= layer_i.pool_window_x[3:0] >= 4'(POOL_WINDOW - j);
      begins_down[j] <= layer_i.pool_window_y[3:0] == 4'(POOL_WINDOW - j);
      begins_along[j] <= layer_i.pool_window_x[3:0] == 4'(POOL_WINDOW - j);
    end
  end

  logic value_valid, value_alone, value_beside, value_first_column, value_emit;
  column_t value_column;
  logic column_valid, column_beside, column_first, column_emit;
  column_t column_column;
  always_ff @(posedge clk_i) begin
    value_valid <= step_i && !rst_i;
    column_valid <= value_valid && !rst_i;
    total_valid_o <= column_valid && column_emit && !rst_i;
    if (step_i) begin
      value_alone <= first_row_i || beside_i;
      value_beside <= beside_i;
      value_first_column <= first_column_i;
      value_emit <= emit_i;
      value_column <= column_i;
    end
    if (value_valid) begin
      column_beside <= value_beside;
      column_first <= value_first_column;
      column_emit <= value_emit;
      column_column <= value_column;
    end
  end

  // down[j]: total of the column's last rows, this one included.
  for (genvar j = 0; j < POOL_WINDOW; ++j) begin : g_down
    localparam int unsigned BITS = VALUE + $clog2(j + 1);
    logic signed [BITS-1:0] total[CPO];
    if (j == 0) begin : g_first
      always_ff @(posedge clk_i) begin
        if (value_valid && is_down[0]) begin
          for (int lane = 0; lane < CPO; ++lane) total[lane] <= signed'(values_i[lane*VALUE+:VALUE]);
        end
      end
    end else begin : g_next
      localparam int unsigned BEFORE = VALUE + $clog2(j);
      always_ff @(posedge clk_i) begin
        if (value_valid && is_down[j]) begin
          for (int lane = 0; lane < CPO; ++lane) begin
            logic signed [BITS-1:0] value, so_far;
            value = BITS'(signed'(values_i[lane*VALUE+:VALUE]));
            so_far = BITS'(signed'(g_line[j-1].word[lane*BEFORE+:BEFORE]));
            if (value_alone || begins_down[j]) total[lane] <= value;
            else if (maximum) total[lane] <= so_far > value ? so_far : value;
            else total[lane] <= so_far + value;
          end
        end
      end
    end
  end

  for (genvar j = 0; j < LINES; ++j) begin : g_line
    localparam int unsigned BITS = VALUE + $clog2(j + 1);
    logic [CPO*BITS-1:0] line[POOL_WIDTH];
    logic [CPO*BITS-1:0] word, written;
    for (genvar lane = 0; lane < CPO; ++lane) begin : g_lane
      assign written[lane*BITS+:BITS] = g_down[j].total[lane];
    end
    always_ff @(posedge clk_i) begin
      if (step_i && is_down[j]) word <= line[column_i];
    end
    always_ff @(posedge clk_i) begin
      if (column_valid && !column_beside && is_down[j]) line[column_column] <= written;
    end
  end

  // along[j]: total of the row's last columns, this one included.
  for (genvar j = 0; j < POOL_WINDOW; ++j) begin : g_along
    localparam int unsigned BITS = COLUMN + $clog2(j + 1);
    logic signed [BITS-1:0] total[CPO];
    if (j == 0) begin : g_first
      always_ff @(posedge clk_i) begin
        if (column_valid && is_along[0]) begin
          for (int lane = 0; lane < CPO; ++lane) total[lane] <= BITS'(g_down[POOL_WINDOW-1].total[lane]);
        end
      end
    end else begin : g_next
      always_ff @(posedge clk_i) begin
        if (column_valid && is_along[j]) begin
          for (int lane = 0; lane < CPO; ++lane) begin
            logic signed [BITS-1:0] value, so_far;
            value = BITS'(g_down[POOL_WINDOW-1].total[lane]);
            so_far = BITS'(g_along[j-1].total[lane]);
            if (column_first || begins_along[j]) total[lane] <= value;
            else if (maximum) total[lane] <= so_far > value ? so_far : value;
            else total[lane] <= so_far + value;
          end
        end
      end
    end
  end

  for (genvar lane = 0; lane < CPO; ++lane) begin : g_total
    assign total_o[lane*TOTAL+:TOTAL] = g_along[POOL_WINDOW-1].total[lane];
  end

endmodule
