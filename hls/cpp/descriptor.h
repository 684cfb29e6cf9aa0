// SPDX-License-Identifier: Apache-2.0
// Rendered from host/sliceflow/graph/descriptor.py by `python -m sliceflow.graph.render`; do not edit.
// A layer descriptor as the kernel sees it. docs/program.md says what each field does.
#pragma once

#include <cstdint>

namespace sliceflow {

// Word 0 of a descriptor: a magic number in the upper half, the version of the layout in the lower.
constexpr uint32_t DESCRIPTOR_VERSION = 0x5F1C0001u;
constexpr int DESCRIPTOR_WORDS = 128;
constexpr int DESCRIPTOR_BYTES = 512;

// Values of LayerDescriptor::op.
enum Op : uint32_t {
  OP_CONV = 0,
  OP_POINTWISE = 1,
  OP_DEPTHWISE = 2,
  OP_PASS = 3,
};

// Values of LayerDescriptor::table_mode.
enum TableMode : uint32_t {
  TABLE_OFF = 0,
  TABLE_BEFORE_ADD = 1,
  TABLE_AFTER_ADD = 2,
};

// Values of LayerDescriptor::add_mode.
enum AddMode : uint32_t {
  ADD_OFF = 0,
  ADD_REQUANTIZED = 1,
  ADD_ACCUMULATOR = 2,
};

// Values of LayerDescriptor::pool_mode.
enum PoolMode : uint32_t {
  POOL_OFF = 0,
  POOL_MAX = 1,
  POOL_AVERAGE = 2,
  POOL_GLOBAL_MAX = 3,
  POOL_GLOBAL_AVERAGE = 4,
};

// One layer. A word is CPI activations of one pixel, a beat is 64 bytes. A field marked [value] holds the
// bits of an int32 (integer profiles) or of a float32 (float profiles): see value_as_int and value_as_float.
struct LayerDescriptor {
  uint32_t version;  // DESCRIPTOR_VERSION
  uint32_t op;  // what the array does (Op)
  uint32_t layer;  // number of the layer in the program, for status reports
  uint32_t in_base;  // first word of the input in the activation memory
  uint32_t in_height;  // rows of the input
  uint32_t in_width;  // columns of the input
  uint32_t groups;  // independent channel groups; DEPTHWISE and PASS: one for each slice
  uint32_t in_slices;  // input slices of one group
  uint32_t windows_y;  // windows that cover the kernel's rows
  uint32_t windows_x;  // windows that cover the kernel's columns
  uint32_t window_step_y;  // input rows from one window to the next
  uint32_t window_step_x;  // input columns from one window to the next
  uint32_t taps_y;  // rows of a window in use, 1 to 3
  uint32_t taps_x;  // columns of a window in use, 1 to 3
  uint32_t dilation_y;  // input rows between two taps
  uint32_t dilation_x;  // input columns between two taps
  uint32_t stride_y;  // input rows between two output rows
  uint32_t stride_x;  // input columns between two output columns
  uint32_t pad_top;  // padding rows above the input
  uint32_t pad_left;  // padding columns left of the input
  uint32_t pad_value;  // [value] what padding reads as (the input's zero point)
  uint32_t conv_height;  // rows that the array produces
  uint32_t conv_width;  // columns that the array produces
  uint32_t weight_planes;  // sets of weights that are summed over the same input, 1 to 3
  uint32_t weights_base;  // first beat of the weights in the weight memory
  uint32_t lanes_base;  // first beat of the lane parameters in the program memory
  uint32_t requantize;  // 1: requantize with the lane parameters; 0: values pass unchanged
  int32_t out_zero;  // zero point after requantization
  uint32_t out_low;  // [value] lower clamp after requantization
  uint32_t out_high;  // [value] upper clamp after requantization
  uint32_t leaky_slope;  // [value] float profiles: slope of negative values after the bias
  uint32_t table_mode;  // where the function table acts (TableMode)
  uint32_t table_base;  // first beat of the 256-byte table in the program memory
  uint32_t add_mode;  // what the residual add takes (AddMode)
  uint32_t add_base;  // first word of the addend in the activation memory
  int32_t add_main_zero;  // REQUANTIZED: zero point of the main operand
  int32_t add_main_multiplier;  // REQUANTIZED: multiplier of the main operand
  uint32_t add_main_shift;  // REQUANTIZED: left shift of the main product
  int32_t add_other_zero;  // zero point of the addend
  int32_t add_other_multiplier;  // multiplier of the addend
  uint32_t add_other_shift;  // REQUANTIZED: left shift of the addend's product
  uint32_t add_shift;  // REQUANTIZED: right shift of the sum
  int32_t add_zero;  // zero point of the sum
  uint32_t add_low;  // [value] lower clamp of the sum
  uint32_t add_high;  // [value] upper clamp of the sum
  uint32_t pool_mode;  // what the pool does (PoolMode)
  uint32_t pool_window_y;  // rows of the pooling window
  uint32_t pool_window_x;  // columns of the pooling window
  uint32_t pool_stride_y;  // rows between two pooled rows
  uint32_t pool_stride_x;  // columns between two pooled columns
  uint32_t pool_pad_top;  // rows of the first window above the map
  uint32_t pool_pad_left;  // columns of the first window left of the map
  uint32_t pool_count_top;  // AVERAGE: padding rows above the map that count as values
  uint32_t pool_count_left;  // AVERAGE: padding columns left of the map that count as values
  uint32_t pool_count_bottom;  // AVERAGE: padding rows below the map that count as values
  uint32_t pool_count_right;  // AVERAGE: padding columns right of the map that count as values
  uint32_t pool_scales_base;  // first beat of the averaging scales in the program memory
  int32_t pool_in_zero;  // zero point before averaging
  int32_t pool_out_zero;  // zero point after averaging
  uint32_t pool_low;  // [value] lower clamp after averaging
  uint32_t pool_high;  // [value] upper clamp after averaging
  uint32_t pool_height;  // rows after the pool (conv_height without one)
  uint32_t pool_width;  // columns after the pool (conv_width without one)
  uint32_t upsample_y;  // times each row is written
  uint32_t upsample_x;  // times each column is written
  uint32_t out_base;  // first word of the output in the activation memory
  uint32_t out_slices;  // output slices of one group, in CPI channels
  uint32_t strip_rows;  // pooled rows of one strip; GLOBAL pools: array rows
  uint32_t group_first;  // first group to compute
  uint32_t group_count;  // groups to compute
  uint32_t strip_first;  // first strip to compute
  uint32_t strip_count;  // strips to compute
  uint32_t out_first;  // first output group (CPO channels) of each group to compute
  uint32_t out_count;  // output groups of each group to compute
};

// A [value] field of an integer profile.
inline int32_t value_as_int(uint32_t bits) { return static_cast<int32_t>(bits); }

// A [value] field of a float profile. A union, because HLS tools map it to wires.
inline float value_as_float(uint32_t bits) {
  union {
    uint32_t bits;
    float value;
  } view;
  view.bits = bits;
  return view.value;
}

// Reads the words of one descriptor, in memory order. The caller checks the version.
inline LayerDescriptor decode_descriptor(const uint32_t words[DESCRIPTOR_WORDS]) {
  LayerDescriptor layer;
  layer.version = words[0];
  layer.op = words[1];
  layer.layer = words[2];
  layer.in_base = words[3];
  layer.in_height = words[4];
  layer.in_width = words[5];
  layer.groups = words[6];
  layer.in_slices = words[7];
  layer.windows_y = words[8];
  layer.windows_x = words[9];
  layer.window_step_y = words[10];
  layer.window_step_x = words[11];
  layer.taps_y = words[12];
  layer.taps_x = words[13];
  layer.dilation_y = words[14];
  layer.dilation_x = words[15];
  layer.stride_y = words[16];
  layer.stride_x = words[17];
  layer.pad_top = words[18];
  layer.pad_left = words[19];
  layer.pad_value = words[20];
  layer.conv_height = words[21];
  layer.conv_width = words[22];
  layer.weight_planes = words[23];
  layer.weights_base = words[24];
  layer.lanes_base = words[25];
  layer.requantize = words[26];
  layer.out_zero = static_cast<int32_t>(words[27]);
  layer.out_low = words[28];
  layer.out_high = words[29];
  layer.leaky_slope = words[30];
  layer.table_mode = words[31];
  layer.table_base = words[32];
  layer.add_mode = words[33];
  layer.add_base = words[34];
  layer.add_main_zero = static_cast<int32_t>(words[35]);
  layer.add_main_multiplier = static_cast<int32_t>(words[36]);
  layer.add_main_shift = words[37];
  layer.add_other_zero = static_cast<int32_t>(words[38]);
  layer.add_other_multiplier = static_cast<int32_t>(words[39]);
  layer.add_other_shift = words[40];
  layer.add_shift = words[41];
  layer.add_zero = static_cast<int32_t>(words[42]);
  layer.add_low = words[43];
  layer.add_high = words[44];
  layer.pool_mode = words[45];
  layer.pool_window_y = words[46];
  layer.pool_window_x = words[47];
  layer.pool_stride_y = words[48];
  layer.pool_stride_x = words[49];
  layer.pool_pad_top = words[50];
  layer.pool_pad_left = words[51];
  layer.pool_count_top = words[52];
  layer.pool_count_left = words[53];
  layer.pool_count_bottom = words[54];
  layer.pool_count_right = words[55];
  layer.pool_scales_base = words[56];
  layer.pool_in_zero = static_cast<int32_t>(words[57]);
  layer.pool_out_zero = static_cast<int32_t>(words[58]);
  layer.pool_low = words[59];
  layer.pool_high = words[60];
  layer.pool_height = words[61];
  layer.pool_width = words[62];
  layer.upsample_y = words[63];
  layer.upsample_x = words[64];
  layer.out_base = words[65];
  layer.out_slices = words[66];
  layer.strip_rows = words[67];
  layer.group_first = words[68];
  layer.group_count = words[69];
  layer.strip_first = words[70];
  layer.strip_count = words[71];
  layer.out_first = words[72];
  layer.out_count = words[73];
  return layer;
}

}  // namespace sliceflow
