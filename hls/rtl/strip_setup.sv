// SPDX-License-Identifier: Apache-2.0
// strip_setup: the rows of one strip and where they lie, from the scheduler's multiplier (see layer_setup). docs/program.md sections 2 and 3.
module strip_setup
  import kernel_pkg::*;
  import descriptor_pkg::*;
#(
    parameter int unsigned BANK_WORDS = 4096,
    parameter int unsigned ACCUMULATOR_PIXELS = 8192
) (
    input logic clk_i,
    input logic rst_i,
    // verilator lint_off UNUSEDSIGNAL
    input layer_descriptor_t layer_i,
    input layer_plan_t plan_i,
    // verilator lint_on UNUSEDSIGNAL
    input logic start_i,
    input logic [31:0] first_row_i,  // first pooled row (GLOBAL: first map row)
    input logic last_strip_i,  // of the group
    output logic done_o,  // pulse
    output logic too_big_o,
    output logic [15:0] map_first_o,
    output logic [15:0] map_rows_o,
    output logic [15:0] pooled_first_o,
    output logic [15:0] pooled_rows_o,
    output logic [15:0] in_rows_o,
    output logic [31:0] pixels_o,
    output coordinate_t first_y_o,
    output logic [19:0] slice_words_o,
    output logic [39:0] in_offset_o,
    output logic [39:0] in_bytes_o,
    output logic [39:0] add_offset_o,
    output logic [39:0] out_offset_o,
    output logic [31:0] operand_a_o,
    output logic [39:0] operand_b_o,
    input logic [39:0] product_i
);
  localparam logic [31:0] THIRD = 32'd174763;
  localparam logic [31:0] LIFT = 32'd98304;

  typedef enum logic [4:0] {
    ROW_FIRST, ROW_LAST, WAIT0, WAIT1, CLIP, IN_FIRST, IN_REACH, OUT_OFFSET, PIXELS, ADD_OFFSET, CLIP_IN, FIRST_THIRD, BANK_ROWS,
    IN_OFFSET, IN_BYTES, FIRST_WORD, SLICE_WORDS, WAIT2, WAIT3, ALL_WORDS, DRAIN0, DRAIN1, LAST
  } step_t;

  // Decoded once; the layer stands still from before its first strip is set up.
  logic global_pool, windowed, pointwise;
  always_ff @(posedge clk_i) begin
    global_pool <= layer_i.pool_mode == POOL_GLOBAL_MAX || layer_i.pool_mode == POOL_GLOBAL_AVERAGE;
    windowed <= layer_i.pool_mode == POOL_MAX || layer_i.pool_mode == POOL_AVERAGE;
    pointwise <= layer_i.op == OP_POINTWISE;
  end
  wire [31:0] row_scale = pointwise ? layer_i.in_width : 32'(plan_i.bank_columns);

  step_t step, step_a, step_b;
  logic running, valid_a, valid_b;
  logic signed [39:0] row_first, row_end, in_raw, in_reach;
  logic [31:0] first_row;
  logic [31:0] end_row, first_third, bank_rows, slice_words;
  logic [15:0] in_first;
  logic [31:0] a;
  logic [39:0] b;
  assign operand_a_o = running ? a : '0;
  assign operand_b_o = running ? b : '0;

  always_comb begin
    a = '0;
    b = '0;
    case (step)
      ROW_FIRST: {a, b} = {first_row_i, 8'd0, layer_i.pool_stride_y};
      ROW_LAST: {a, b} = {end_row - 32'd1, 8'd0, layer_i.pool_stride_y};
      IN_FIRST: {a, b} = {16'd0, map_first_o, 8'd0, layer_i.stride_y};
      IN_REACH: {a, b} = {32'(map_rows_o) - 32'd1, 8'd0, layer_i.stride_y};
      OUT_OFFSET: {a, b} = {16'd0, pooled_first_o, plan_i.out_band};
      PIXELS: {a, b} = {16'd0, map_rows_o, 8'd0, layer_i.conv_width};
      ADD_OFFSET: {a, b} = {16'd0, map_first_o, plan_i.conv_row};
      FIRST_THIRD: {a, b} = {first_row + LIFT, 8'd0, THIRD};
      BANK_ROWS: {a, b} = {32'(in_rows_o) + 32'd2, 8'd0, THIRD};
      IN_OFFSET: {a, b} = {16'd0, in_first, plan_i.in_row};
      IN_BYTES: {a, b} = {16'd0, in_rows_o, plan_i.in_row};
      FIRST_WORD: {a, b} = {pointwise ? first_row : first_third - LIFT / 3, 8'd0, row_scale};
      SLICE_WORDS: {a, b} = {pointwise ? 32'(in_rows_o) : bank_rows, 8'd0, row_scale};
      ALL_WORDS: {a, b} = {pointwise ? 32'(plan_i.shape.steps) : layer_i.in_slices, 8'd0, slice_words};
      default: ;
    endcase
  end

  function automatic logic [15:0] clip(logic signed [39:0] row, logic [31:0] end_of_map);
    if (row < 0) clip = '0;
    else if (row > signed'(40'(end_of_map))) clip = end_of_map[15:0];
    else clip = row[15:0];
  endfunction

  always_ff @(posedge clk_i) begin
    step_a <= step;
    step_b <= step_a;
    valid_a <= running;
    valid_b <= valid_a;
    if (running) step <= step_t'(step + 5'd1);
    if (start_i) begin
      running <= 1'b1;
      step <= ROW_FIRST;
      too_big_o <= 1'b0;
      end_row <= first_row_i + layer_i.strip_rows;
      if (!global_pool && first_row_i + layer_i.strip_rows > layer_i.pool_height) end_row <= layer_i.pool_height;
    end else if (step == LAST) running <= 1'b0;
    done_o <= valid_b && step_b == LAST;
    // Between the products: the rows of the map and of the input.
    if (running && step == CLIP) begin
      map_first_o <= clip(row_first, layer_i.conv_height);
      map_rows_o <= clip(row_end, layer_i.conv_height) - clip(row_first, layer_i.conv_height);
      pooled_first_o <= global_pool ? '0 : first_row_i[15:0];
      pooled_rows_o <= global_pool ? {15'd0, last_strip_i} : 16'(end_row - first_row_i);
    end
    if (running && step == CLIP_IN) begin
      in_first <= clip(in_raw, layer_i.in_height);
      in_rows_o <= clip(in_raw + in_reach + signed'(40'(plan_i.reach)), layer_i.in_height) - clip(in_raw, layer_i.in_height);
      first_row <= 32'(in_raw) - 32'(clip(in_raw, layer_i.in_height));
    end
    if (rst_i) {running, valid_a, valid_b, done_o} <= '0;
    if (valid_b) store();
  end

  task automatic store();
    case (step_b)
      ROW_FIRST: row_first <= windowed ? signed'(product_i) - signed'(40'(layer_i.pool_pad_top)) : signed'(40'(first_row_i));
      ROW_LAST:
      row_end <= windowed ? signed'(product_i) - signed'(40'(layer_i.pool_pad_top)) + signed'(40'(layer_i.pool_window_y)) :
          signed'(40'(end_row));
      IN_FIRST: in_raw <= signed'(product_i) - signed'(40'(layer_i.pad_top));
      IN_REACH: in_reach <= signed'(product_i);
      OUT_OFFSET: out_offset_o <= product_i;
      PIXELS: begin
        pixels_o <= product_i[31:0];
        if (product_i > 40'(ACCUMULATOR_PIXELS)) too_big_o <= 1'b1;
      end
      ADD_OFFSET: add_offset_o <= product_i;
      FIRST_THIRD: first_third <= 32'(product_i >> 19);
      BANK_ROWS: bank_rows <= 32'(product_i >> 19);
      IN_OFFSET: in_offset_o <= product_i;
      IN_BYTES: in_bytes_o <= product_i;
      FIRST_WORD: begin
        first_y_o.at <= first_row;
        first_y_o.word <= product_i[19:0];
        first_y_o.residue <= pointwise ? '0 : 2'(first_row + LIFT - 32'd3 * first_third);
      end
      SLICE_WORDS: begin
        slice_words <= product_i[31:0];
        slice_words_o <= product_i[19:0];
        if (product_i > 40'(BANK_WORDS)) too_big_o <= 1'b1;  // also keeps the next product small
      end
      ALL_WORDS: if (product_i > 40'(BANK_WORDS)) too_big_o <= 1'b1;
      default: ;
    endcase
  endtask

endmodule
