// SPDX-License-Identifier: Apache-2.0
// pool_steps: walks the map of each strip, a step a clock: a pixel, or a cell right of or below the map that a window covers.
// Spends two clocks on a strip, one behind each global average, and three on each row of maps narrower than that.
module pool_steps (
    input logic clk_i,
    input logic rst_i,
    // Each unit reads the fields that concern it.
    // verilator lint_off UNUSEDSIGNAL
    input descriptor_pkg::layer_descriptor_t layer_i,
    // verilator lint_on UNUSEDSIGNAL
    input logic cmd_valid_i,
    output logic cmd_ready_o,
    input logic [15:0] cmd_map_first_i,
    input logic [15:0] cmd_map_rows_i,
    // Matters where a window hangs over the top of the map, where it is small.
    // verilator lint_off UNUSEDSIGNAL
    input logic [15:0] cmd_pooled_first_i,
    // verilator lint_on UNUSEDSIGNAL
    input logic [15:0] cmd_pooled_rows_i,
    input logic cmd_first_strip_i,
    input logic pixel_valid_i,
    output logic pixel_ready_o,
    input logic room_i,  // for one more pooled pixel
    output logic idle_o,
    // steps
    output logic step_o,
    output logic in_map_o,  // the step takes a pixel
    output logic first_row_o,  // of the strip: nothing above it counts
    output logic beside_o,  // right of the map
    output logic first_column_o,
    output logic first_pixel_o,  // of a global pool
    output logic emit_o,  // a window, or the map, ends here
    output logic signed [19:0] row_o,
    output logic signed [19:0] column_o
);
  typedef enum logic [1:0] {IDLE, START, RUN} state_t;

  // What the layer is, decoded once; it stands still from before its first strip.
  wire [16:0] width = layer_i.conv_width[16:0];
  wire signed [19:0] first_column_end = signed'(layer_i.pool_window_x[19:0]) - 20'sd1 - signed'(layer_i.pool_pad_left[19:0]);
  logic is_off, global_average, is_global, one_column, first_column_hit, next_column_hit, next_row_hit, one_window, no_window;
  logic [1:0] row_gap;
  always_ff @(posedge clk_i) begin
    is_off <= layer_i.pool_mode == descriptor_pkg::POOL_OFF;
    global_average <= layer_i.pool_mode == descriptor_pkg::POOL_GLOBAL_AVERAGE;
    is_global <= layer_i.pool_mode == descriptor_pkg::POOL_GLOBAL_AVERAGE ||
        layer_i.pool_mode == descriptor_pkg::POOL_GLOBAL_MAX;
    one_column <= width == 17'd1;
    first_column_hit <= first_column_end == '0;
    next_column_hit <= layer_i.pool_stride_x[19:0] == 20'd1;
    next_row_hit <= layer_i.pool_stride_y[19:0] == 20'd1;
    no_window <= layer_i.pool_width[16:0] == '0;
    one_window <= layer_i.pool_width[16:0] == 17'd1;
    // What a column wrote can be read three clocks later; narrow rows come round sooner.
    row_gap <= width == 17'd1 ? 2'd2 : width == 17'd2 ? 2'd1 : 2'd0;
  end

  state_t state;
  logic [15:0] map_first, pooled_rows;
  logic [16:0] map_end;
  logic first_strip;
  logic signed [19:0] first_end;  // row at which the strip's first window ends
  logic [31:0] outs_left;

  logic signed [19:0] row, row_end, column, column_end;  // *_end: where the next window ends
  logic [15:0] rows_left;  // pooled rows
  logic [16:0] columns_left;  // pooled pixels of the row
  logic first_row, first_pixel, pause;
  logic [1:0] since;  // clocks since the last step

  // A strip that starts in the map starts where its first window does. Else its number is small, and so are pad and stride.
  function automatic logic signed [19:0] window_start(logic [15:0] first, logic [2:0] number, logic [2:0] stride,
                                                      logic [15:0] pad);
    logic [5:0] product;
    product = (number[0] ? {3'd0, stride} : 6'd0) + (number[1] ? {2'd0, stride, 1'b0} : 6'd0) +
        (number[2] ? {1'b0, stride, 2'b0} : 6'd0);
    window_start = first != '0 ? {4'd0, first} : {14'd0, product} - {4'd0, pad};
  endfunction

  // How the counters stand to their ends: registers, made when the counters move.
  logic beside, last_map_column, column_hit, last_window, windows_done, first_column;
  logic row_in_map, last_map_row, row_hit, last_window_row, rows_done, last_out;
  wire in_map = row_in_map && !beside;
  wire emit_row = is_global ? last_map_row && pooled_rows != '0 : row_hit && !rows_done;
  wire emit = emit_row && (is_global ? last_map_column : column_hit && !windows_done);
  wire row_done = last_map_column && (is_global || !emit_row || windows_done || (emit && last_window));
  wire map_done = row_done && last_map_row && (is_global || rows_done || (emit_row && last_window_row));
  wire waits = !is_global && first_column && !first_row && since < row_gap;
  wire may_step = state == RUN && !pause && !waits && (!emit || room_i);
  (* keep *) wire step = may_step && (!in_map || pixel_valid_i);

  assign cmd_ready_o = state == IDLE;
  assign pixel_ready_o = may_step && in_map;
  assign idle_o = state == IDLE;
  assign step_o = step;
  assign in_map_o = in_map;
  assign first_row_o = first_row;
  assign beside_o = beside;
  assign first_column_o = first_column;
  assign first_pixel_o = first_pixel && first_strip;
  assign emit_o = emit;
  assign row_o = row;
  assign column_o = column;

  always_ff @(posedge clk_i) begin
    case (state)
      IDLE: begin
        if (cmd_valid_i && !is_off) begin
          state <= START;
          map_first <= cmd_map_first_i;
          map_end <= {1'b0, cmd_map_first_i} + {1'b0, cmd_map_rows_i};
          pooled_rows <= cmd_pooled_rows_i;
          first_strip <= cmd_first_strip_i;
          first_end <= window_start(cmd_map_first_i, cmd_pooled_first_i[2:0], layer_i.pool_stride_y[2:0],
                                    layer_i.pool_pad_top[15:0]) + signed'(layer_i.pool_window_y[19:0]) - 20'sd1;
          outs_left <= layer_i.out_count;
          last_out <= layer_i.out_count == 32'd1;
        end
      end
      START: state <= RUN;
      default: begin
        if (step) begin
          column <= row_done ? '0 : column + 20'sd1;
          first_column <= 1'b0;
          beside <= last_map_column;
          last_map_column <= column + 20'sd2 >= signed'({3'd0, width});
          column_hit <= emit ? next_column_hit : column + 20'sd1 == column_end;
          first_pixel <= 1'b0;
          if (emit) begin
            windows_done <= last_window;
            last_window <= columns_left == 17'd2;
            column_end <= column_end + signed'(layer_i.pool_stride_x[19:0]);
            columns_left <= columns_left - 17'd1;
          end
          if (row_done) begin
            row <= row + 20'sd1;
            row_in_map <= !last_map_row;
            last_map_row <= row + 20'sd2 >= signed'({3'd0, map_end});
            row_hit <= emit_row ? next_row_hit : row + 20'sd1 == row_end;
            first_row <= 1'b0;
            if (emit_row) begin
              rows_done <= last_window_row;
              last_window_row <= rows_left == 16'd2;
              row_end <= row_end + signed'(layer_i.pool_stride_y[19:0]);
              rows_left <= rows_left - 16'd1;
            end
          end
          if (map_done) begin
            outs_left <= outs_left - 32'd1;
            last_out <= outs_left == 32'd2;
            if (last_out) state <= IDLE;
          end
        end
      end
    endcase
    if (state == START || (step && map_done)) begin
      row <= {4'd0, map_first};
      row_end <= first_end;
      rows_left <= is_global ? '0 : pooled_rows;
      row_in_map <= map_end != {1'b0, map_first};
      last_map_row <= map_end <= {1'b0, map_first} + 17'd1;
      row_hit <= first_end == signed'({4'd0, map_first});
      rows_done <= is_global || pooled_rows == '0;
      last_window_row <= !is_global && pooled_rows == 16'd1;
      first_row <= 1'b1;
      first_pixel <= 1'b1;
    end
    if (state == START || (step && row_done)) begin
      column <= '0;
      first_column <= 1'b1;
      beside <= 1'b0;
      last_map_column <= one_column;
      column_hit <= first_column_hit;
      windows_done <= no_window;
      last_window <= one_window;
      column_end <= first_column_end;
      columns_left <= layer_i.pool_width[16:0];
    end
    if (state == RUN) begin
      if (step) since <= '0;
      else if (since != '1) since <= since + 2'd1;
    end
    pause <= step && emit && global_average;
    if (rst_i) begin
      state <= IDLE;
      pause <= 1'b0;
    end
  end

endmodule
