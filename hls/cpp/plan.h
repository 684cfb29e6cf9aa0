// SPDX-License-Identifier: Apache-2.0
// plan: what the modules know of a layer while it executes: its descriptor in the widths that the contract allows, and what follows
// from it once for all strips.
#pragma once

#include "geometry.h"

namespace sliceflow {

struct Layer {
  uint8_t op, table_mode, add_mode, pool_mode;
  bool requantize;
  uint16_t in_height, in_width, in_slices;
  uint16_t windows_y, windows_x, window_step_y, window_step_x;
  uint8_t taps_y, taps_x;
  uint16_t dilation_y, dilation_x, stride_y, stride_x, pad_top, pad_left;
  uint32_t pad_value;
  uint16_t conv_height, conv_width;
  uint8_t weight_planes;
  uint32_t in_base, weights_base, lanes_base, table_base, add_base, pool_scales_base, out_base;
  int32_t out_zero;
  uint32_t out_low, out_high, leaky_slope;
  int32_t add_main_zero, add_main_multiplier, add_other_zero, add_other_multiplier, add_zero;
  uint8_t add_main_shift, add_other_shift, add_shift;
  uint32_t add_low, add_high;
  uint16_t pool_window_y, pool_window_x, pool_stride_y, pool_stride_x, pool_pad_top, pool_pad_left;
  uint16_t pool_count_top, pool_count_left, pool_count_bottom, pool_count_right;
  int32_t pool_in_zero, pool_out_zero;
  uint32_t pool_low, pool_high;
  uint16_t pool_height, pool_width, upsample_y, upsample_x, out_slices, strip_rows;
  uint32_t group_first, group_count;
  uint16_t strip_first, strip_count, out_first, out_count;
  // What follows.
  uint32_t pass_count;      // of an output group
  uint32_t strip_total;     // strips of all groups
  uint64_t pixels;          // array pixels of all strips, output groups and groups
  uint32_t out_groups;      // of a group, in the whole layer
  uint16_t block;           // beats of the weights of a pass
  uint16_t band;            // POINTWISE: rows of a slice that are loaded before those of the next
  uint32_t in_plane;        // words of a slice of the input, of a band of it
  uint32_t band_words;
  uint64_t add_plane;       // words of a slice of the array's map
};

// Rows that hold at least eight clocks of words.
template <class C>
int band_rows(const LayerDescriptor& d) {
  const int words = 8 * smaller(8, BEAT_WORDS<C>());
  int rows = 1;
  for (int k = 0; k < 4; ++k) {
    if (rows * static_cast<int>(d.in_width) < words) rows *= 2;
  }
  return rows;
}

template <class C>
Layer plan_layer(const LayerDescriptor& d, uint32_t strip_pixels) {
  Layer l;
  l.op = d.op;
  l.table_mode = d.table_mode;
  l.add_mode = d.add_mode;
  l.pool_mode = d.pool_mode;
  l.requantize = d.requantize != 0;
  l.in_height = d.in_height;
  l.in_width = d.in_width;
  l.in_slices = d.in_slices;
  l.windows_y = d.windows_y;
  l.windows_x = d.windows_x;
  l.window_step_y = d.window_step_y;
  l.window_step_x = d.window_step_x;
  l.taps_y = d.taps_y;
  l.taps_x = d.taps_x;
  l.dilation_y = d.dilation_y;
  l.dilation_x = d.dilation_x;
  l.stride_y = d.stride_y;
  l.stride_x = d.stride_x;
  l.pad_top = d.pad_top;
  l.pad_left = d.pad_left;
  l.pad_value = d.pad_value;
  l.conv_height = d.conv_height;
  l.conv_width = d.conv_width;
  l.weight_planes = d.weight_planes;
  l.in_base = d.in_base;
  l.weights_base = d.weights_base;
  l.lanes_base = d.lanes_base;
  l.table_base = d.table_base;
  l.add_base = d.add_base;
  l.pool_scales_base = d.pool_scales_base;
  l.out_base = d.out_base;
  l.out_zero = d.out_zero;
  l.out_low = d.out_low;
  l.out_high = d.out_high;
  l.leaky_slope = d.leaky_slope;
  l.add_main_zero = d.add_main_zero;
  l.add_main_multiplier = d.add_main_multiplier;
  l.add_main_shift = d.add_main_shift;
  l.add_other_zero = d.add_other_zero;
  l.add_other_multiplier = d.add_other_multiplier;
  l.add_other_shift = d.add_other_shift;
  l.add_shift = d.add_shift;
  l.add_zero = d.add_zero;
  l.add_low = d.add_low;
  l.add_high = d.add_high;
  l.pool_window_y = d.pool_window_y;
  l.pool_window_x = d.pool_window_x;
  l.pool_stride_y = d.pool_stride_y;
  l.pool_stride_x = d.pool_stride_x;
  l.pool_pad_top = d.pool_pad_top;
  l.pool_pad_left = d.pool_pad_left;
  l.pool_count_top = d.pool_count_top;
  l.pool_count_left = d.pool_count_left;
  l.pool_count_bottom = d.pool_count_bottom;
  l.pool_count_right = d.pool_count_right;
  l.pool_in_zero = d.pool_in_zero;
  l.pool_out_zero = d.pool_out_zero;
  l.pool_low = d.pool_low;
  l.pool_high = d.pool_high;
  l.pool_height = d.pool_height;
  l.pool_width = d.pool_width;
  l.upsample_y = d.upsample_y;
  l.upsample_x = d.upsample_x;
  l.out_slices = d.out_slices;
  l.strip_rows = d.strip_rows;
  l.group_first = d.group_first;
  l.group_count = d.group_count;
  l.strip_first = d.strip_first;
  l.strip_count = d.strip_count;
  l.out_first = d.out_first;
  l.out_count = d.out_count;
  l.pass_count = passes(d);
  l.strip_total = d.group_count * d.strip_count;
  l.pixels = static_cast<uint64_t>(strip_pixels) * (d.group_count * d.out_count);
  l.out_groups = output_groups<C>(d);
  l.block = block_beats<C>(d);
  l.band = band_rows<C>(d);
  l.in_plane = d.in_height * d.in_width;
  l.band_words = l.band * d.in_width;
  l.add_plane = static_cast<uint64_t>(d.conv_height) * d.conv_width;
  return l;
}

// The input of a strip, as load and cvt get it. Whatever needs a product is in it: theirs would stand between an iteration and the next.
struct InputStrip {
  uint64_t position;     // of the first word in the activation memory
  uint32_t words;        // of a slice, of all its rows
  uint32_t all_words;    // of all slices
  int32_t slice_words;   // that a slice, or nine of them, take in a bank
  uint16_t rows;
  bool is_banded;        // read by bands of rows, nine slices side by side, so that a first frame is soon complete
  bool is_one_run;       // slices follow each other without a gap, in whole bands
};

inline InputStrip input_of(const Layer& l, const Strip& strip) {
#pragma HLS inline
  InputStrip input;
  const uint64_t slice = static_cast<uint64_t>(strip.group) * l.in_slices;
  input.position = l.in_base + slice * l.in_plane + static_cast<uint32_t>(strip.in_first) * l.in_width;
  input.words = static_cast<uint32_t>(strip.in_rows) * l.in_width;
  input.all_words = input.words * l.in_slices;
  input.slice_words = l.op == OP_POINTWISE ? input.words : static_cast<uint32_t>(bank_rows(strip) * bank_columns(l));
  input.rows = strip.in_rows;
  input.is_banded = l.op == OP_POINTWISE && strip.in_rows > l.band;
  input.is_one_run = strip.in_rows == l.in_height && !input.is_banded;
  return input;
}

// The addends of a strip.
struct AddendStrip {
  uint64_t position;  // of the first word of the first output group
  uint32_t pixels;
};

template <class C>
AddendStrip addend_of(const Layer& l, const Strip& strip) {
#pragma HLS inline
  const uint32_t first = is_dense(l) ? l.out_first * (C::CPO / C::CPI) : l.out_first;
  const uint64_t slice = static_cast<uint64_t>(strip.group) * l.out_slices + first;
  return AddendStrip{l.add_base + slice * l.add_plane + static_cast<uint32_t>(strip.map_first) * l.conv_width, strip.pixels};
}

}  // namespace sliceflow
