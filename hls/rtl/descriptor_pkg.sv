// SPDX-License-Identifier: Apache-2.0
// Rendered from host/sliceflow/graph/descriptor.py by `python -m sliceflow.graph.render`; do not edit.
// A layer descriptor as the kernel sees it. docs/program.md says what each field does.
// verilator lint_off UNUSEDPARAM
package descriptor_pkg;

  localparam logic [31:0] DESCRIPTOR_VERSION = 32'h5F1C0001;
  localparam int unsigned DESCRIPTOR_WORDS = 128;
  localparam int unsigned DESCRIPTOR_BYTES = 512;

  // Index of each field's 32-bit word.
  localparam int unsigned WORD_VERSION = 0;
  localparam int unsigned WORD_OP = 1;  // what the array does (Op)
  localparam int unsigned WORD_LAYER = 2;  // number of the layer in the program, for status reports
  localparam int unsigned WORD_IN_BASE = 3;  // first word of the input in the activation memory
  localparam int unsigned WORD_IN_HEIGHT = 4;  // rows of the input
  localparam int unsigned WORD_IN_WIDTH = 5;  // columns of the input
  localparam int unsigned WORD_GROUPS = 6;  // independent channel groups; DEPTHWISE and PASS: one for each slice
  localparam int unsigned WORD_IN_SLICES = 7;  // input slices of one group
  localparam int unsigned WORD_WINDOWS_Y = 8;  // windows that cover the kernel's rows
  localparam int unsigned WORD_WINDOWS_X = 9;  // windows that cover the kernel's columns
  localparam int unsigned WORD_WINDOW_STEP_Y = 10;  // input rows from one window to the next
  localparam int unsigned WORD_WINDOW_STEP_X = 11;  // input columns from one window to the next
  localparam int unsigned WORD_TAPS_Y = 12;  // rows of a window in use, 1 to 3
  localparam int unsigned WORD_TAPS_X = 13;  // columns of a window in use, 1 to 3
  localparam int unsigned WORD_DILATION_Y = 14;  // input rows between two taps
  localparam int unsigned WORD_DILATION_X = 15;  // input columns between two taps
  localparam int unsigned WORD_STRIDE_Y = 16;  // input rows between two output rows
  localparam int unsigned WORD_STRIDE_X = 17;  // input columns between two output columns
  localparam int unsigned WORD_PAD_TOP = 18;  // padding rows above the input
  localparam int unsigned WORD_PAD_LEFT = 19;  // padding columns left of the input
  localparam int unsigned WORD_PAD_VALUE = 20;  // what padding reads as (the input's zero point)
  localparam int unsigned WORD_CONV_HEIGHT = 21;  // rows that the array produces
  localparam int unsigned WORD_CONV_WIDTH = 22;  // columns that the array produces
  localparam int unsigned WORD_WEIGHT_PLANES = 23;  // sets of weights that are summed over the same input, 1 to 3
  localparam int unsigned WORD_WEIGHTS_BASE = 24;  // first beat of the weights in the weight memory
  localparam int unsigned WORD_LANES_BASE = 25;  // first beat of the lane parameters in the program memory
  localparam int unsigned WORD_REQUANTIZE = 26;  // 1: requantize with the lane parameters; 0: values pass unchanged
  localparam int unsigned WORD_OUT_ZERO = 27;  // zero point after requantization
  localparam int unsigned WORD_OUT_LOW = 28;  // lower clamp after requantization
  localparam int unsigned WORD_OUT_HIGH = 29;  // upper clamp after requantization
  localparam int unsigned WORD_LEAKY_SLOPE = 30;  // float profiles: slope of negative values after the bias
  localparam int unsigned WORD_TABLE_MODE = 31;  // where the function table acts (TableMode)
  localparam int unsigned WORD_TABLE_BASE = 32;  // first beat of the 256-byte table in the program memory
  localparam int unsigned WORD_ADD_MODE = 33;  // what the residual add takes (AddMode)
  localparam int unsigned WORD_ADD_BASE = 34;  // first word of the addend in the activation memory
  localparam int unsigned WORD_ADD_MAIN_ZERO = 35;  // REQUANTIZED: zero point of the main operand
  localparam int unsigned WORD_ADD_MAIN_MULTIPLIER = 36;  // REQUANTIZED: multiplier of the main operand
  localparam int unsigned WORD_ADD_MAIN_SHIFT = 37;  // REQUANTIZED: left shift of the main product
  localparam int unsigned WORD_ADD_OTHER_ZERO = 38;  // zero point of the addend
  localparam int unsigned WORD_ADD_OTHER_MULTIPLIER = 39;  // multiplier of the addend
  localparam int unsigned WORD_ADD_OTHER_SHIFT = 40;  // REQUANTIZED: left shift of the addend's product
  localparam int unsigned WORD_ADD_SHIFT = 41;  // REQUANTIZED: right shift of the sum
  localparam int unsigned WORD_ADD_ZERO = 42;  // zero point of the sum
  localparam int unsigned WORD_ADD_LOW = 43;  // lower clamp of the sum
  localparam int unsigned WORD_ADD_HIGH = 44;  // upper clamp of the sum
  localparam int unsigned WORD_POOL_MODE = 45;  // what the pool does (PoolMode)
  localparam int unsigned WORD_POOL_WINDOW_Y = 46;  // rows of the pooling window
  localparam int unsigned WORD_POOL_WINDOW_X = 47;  // columns of the pooling window
  localparam int unsigned WORD_POOL_STRIDE_Y = 48;  // rows between two pooled rows
  localparam int unsigned WORD_POOL_STRIDE_X = 49;  // columns between two pooled columns
  localparam int unsigned WORD_POOL_PAD_TOP = 50;  // rows of the first window above the map
  localparam int unsigned WORD_POOL_PAD_LEFT = 51;  // columns of the first window left of the map
  localparam int unsigned WORD_POOL_COUNT_TOP = 52;  // AVERAGE: padding rows above the map that count as values
  localparam int unsigned WORD_POOL_COUNT_LEFT = 53;  // AVERAGE: padding columns left of the map that count as values
  localparam int unsigned WORD_POOL_COUNT_BOTTOM = 54;  // AVERAGE: padding rows below the map that count as values
  localparam int unsigned WORD_POOL_COUNT_RIGHT = 55;  // AVERAGE: padding columns right of the map that count as values
  localparam int unsigned WORD_POOL_SCALES_BASE = 56;  // first beat of the averaging scales in the program memory
  localparam int unsigned WORD_POOL_IN_ZERO = 57;  // zero point before averaging
  localparam int unsigned WORD_POOL_OUT_ZERO = 58;  // zero point after averaging
  localparam int unsigned WORD_POOL_LOW = 59;  // lower clamp after averaging
  localparam int unsigned WORD_POOL_HIGH = 60;  // upper clamp after averaging
  localparam int unsigned WORD_POOL_HEIGHT = 61;  // rows after the pool (conv_height without one)
  localparam int unsigned WORD_POOL_WIDTH = 62;  // columns after the pool (conv_width without one)
  localparam int unsigned WORD_UPSAMPLE_Y = 63;  // times each row is written
  localparam int unsigned WORD_UPSAMPLE_X = 64;  // times each column is written
  localparam int unsigned WORD_OUT_BASE = 65;  // first word of the output in the activation memory
  localparam int unsigned WORD_OUT_SLICES = 66;  // output slices of one group, in CPI channels
  localparam int unsigned WORD_STRIP_ROWS = 67;  // pooled rows of one strip; GLOBAL pools: array rows
  localparam int unsigned WORD_GROUP_FIRST = 68;  // first group to compute
  localparam int unsigned WORD_GROUP_COUNT = 69;  // groups to compute
  localparam int unsigned WORD_STRIP_FIRST = 70;  // first strip to compute
  localparam int unsigned WORD_STRIP_COUNT = 71;  // strips to compute
  localparam int unsigned WORD_OUT_FIRST = 72;  // first output group (CPO channels) of each group to compute
  localparam int unsigned WORD_OUT_COUNT = 73;  // output groups of each group to compute

  typedef enum logic [31:0] {
    OP_CONV = 32'd0,
    OP_POINTWISE = 32'd1,
    OP_DEPTHWISE = 32'd2,
    OP_PASS = 32'd3
  } op_t;

  typedef enum logic [31:0] {
    TABLE_OFF = 32'd0,
    TABLE_BEFORE_ADD = 32'd1,
    TABLE_AFTER_ADD = 32'd2
  } table_mode_t;

  typedef enum logic [31:0] {
    ADD_OFF = 32'd0,
    ADD_REQUANTIZED = 32'd1,
    ADD_ACCUMULATOR = 32'd2
  } add_mode_t;

  typedef enum logic [31:0] {
    POOL_OFF = 32'd0,
    POOL_MAX = 32'd1,
    POOL_AVERAGE = 32'd2,
    POOL_GLOBAL_MAX = 32'd3,
    POOL_GLOBAL_AVERAGE = 32'd4
  } pool_mode_t;

  // The words of a descriptor, word 0 in the lowest bits (a packed structure ends with its lowest bits).
  typedef struct packed {
    logic [1727:0] reserved;
    logic [31:0] out_count;
    logic [31:0] out_first;
    logic [31:0] strip_count;
    logic [31:0] strip_first;
    logic [31:0] group_count;
    logic [31:0] group_first;
    logic [31:0] strip_rows;
    logic [31:0] out_slices;
    logic [31:0] out_base;
    logic [31:0] upsample_x;
    logic [31:0] upsample_y;
    logic [31:0] pool_width;
    logic [31:0] pool_height;
    logic [31:0] pool_high;
    logic [31:0] pool_low;
    logic signed [31:0] pool_out_zero;
    logic signed [31:0] pool_in_zero;
    logic [31:0] pool_scales_base;
    logic [31:0] pool_count_right;
    logic [31:0] pool_count_bottom;
    logic [31:0] pool_count_left;
    logic [31:0] pool_count_top;
    logic [31:0] pool_pad_left;
    logic [31:0] pool_pad_top;
    logic [31:0] pool_stride_x;
    logic [31:0] pool_stride_y;
    logic [31:0] pool_window_x;
    logic [31:0] pool_window_y;
    logic [31:0] pool_mode;
    logic [31:0] add_high;
    logic [31:0] add_low;
    logic signed [31:0] add_zero;
    logic [31:0] add_shift;
    logic [31:0] add_other_shift;
    logic signed [31:0] add_other_multiplier;
    logic signed [31:0] add_other_zero;
    logic [31:0] add_main_shift;
    logic signed [31:0] add_main_multiplier;
    logic signed [31:0] add_main_zero;
    logic [31:0] add_base;
    logic [31:0] add_mode;
    logic [31:0] table_base;
    logic [31:0] table_mode;
    logic [31:0] leaky_slope;
    logic [31:0] out_high;
    logic [31:0] out_low;
    logic signed [31:0] out_zero;
    logic [31:0] requantize;
    logic [31:0] lanes_base;
    logic [31:0] weights_base;
    logic [31:0] weight_planes;
    logic [31:0] conv_width;
    logic [31:0] conv_height;
    logic [31:0] pad_value;
    logic [31:0] pad_left;
    logic [31:0] pad_top;
    logic [31:0] stride_x;
    logic [31:0] stride_y;
    logic [31:0] dilation_x;
    logic [31:0] dilation_y;
    logic [31:0] taps_x;
    logic [31:0] taps_y;
    logic [31:0] window_step_x;
    logic [31:0] window_step_y;
    logic [31:0] windows_x;
    logic [31:0] windows_y;
    logic [31:0] in_slices;
    logic [31:0] groups;
    logic [31:0] in_width;
    logic [31:0] in_height;
    logic [31:0] in_base;
    logic [31:0] layer;
    logic [31:0] op;
    logic [31:0] version;
  } layer_descriptor_t;

endpackage
// verilator lint_on UNUSEDPARAM
