// SPDX-License-Identifier: Apache-2.0
// What the kernel refuses. The host has checked more (sliceflow.graph.validate); these are the cases that would hang it or
// write past its own buffers.
#pragma once

#include "geometry.h"

namespace sliceflow {

// Low byte of the status word; the upper 24 bits hold the index of the descriptor.
enum Status : uint32_t {
  STATUS_OK = 0,
  STATUS_VERSION = 1,   // not a descriptor of this layout
  STATUS_UNKNOWN = 2,   // an operation, mode or count that does not exist, or a table where there are none
  STATUS_TOO_BIG = 3,   // a strip exceeds the buffers
};

template <class C>
bool is_known(const LayerDescriptor& d) {
  const bool modes = d.op <= OP_PASS && d.table_mode <= TABLE_AFTER_ADD && d.add_mode <= ADD_ACCUMULATOR &&
                     d.pool_mode <= POOL_GLOBAL_AVERAGE && (has_tables<C>() || d.table_mode == TABLE_OFF);
  const bool window = d.taps_y >= 1 && d.taps_y <= 3 && d.taps_x >= 1 && d.taps_x <= 3 && d.windows_y >= 1 &&
                      d.windows_x >= 1 && d.stride_y >= 1 && d.stride_x >= 1 && d.weight_planes >= 1 &&
                      (d.taps_y == 1 || d.dilation_y % 3 != 0) && (d.taps_x == 1 || d.dilation_x % 3 != 0);
  const bool counts = d.strip_rows >= 1 && d.in_slices >= 1 && d.upsample_y >= 1 && d.upsample_x >= 1;
  const bool pool = !is_windowed(d) || (d.pool_stride_y >= 1 && d.pool_stride_x >= 1 && d.pool_window_y >= 1 &&
                                        d.pool_window_x >= 1 && d.pool_pad_top < d.pool_window_y &&
                                        d.pool_pad_left < d.pool_window_x);
  return modes && window && counts && pool;
}

// Sides small enough for the kernel's 32-bit counters.
inline bool has_sane_sides(const LayerDescriptor& d) {
  const uint32_t limit = (1u << 16) - 1;
  return d.in_height <= limit && d.in_width <= limit && d.conv_height <= limit && d.conv_width <= limit &&
         d.pool_height <= limit && d.pool_width <= limit && d.in_slices <= limit && d.out_slices <= limit &&
         d.strip_rows <= limit && d.pad_top <= limit && d.pad_left <= limit && d.windows_y <= limit &&
         d.windows_x <= limit && d.window_step_y <= limit && d.window_step_x <= limit && d.stride_y <= limit &&
         d.stride_x <= limit && d.dilation_y <= limit && d.dilation_x <= limit && d.upsample_y <= limit &&
         d.upsample_x <= limit && d.weight_planes <= 3;
}

template <class C>
uint32_t check_layer(const LayerDescriptor& d) {
  if (d.version != DESCRIPTOR_VERSION) return STATUS_VERSION;
  if (!is_known<C>(d)) return STATUS_UNKNOWN;
  if (!has_sane_sides(d)) return STATUS_TOO_BIG;
  if (is_windowed(d) && (d.pool_window_y > C::POOL_WINDOW || d.pool_window_x > C::POOL_WINDOW)) return STATUS_TOO_BIG;
  if (is_windowed(d) && d.conv_width > C::POOL_WIDTH) return STATUS_TOO_BIG;
  return STATUS_OK;
}

template <class C>
bool strip_fits(const LayerDescriptor& d, const Strip& strip) {
  return static_cast<int64_t>(strip.map_rows) * d.conv_width <= C::ACCUMULATOR_PIXELS &&
         bank_words(d, strip) <= C::BANK_WORDS;
}

}  // namespace sliceflow
