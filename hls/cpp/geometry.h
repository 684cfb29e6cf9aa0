// SPDX-License-Identifier: Apache-2.0
// Sizes that follow from a layer: lanes, passes, the rows of a strip. L is a LayerDescriptor, or a Layer (plan.h).
#pragma once

#include "types.h"
#include "descriptor.h"

namespace sliceflow {

// One strip of one group, as the modules get it.
struct Strip {
  uint32_t group;
  uint16_t map_first;     // first row that the array computes
  uint16_t map_rows;      // rows that the array computes
  uint16_t pooled_first;  // first row after the pool
  uint16_t pooled_rows;   // rows after the pool; 0 while a global pool still collects
  uint16_t in_first;      // first input row in the banks
  uint16_t in_rows;       // input rows in the banks
  uint32_t pixels;        // array pixels
  bool is_first;          // first strip of its group
};

inline int divide_up(int value, int by) { return (value + by - 1) / by; }
inline int smaller(int a, int b) { return a < b ? a : b; }
inline int larger(int a, int b) { return a > b ? a : b; }

template <class L>
bool is_dense(const L& d) {
  return d.op == OP_CONV || d.op == OP_POINTWISE;
}
template <class L>
bool is_global(const L& d) {
  return d.pool_mode == POOL_GLOBAL_MAX || d.pool_mode == POOL_GLOBAL_AVERAGE;
}
template <class L>
bool is_windowed(const L& d) {
  return d.pool_mode == POOL_MAX || d.pool_mode == POOL_AVERAGE;
}

// Input steps of each output group.
template <class L>
int steps(const L& d) {
  if (d.op == OP_POINTWISE) return divide_up(d.in_slices, TAPS);
  return d.op == OP_CONV ? static_cast<int>(d.in_slices) : 1;
}

// Passes over the strip for each output group.
template <class L>
int passes(const L& d) {
  return d.weight_planes * steps(d) * d.windows_y * d.windows_x;
}

// Output groups of each group in the whole layer.
template <class C, class L>
int output_groups(const L& d) {
  return is_dense(d) ? divide_up(d.out_slices, C::CPO / C::CPI) : static_cast<int>(d.out_slices);
}

// Output slices that output group `out` writes.
template <class C, class L>
int written_slices(const L& d, int out) {
  return is_dense(d) ? smaller(C::CPO / C::CPI, d.out_slices - out * (C::CPO / C::CPI)) : 1;
}

// Beats of the weights of one pass.
template <class C, class L>
int block_beats(const L& d) {
  if (d.op == OP_PASS) return 0;
  return divide_up(TAPS * C::CPI * (is_dense(d) ? C::CPO : 1) * C::WEIGHT_BITS, BEAT_BYTES * 8);
}

inline int bank_rows(const Strip& strip) { return (strip.in_rows + 2) / 3; }
template <class L>
int bank_columns(const L& d) {
  return (d.in_width + 2) / 3;
}

// Words that the strip takes in each bank.
template <class L>
int64_t bank_words(const L& d, const Strip& strip) {
  if (d.op == OP_POINTWISE) return static_cast<int64_t>(steps(d)) * strip.in_rows * d.in_width;
  return static_cast<int64_t>(d.in_slices) * bank_rows(strip) * bank_columns(d);
}

template <class L>
int strips(const L& d) {
  return divide_up(is_global(d) ? d.conv_height : d.pool_height, d.strip_rows);
}

template <class L>
Strip strip_of(const L& d, uint32_t group, int index) {
  Strip strip;
  strip.group = group;
  strip.is_first = index == static_cast<int>(d.strip_first);
  int first = index * static_cast<int>(d.strip_rows);
  int end = first + static_cast<int>(d.strip_rows);
  if (is_global(d)) {
    const bool is_last = index + 1 == static_cast<int>(d.strip_first + d.strip_count);
    strip.pooled_first = 0;
    strip.pooled_rows = is_last ? 1 : 0;
  } else {
    end = smaller(end, d.pool_height);
    strip.pooled_first = first;
    strip.pooled_rows = larger(0, end - first);
  }
  if (is_windowed(d)) {
    first = first * static_cast<int>(d.pool_stride_y) - static_cast<int>(d.pool_pad_top);
    end = (end - 1) * static_cast<int>(d.pool_stride_y) - static_cast<int>(d.pool_pad_top) +
          static_cast<int>(d.pool_window_y);
  }
  const int map_first = smaller(larger(0, first), d.conv_height);
  const int map_rows = larger(0, smaller(d.conv_height, end) - map_first);
  strip.map_first = map_first;
  strip.map_rows = map_rows;
  strip.pixels = static_cast<uint32_t>(map_rows) * d.conv_width;
  const int reach = (d.windows_y - 1) * d.window_step_y + (d.taps_y - 1) * d.dilation_y + 1;
  const int in_first = map_first * static_cast<int>(d.stride_y) - static_cast<int>(d.pad_top);
  const int in_end = in_first + (map_rows - 1) * static_cast<int>(d.stride_y) + reach;
  strip.in_first = smaller(larger(0, in_first), d.in_height);
  strip.in_rows = larger(0, smaller(d.in_height, in_end) - strip.in_first);
  return strip;
}

}  // namespace sliceflow
