// SPDX-License-Identifier: Apache-2.0
// layer_setup: what follows from a descriptor and does not change within its layer. It works through a list of products with the
// scheduler's multiplier, one a clock; a result can be an operand three steps later.
module layer_setup
  import kernel_pkg::*;
  import descriptor_pkg::*;
#(
    parameter int unsigned CPI = 8,
    parameter int unsigned CPO = 8,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned WEIGHT_BITS = 8
) (
    input logic clk_i,
    input logic rst_i,
    // verilator lint_off UNUSEDSIGNAL
    input layer_descriptor_t layer_i,  // holds still from start to the layer's end
    // verilator lint_on UNUSEDSIGNAL
    input logic start_i,
    output logic done_o,  // pulse
    output layer_plan_t plan_o,
    // the multiplier: its product stands two clocks behind its operands, which are zero while this unit rests
    output logic [31:0] operand_a_o,
    output logic [39:0] operand_b_o,
    input logic [39:0] product_i
);
  localparam int unsigned WORD_SHIFT = $clog2(CPI * ACTIVATION_BITS / 8);
  localparam int unsigned RATIO_SHIFT = $clog2(CPO / CPI);
  localparam int unsigned DENSE_BEATS = (TAPS * CPI * CPO * WEIGHT_BITS + BEAT_BITS - 1) / BEAT_BITS;
  localparam int unsigned DEPTHWISE_BEATS = (TAPS * CPI * WEIGHT_BITS + BEAT_BITS - 1) / BEAT_BITS;
  localparam int unsigned LANE_BEATS = CPO * 16 > BEAT_BYTES ? CPO * 16 / BEAT_BYTES : 1;
  localparam logic [31:0] THIRD = 32'd174763;  // n/3 = n*THIRD >> 19 for n < 2^18
  localparam logic [31:0] NINTH = 32'd233017;  // n/9 = n*NINTH >> 21 for n < 2^18
  localparam logic [31:0] LIFT = 32'd98304;  // a multiple of three that makes coordinates positive

  // Steps of the list. An operand must stand at least three steps behind the product that it is.
  typedef enum logic [5:0] {
    BANK_COLUMNS, STRIDE_Y, DILATION_Y, STEP_Y, STRIDE_X, DILATION_X, STEP_X, PAD_X,
    NINTHS, IN_PLANE, ADD_PLANE, OUT_ROW, STRIDE_Y_WORD, DILATION_Y_WORD, STEP_Y_WORD, PLANE_STEPS,
    WINDOWS, GROUP_IN, OUT_BAND, FIRST_SLICE, FIRST_GROUP, REACH_WINDOWS, GROUP_ADD, PASSES,
    IN_FIRST, OUT_PLANE, ADD_FIRST, REACH_TAPS, GROUP_BEATS, ALL_OUTS, OUT_FIRST, GROUP_OUT,
    RUN_BEATS, GROUP_STRIDE, WEIGHT_FIRST, ALL_STRIPS, POOL_FIRST, SCALES, STRIP_FIRST, BLOCKS,
    DRAIN0, DRAIN1, DRAIN2, LAST
  } step_t;

  logic [31:0] ninths, plane_steps, windows, first_group, reach_windows, pad_third;
  logic [31:0] first_slice, outs, out_strips;
  layer_plan_t plan;
  assign plan_o = plan;

  wire dense = is_dense(layer_i.op);
  wire pointwise = layer_i.op == OP_POINTWISE;
  wire [39:0] in_row = 40'(layer_i.in_width) << WORD_SHIFT;
  wire [39:0] conv_row = 40'(layer_i.conv_width) << WORD_SHIFT;
  wire [39:0] pool_row = 40'(layer_i.pool_width) << WORD_SHIFT;
  wire [31:0] block_beats = dense ? DENSE_BEATS : layer_i.op == OP_PASS ? 32'd0 : DEPTHWISE_BEATS;
  wire [31:0] output_groups = dense ? (layer_i.out_slices + (32'(1) << RATIO_SHIFT) - 32'd1) >> RATIO_SHIFT : layer_i.out_slices;
  // Words of a bank row: a third of the columns, or all of them.
  wire [31:0] row_scale = pointwise ? layer_i.in_width : 32'(plan.bank_columns);
  wire [31:0] steps = pointwise ? ninths : layer_i.op == OP_CONV ? layer_i.in_slices : 32'd1;

  step_t step, step_a, step_b;
  logic running, valid_a, valid_b;
  wire [39:0] product = product_i;
  logic [31:0] a;
  logic [39:0] b;
  assign operand_a_o = running ? a : '0;
  assign operand_b_o = running ? b : '0;

  always_comb begin
    a = '0;
    b = '0;
    case (step)
      BANK_COLUMNS: {a, b} = {layer_i.in_width + 32'd2, 8'd0, THIRD};
      STRIDE_Y: {a, b} = {layer_i.stride_y, 8'd0, THIRD};
      DILATION_Y: {a, b} = {layer_i.dilation_y, 8'd0, THIRD};
      STEP_Y: {a, b} = {layer_i.window_step_y, 8'd0, THIRD};
      STRIDE_X: {a, b} = {layer_i.stride_x, 8'd0, THIRD};
      DILATION_X: {a, b} = {layer_i.dilation_x, 8'd0, THIRD};
      STEP_X: {a, b} = {layer_i.window_step_x, 8'd0, THIRD};
      PAD_X: {a, b} = {LIFT - layer_i.pad_left, 8'd0, THIRD};
      NINTHS: {a, b} = {layer_i.in_slices + 32'd8, 8'd0, NINTH};
      IN_PLANE: {a, b} = {layer_i.in_height, in_row};
      ADD_PLANE: {a, b} = {layer_i.conv_height, conv_row};
      OUT_ROW: {a, b} = {layer_i.upsample_x, pool_row};
      STRIDE_Y_WORD: {a, b} = {pointwise ? layer_i.stride_y : 32'(plan.shape.stride_y.word), 8'd0, row_scale};
      DILATION_Y_WORD: {a, b} = {pointwise ? layer_i.dilation_y : 32'(plan.shape.dilation_y.word), 8'd0, row_scale};
      STEP_Y_WORD: {a, b} = {pointwise ? layer_i.window_step_y : 32'(plan.shape.step_y.word), 8'd0, row_scale};
      PLANE_STEPS: {a, b} = {layer_i.weight_planes, 8'd0, steps};
      WINDOWS: {a, b} = {layer_i.windows_y, 8'd0, layer_i.windows_x};
      GROUP_IN: {a, b} = {layer_i.in_slices, plan.in_plane};
      OUT_BAND: {a, b} = {layer_i.upsample_y, plan.out_row};
      FIRST_SLICE: {a, b} = {layer_i.group_first, 8'd0, layer_i.out_slices};
      FIRST_GROUP: {a, b} = {layer_i.group_first, 8'd0, output_groups};
      REACH_WINDOWS: {a, b} = {layer_i.windows_y - 32'd1, 8'd0, layer_i.window_step_y};
      GROUP_ADD: {a, b} = {layer_i.out_slices, plan.add_plane};
      PASSES: {a, b} = {plane_steps, 8'd0, windows};
      IN_FIRST: {a, b} = {layer_i.group_first, plan.group_in};
      OUT_PLANE: {a, b} = {layer_i.pool_height, plan.out_band};
      ADD_FIRST: {a, b} = {first_slice, plan.add_plane};
      REACH_TAPS: {a, b} = {layer_i.taps_y - 32'd1, 8'd0, layer_i.dilation_y};
      GROUP_BEATS: {a, b} = {plan.passes, 8'd0, block_beats};
      ALL_OUTS: {a, b} = {layer_i.out_count, 8'd0, plan.passes};
      OUT_FIRST: {a, b} = {first_slice, plan.out_plane};
      GROUP_OUT: {a, b} = {layer_i.out_slices, plan.out_plane};
      RUN_BEATS: {a, b} = {layer_i.out_count, 8'd0, plan.group_beats};
      GROUP_STRIDE: {a, b} = {output_groups, 8'd0, plan.group_beats};
      WEIGHT_FIRST: {a, b} = {first_group, 8'd0, plan.group_beats};
      ALL_STRIPS: {a, b} = {outs, 8'd0, layer_i.strip_count};
      POOL_FIRST: {a, b} = {layer_i.strip_rows, 8'd0, layer_i.pool_stride_y};
      SCALES: {a, b} = {layer_i.pool_window_y, 8'd0, layer_i.pool_window_x};
      STRIP_FIRST: {a, b} = {layer_i.strip_first, 8'd0, layer_i.strip_rows};
      BLOCKS: {a, b} = {out_strips, 8'd0, layer_i.group_count};
      default: ;
    endcase
  end

  // A coordinate from its place and the product with THIRD; POINTWISE keeps whole columns and rows.
  function automatic coordinate_t coordinate(logic [31:0] at, logic [39:0] thirds, logic whole);
    logic [31:0] third;
    third = 32'(thirds >> 19);
    coordinate.at = signed'(at);
    coordinate.word = whole ? at[19:0] : third[19:0];
    coordinate.residue = whole ? 2'd0 : 2'(at - 32'd3 * third);
  endfunction

  always_ff @(posedge clk_i) begin
    step_a <= step;
    step_b <= step_a;
    valid_a <= running;
    valid_b <= valid_a;
    if (running) step <= step_t'(step + 6'd1);
    if (start_i) begin
      running <= 1'b1;
      step <= BANK_COLUMNS;
    end else if (step == LAST) running <= 1'b0;
    done_o <= valid_b && step_b == LAST;
    if (rst_i) {running, valid_a, valid_b, done_o} <= '0;
    if (valid_b) store();
  end

  task automatic store();
    case (step_b)
      BANK_COLUMNS: begin
        plan.bank_columns <= 16'(product >> 19);
        plan.shape.row_carry <= pointwise ? '0 : 20'(product >> 19);
        plan.in_row <= in_row;
        plan.conv_row <= conv_row;
      end
      STRIDE_Y: plan.shape.stride_y <= coordinate(layer_i.stride_y, product, pointwise);
      DILATION_Y: plan.shape.dilation_y <= coordinate(layer_i.dilation_y, product, pointwise);
      STEP_Y: plan.shape.step_y <= coordinate(layer_i.window_step_y, product, pointwise);
      STRIDE_X: plan.shape.stride_x <= coordinate(layer_i.stride_x, product, pointwise);
      DILATION_X: plan.shape.dilation_x <= coordinate(layer_i.dilation_x, product, pointwise);
      STEP_X: plan.shape.step_x <= coordinate(layer_i.window_step_x, product, pointwise);
      PAD_X: begin
        pad_third = 32'(product >> 19);
        plan.shape.first_x.at <= -signed'(layer_i.pad_left);
        plan.shape.first_x.word <= pointwise ? 20'(-layer_i.pad_left) : 20'(pad_third - LIFT / 3);
        plan.shape.first_x.residue <= pointwise ? 2'd0 : 2'(LIFT - layer_i.pad_left - 32'd3 * pad_third);
      end
      NINTHS: ninths <= 32'(product >> 21);
      IN_PLANE: plan.in_plane <= product;
      ADD_PLANE: plan.add_plane <= product;
      OUT_ROW: plan.out_row <= product;
      STRIDE_Y_WORD: plan.shape.stride_y.word <= product[19:0];
      DILATION_Y_WORD: plan.shape.dilation_y.word <= product[19:0];
      STEP_Y_WORD: plan.shape.step_y.word <= product[19:0];
      PLANE_STEPS: begin
        plane_steps <= product[31:0];
        plan.shape.steps <= steps[15:0];
      end
      WINDOWS: windows <= product[31:0];
      GROUP_IN: plan.group_in <= product;
      OUT_BAND: plan.out_band <= product;
      FIRST_SLICE: first_slice <= product[31:0] + (dense ? layer_i.out_first << RATIO_SHIFT : layer_i.out_first);
      FIRST_GROUP: first_group <= product[31:0] + layer_i.out_first;
      REACH_WINDOWS: reach_windows <= product[31:0];
      GROUP_ADD: plan.group_add <= product;
      PASSES: plan.passes <= product[31:0];
      IN_FIRST: plan.in_first <= product + (40'(layer_i.in_base) << WORD_SHIFT);
      OUT_PLANE: plan.out_plane <= product;
      ADD_FIRST: plan.add_first <= product + (40'(layer_i.add_base) << WORD_SHIFT);
      REACH_TAPS: plan.reach <= product[31:0] + reach_windows + 32'd1;
      GROUP_BEATS: plan.group_beats <= product[31:0];
      ALL_OUTS: outs <= product[31:0];
      OUT_FIRST: plan.out_first <= product + (40'(layer_i.out_base) << WORD_SHIFT);
      GROUP_OUT: plan.group_out <= product;
      RUN_BEATS: plan.weight_run <= product[31:0];
      GROUP_STRIDE: plan.weight_stride <= product[31:0];
      WEIGHT_FIRST: plan.weight_first <= 40'(layer_i.weights_base) + product;
      ALL_STRIPS: out_strips <= product[31:0];
      POOL_FIRST: plan.pool_advance <= product[31:0];
      SCALES: plan.scale_beats <= layer_i.pool_mode == POOL_AVERAGE ? 32'((product + 40'd8) >> 3) :
          layer_i.pool_mode == POOL_GLOBAL_AVERAGE ? 32'd1 : 32'd0;
      STRIP_FIRST: begin
        plan.strip_first_row <= product[31:0];
        plan.lane_run <= layer_i.out_count * LANE_BEATS;
        plan.lane_stride <= output_groups * LANE_BEATS;
        plan.lane_first <= 40'(layer_i.lanes_base) + 40'(first_group) * LANE_BEATS;
      end
      BLOCKS: plan.blocks <= product[31:0];
      default: ;
    endcase
  endtask

endmodule
