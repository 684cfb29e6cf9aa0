// SPDX-License-Identifier: Apache-2.0
// Sizes that follow from a descriptor: lanes, passes, the rows of a strip.
#pragma once

#include "types.h"
#include "descriptor.h"

namespace sliceflow {

// What one pass of the dataflow region works on: one strip of one group.
struct Strip {
  int group;
  int map_first;     // first row that the array computes
  int map_rows;      // rows that the array computes
  int pooled_first;  // first row after the pool
  int pooled_rows;   // rows after the pool; 0 while a global pool still collects
  int in_first;      // first input row in the banks
  int in_rows;       // input rows in the banks
  int pixels;        // array pixels
  bool is_first;     // first strip of its group
};

inline int divide_up(int value, int by) { return (value + by - 1) / by; }
inline int smaller(int a, int b) { return a < b ? a : b; }
inline int larger(int a, int b) { return a > b ? a : b; }

inline bool is_dense(const LayerDescriptor& d) { return d.op == OP_CONV || d.op == OP_POINTWISE; }
inline bool is_global(const LayerDescriptor& d) {
  return d.pool_mode == POOL_GLOBAL_MAX || d.pool_mode == POOL_GLOBAL_AVERAGE;
}
inline bool is_windowed(const LayerDescriptor& d) { return d.pool_mode == POOL_MAX || d.pool_mode == POOL_AVERAGE; }

// Input steps of each output group.
inline int steps(const LayerDescriptor& d) {
  if (d.op == OP_POINTWISE) return divide_up(d.in_slices, TAPS);
  return d.op == OP_CONV ? static_cast<int>(d.in_slices) : 1;
}

// Passes over the strip for each output group.
inline int passes(const LayerDescriptor& d) { return d.weight_planes * steps(d) * d.windows_y * d.windows_x; }

// Output groups of each group in the whole layer.
template <class C>
int output_groups(const LayerDescriptor& d) {
  return is_dense(d) ? divide_up(d.out_slices, C::CPO / C::CPI) : static_cast<int>(d.out_slices);
}

// Output slices that output group `out` writes.
template <class C>
int written_slices(const LayerDescriptor& d, int out) {
  return is_dense(d) ? smaller(C::CPO / C::CPI, d.out_slices - out * (C::CPO / C::CPI)) : 1;
}

// Beats of the weights of one pass.
template <class C>
int block_beats(const LayerDescriptor& d) {
  if (d.op == OP_PASS) return 0;
  return divide_up(TAPS * C::CPI * (is_dense(d) ? C::CPO : 1) * C::WEIGHT_BITS, BEAT_BYTES * 8);
}

inline int bank_rows(const Strip& strip) { return (strip.in_rows + 2) / 3; }
inline int bank_columns(const LayerDescriptor& d) { return (d.in_width + 2) / 3; }

// Words that the strip takes in each bank.
inline int64_t bank_words(const LayerDescriptor& d, const Strip& strip) {
  if (d.op == OP_POINTWISE) return static_cast<int64_t>(steps(d)) * strip.in_rows * d.in_width;
  return static_cast<int64_t>(d.in_slices) * bank_rows(strip) * bank_columns(d);
}

inline int strips(const LayerDescriptor& d) {
  return divide_up(is_global(d) ? d.conv_height : d.pool_height, d.strip_rows);
}

inline Strip strip_of(const LayerDescriptor& d, int group, int index) {
  Strip strip;
  strip.group = group;
  strip.is_first = index == static_cast<int>(d.strip_first);
  int first = index * d.strip_rows;
  int end = first + d.strip_rows;
  if (is_global(d)) {
    const bool is_last = index + 1 == static_cast<int>(d.strip_first + d.strip_count);
    strip.pooled_first = 0;
    strip.pooled_rows = is_last ? 1 : 0;
  } else {
    end = smaller(end, d.pool_height);
    strip.pooled_first = first;
    strip.pooled_rows = end - first;
  }
  if (is_windowed(d)) {
    first = first * static_cast<int>(d.pool_stride_y) - static_cast<int>(d.pool_pad_top);
    end = (end - 1) * static_cast<int>(d.pool_stride_y) - static_cast<int>(d.pool_pad_top) +
          static_cast<int>(d.pool_window_y);
  }
  strip.map_first = smaller(larger(0, first), d.conv_height);
  strip.map_rows = larger(0, smaller(d.conv_height, end) - strip.map_first);
  strip.pixels = strip.map_rows * static_cast<int>(d.conv_width);
  const int reach = (d.windows_y - 1) * d.window_step_y + (d.taps_y - 1) * d.dilation_y + 1;
  const int in_first = strip.map_first * static_cast<int>(d.stride_y) - static_cast<int>(d.pad_top);
  const int in_end = in_first + (strip.map_rows - 1) * static_cast<int>(d.stride_y) + reach;
  strip.in_first = smaller(larger(0, in_first), d.in_height);
  strip.in_rows = larger(0, smaller(d.in_height, in_end) - strip.in_first);
  return strip;
}

}  // namespace sliceflow
