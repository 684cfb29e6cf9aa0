// SPDX-License-Identifier: Apache-2.0
// pool_cells: cells of a window that count as values: those inside the map and the counted padding. Three clocks.
module pool_cells (
    input logic clk_i,
    // Each unit reads the fields that concern it.
    // verilator lint_off UNUSEDSIGNAL
    input descriptor_pkg::layer_descriptor_t layer_i,
    // verilator lint_on UNUSEDSIGNAL
    input logic valid_i,
    input logic signed [19:0] row_i,  // where the window ends
    input logic signed [19:0] column_i,
    output logic [6:0] cells_o
);
  typedef logic signed [19:0] position_t;
  typedef struct packed {
    position_t first;
    position_t last;
  } range_t;

  // What counts, from the first to the last place of an axis; it stands still while windows come.
  range_t all_rows, all_columns;
  always_ff @(posedge clk_i) begin
    all_rows <= '{first: -position_t'(layer_i.pool_count_top[19:0]),
                  last: position_t'(layer_i.conv_height[19:0]) + position_t'(layer_i.pool_count_bottom[19:0]) - 20'sd1};
    all_columns <= '{first: -position_t'(layer_i.pool_count_left[19:0]),
                     last: position_t'(layer_i.conv_width[19:0]) + position_t'(layer_i.pool_count_right[19:0]) - 20'sd1};
  end

  // The window's part of that.
  function automatic range_t clip(position_t last, position_t size, range_t all);
    position_t first;
    first = last + 20'sd1 - size;
    clip.first = first > all.first ? first : all.first;
    clip.last = last < all.last ? last : all.last;
  endfunction

  function automatic logic [3:0] count(range_t range);
    position_t size;
    size = range.last + 20'sd1 - range.first;
    count = size < 0 ? 4'd0 : size[3:0];
  endfunction

  range_t rows, columns;
  logic [3:0] row_count, column_count;
  logic bounded, counted;
  always_ff @(posedge clk_i) begin
    bounded <= valid_i;
    counted <= bounded;
    if (valid_i) begin
      rows <= clip(row_i, layer_i.pool_window_y[19:0], all_rows);
      columns <= clip(column_i, layer_i.pool_window_x[19:0], all_columns);
    end
    if (bounded) begin
      row_count <= count(rows);
      column_count <= count(columns);
    end
    if (counted) begin
      cells_o <= (column_count[0] ? {3'd0, row_count} : 7'd0) + (column_count[1] ? {2'd0, row_count, 1'd0} : 7'd0) +
          (column_count[2] ? {1'd0, row_count, 2'd0} : 7'd0) + (column_count[3] ? {row_count, 3'd0} : 7'd0);
    end
  end

endmodule
