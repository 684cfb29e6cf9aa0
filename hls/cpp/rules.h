// SPDX-License-Identifier: Apache-2.0
// Rendered from host/sliceflow/graph/rules.py by `python -m sliceflow.graph.render`; do not edit.
// What a descriptor must satisfy so that the kernel ends (docs/program.md, section 6).
#pragma once

#include "descriptor.h"
#include "types.h"

namespace sliceflow {

// Whether a set of small numbers has a value; 7 stands for all numbers from there on.
inline bool in_set(uint32_t value, uint32_t set) {
  return (set >> (value < 7 ? value : 7) & 1) != 0;
}

// The status of the first rule that a descriptor breaks, or 0.
template <class C>
uint32_t broken_rule(const LayerDescriptor& d) {
  uint64_t total = 0;
  if (d.version - 1595670529u > 0u) return 1;
  if (d.op > 3u) return 16;
  if (d.add_mode > 2u) return 17;
  if (d.pool_mode > 4u) return 18;
  if (d.requantize > 1u) return 19;
  if (d.table_mode > (has_tables<C>() ? 2u : 0u)) return 20;
  if (d.taps_y - 1u > 2u) return 21;
  if (d.taps_x - 1u > 2u) return 22;
  if (d.weight_planes - 1u > 2u) return 23;
  if (d.add_main_shift > 62u) return 24;
  if (d.add_other_shift > 62u) return 25;
  if (d.add_shift > 62u) return 26;
  if (d.in_height - 1u > 65534u) return 27;
  if (d.in_width - 1u > 65534u) return 28;
  if (d.groups - 1u > 65534u) return 29;
  if (d.in_slices - 1u > 65534u) return 30;
  if (d.windows_y - 1u > 65534u) return 31;
  if (d.windows_x - 1u > 65534u) return 32;
  if (d.window_step_y - 1u > 65534u) return 33;
  if (d.window_step_x - 1u > 65534u) return 34;
  if (d.dilation_y - 1u > 65534u) return 35;
  if (d.dilation_x - 1u > 65534u) return 36;
  if (d.stride_y - 1u > 65534u) return 37;
  if (d.stride_x - 1u > 65534u) return 38;
  if (d.conv_height - 1u > 65534u) return 39;
  if (d.conv_width - 1u > 65534u) return 40;
  if (d.pool_window_y - 1u > 65534u) return 41;
  if (d.pool_window_x - 1u > 65534u) return 42;
  if (d.pool_stride_y - 1u > 65534u) return 43;
  if (d.pool_stride_x - 1u > 65534u) return 44;
  if (d.pool_height - 1u > 65534u) return 45;
  if (d.pool_width - 1u > 65534u) return 46;
  if (d.upsample_y - 1u > 65534u) return 47;
  if (d.upsample_x - 1u > 65534u) return 48;
  if (d.out_slices - 1u > 65534u) return 49;
  if (d.strip_rows - 1u > 65534u) return 50;
  if (d.group_count - 1u > 65534u) return 51;
  if (d.strip_count - 1u > 65534u) return 52;
  if (d.out_count - 1u > 65534u) return 53;
  if (d.pad_top > 65535u) return 54;
  if (d.pad_left > 65535u) return 55;
  if (d.pool_pad_top > 65535u) return 56;
  if (d.pool_pad_left > 65535u) return 57;
  if (d.pool_count_top > 65535u) return 58;
  if (d.pool_count_left > 65535u) return 59;
  if (d.pool_count_bottom > 65535u) return 60;
  if (d.pool_count_right > 65535u) return 61;
  if (d.group_first > 65535u) return 62;
  if (d.strip_first > 65535u) return 63;
  if (d.out_first > 65535u) return 64;
  if (!C::IS_FLOAT && d.pad_value + (1u << (C::ACTIVATION_BITS - 1)) > ((2u << (C::ACTIVATION_BITS - 1)) - 1)) return 65;
  if (!C::IS_FLOAT && static_cast<uint32_t>(d.out_zero) + (1u << (C::ACTIVATION_BITS - 1)) > ((2u << (C::ACTIVATION_BITS - 1)) - 1)) return 66;
  if (!C::IS_FLOAT && static_cast<uint32_t>(d.add_main_zero) + (1u << (C::ACTIVATION_BITS - 1)) > ((2u << (C::ACTIVATION_BITS - 1)) - 1)) return 67;
  if (!C::IS_FLOAT && static_cast<uint32_t>(d.add_other_zero) + (1u << (C::ACTIVATION_BITS - 1)) > ((2u << (C::ACTIVATION_BITS - 1)) - 1)) return 68;
  if (!C::IS_FLOAT && static_cast<uint32_t>(d.add_zero) + (1u << (C::ACTIVATION_BITS - 1)) > ((2u << (C::ACTIVATION_BITS - 1)) - 1)) return 69;
  if (!C::IS_FLOAT && static_cast<uint32_t>(d.pool_in_zero) + (1u << (C::ACTIVATION_BITS - 1)) > ((2u << (C::ACTIVATION_BITS - 1)) - 1)) return 70;
  if (!C::IS_FLOAT && static_cast<uint32_t>(d.pool_out_zero) + (1u << (C::ACTIVATION_BITS - 1)) > ((2u << (C::ACTIVATION_BITS - 1)) - 1)) return 71;
  if (!C::IS_FLOAT && d.out_low + (1u << (C::ACTIVATION_BITS - 1)) > ((2u << (C::ACTIVATION_BITS - 1)) - 1)) return 72;
  if (!C::IS_FLOAT && d.out_high + (1u << (C::ACTIVATION_BITS - 1)) > ((2u << (C::ACTIVATION_BITS - 1)) - 1)) return 73;
  if (!C::IS_FLOAT && d.add_low + (1u << (C::ACTIVATION_BITS - 1)) > ((2u << (C::ACTIVATION_BITS - 1)) - 1)) return 74;
  if (!C::IS_FLOAT && d.add_high + (1u << (C::ACTIVATION_BITS - 1)) > ((2u << (C::ACTIVATION_BITS - 1)) - 1)) return 75;
  if (!C::IS_FLOAT && d.pool_low + (1u << (C::ACTIVATION_BITS - 1)) > ((2u << (C::ACTIVATION_BITS - 1)) - 1)) return 76;
  if (!C::IS_FLOAT && d.pool_high + (1u << (C::ACTIVATION_BITS - 1)) > ((2u << (C::ACTIVATION_BITS - 1)) - 1)) return 77;
  if (!C::IS_FLOAT) {
    total = d.out_low + (1u << (C::ACTIVATION_BITS - 1));
    if (static_cast<int64_t>(total) > static_cast<int64_t>(d.out_high + (1u << (C::ACTIVATION_BITS - 1)))) return 78;
  }
  if (!C::IS_FLOAT) {
    total = d.add_low + (1u << (C::ACTIVATION_BITS - 1));
    if (static_cast<int64_t>(total) > static_cast<int64_t>(d.add_high + (1u << (C::ACTIVATION_BITS - 1)))) return 79;
  }
  if (!C::IS_FLOAT) {
    total = d.pool_low + (1u << (C::ACTIVATION_BITS - 1));
    if (static_cast<int64_t>(total) > static_cast<int64_t>(d.pool_high + (1u << (C::ACTIVATION_BITS - 1)))) return 80;
  }
  if (in_set(d.op, 12u) && d.in_slices - 1u > 0u) return 81;
  if (in_set(d.op, 12u) && d.out_slices - 1u > 0u) return 82;
  if (in_set(d.op, 10u) && d.taps_y - 1u > 0u) return 83;
  if (in_set(d.op, 10u) && d.taps_x - 1u > 0u) return 84;
  if (in_set(d.op, 8u) && d.windows_y - 1u > 0u) return 85;
  if (in_set(d.op, 8u) && d.windows_x - 1u > 0u) return 86;
  if (in_set(d.op, 8u) && d.weight_planes - 1u > 0u) return 87;
  if (in_set(d.add_mode, 4u)) {
    if (!in_set(d.table_mode, 5u)) return 88;
  }
  if (in_set(d.taps_y, 12u)) {
    total = d.dilation_y;
    total *= 21845u;
    total &= 0xffffu;
    if (static_cast<int64_t>(total) > static_cast<int64_t>(43690u)) return 89;
  }
  if (in_set(d.taps_x, 12u)) {
    total = d.dilation_x;
    total *= 21845u;
    total &= 0xffffu;
    if (static_cast<int64_t>(total) > static_cast<int64_t>(43690u)) return 90;
  }
  total = d.conv_height - 1u;
  total *= d.stride_y;
  if (static_cast<int64_t>(total) > static_cast<int64_t>(131071u)) return 91;
  total = d.windows_y - 1u;
  total *= d.window_step_y;
  if (static_cast<int64_t>(total) > static_cast<int64_t>(131071u)) return 92;
  total = d.conv_width - 1u;
  total *= d.stride_x;
  if (static_cast<int64_t>(total) > static_cast<int64_t>(131071u)) return 93;
  total = d.windows_x - 1u;
  total *= d.window_step_x;
  if (static_cast<int64_t>(total) > static_cast<int64_t>(131071u)) return 94;
  if (in_set(d.pool_mode, 1u)) {
    total = d.pool_height;
    if (total != d.conv_height) return 95;
  }
  if (in_set(d.pool_mode, 1u)) {
    total = d.pool_width;
    if (total != d.conv_width) return 96;
  }
  if (in_set(d.pool_mode, 24u) && d.pool_height - 1u > 0u) return 97;
  if (in_set(d.pool_mode, 24u) && d.pool_width - 1u > 0u) return 98;
  if (in_set(d.pool_mode, 6u) && d.conv_width - 1u > C::POOL_WIDTH - 1) return 99;
  if (in_set(d.pool_mode, 6u) && d.pool_window_y - 1u > C::POOL_WINDOW - 1) return 100;
  if (in_set(d.pool_mode, 6u) && d.pool_window_x - 1u > C::POOL_WINDOW - 1) return 101;
  if (in_set(d.pool_mode, 6u)) {
    total = d.pool_pad_top;
    if (static_cast<int64_t>(total) > static_cast<int64_t>(d.pool_window_y - 1u)) return 102;
  }
  if (in_set(d.pool_mode, 6u)) {
    total = d.pool_height - 1u;
    total *= d.pool_stride_y;
    total -= d.pool_pad_top;
    if (static_cast<int64_t>(total) > static_cast<int64_t>(d.conv_height - 1u)) return 103;
  }
  if (in_set(d.pool_mode, 6u)) {
    total = d.pool_pad_left;
    if (static_cast<int64_t>(total) > static_cast<int64_t>(d.pool_window_x - 1u)) return 104;
  }
  if (in_set(d.pool_mode, 6u)) {
    total = d.pool_width - 1u;
    total *= d.pool_stride_x;
    total -= d.pool_pad_left;
    if (static_cast<int64_t>(total) > static_cast<int64_t>(d.conv_width - 1u)) return 105;
  }
  total = d.pool_height;
  total *= d.upsample_y;
  if (static_cast<int64_t>(total) > static_cast<int64_t>(65535u)) return 106;
  total = d.pool_width;
  total *= d.upsample_x;
  if (static_cast<int64_t>(total) > static_cast<int64_t>(65535u)) return 107;
  total = d.group_first;
  total += d.group_count;
  if (static_cast<int64_t>(total) > static_cast<int64_t>(d.groups)) return 108;
  if (in_set(d.op, 3u)) {
    total = d.out_first;
    total += d.out_count - 1u;
    total *= C::CPO / C::CPI;
    if (static_cast<int64_t>(total) > static_cast<int64_t>(d.out_slices - 1u)) return 109;
  }
  if (in_set(d.op, 12u)) {
    total = d.out_first;
    total += d.out_count - 1u;
    if (static_cast<int64_t>(total) > static_cast<int64_t>(d.out_slices - 1u)) return 110;
  }
  if (in_set(d.pool_mode, 7u)) {
    total = d.strip_first;
    total += d.strip_count - 1u;
    total *= d.strip_rows;
    if (static_cast<int64_t>(total) > static_cast<int64_t>(d.pool_height - 1u)) return 111;
  }
  if (in_set(d.pool_mode, 24u)) {
    total = d.strip_first;
    total += d.strip_count - 1u;
    total *= d.strip_rows;
    if (static_cast<int64_t>(total) > static_cast<int64_t>(d.conv_height - 1u)) return 112;
  }
  if (in_set(d.pool_mode, 24u)) {
    total = d.strip_count;
    total *= d.strip_rows;
    if (static_cast<int64_t>(total) < static_cast<int64_t>(d.conv_height)) return 113;
  }
  if (in_set(d.pool_mode, 24u) && in_set(d.strip_count, 253u) && d.out_slices > C::CPO / C::CPI) return 114;
  total = d.weight_planes;
  total *= d.windows_y;
  if (static_cast<int64_t>(total) > static_cast<int64_t>(8388608u)) return 115;
  total *= d.windows_x;
  if (static_cast<int64_t>(total) > static_cast<int64_t>(8388608u)) return 115;
  total *= d.out_count;
  if (static_cast<int64_t>(total) > static_cast<int64_t>(8388608u)) return 115;
  total *= d.strip_count;
  if (static_cast<int64_t>(total) > static_cast<int64_t>(8388608u)) return 115;
  total *= d.group_count;
  if (static_cast<int64_t>(total) > static_cast<int64_t>(8388608u)) return 115;
  if (in_set(d.op, 1u)) {
    total *= d.in_slices;
    if (static_cast<int64_t>(total) > static_cast<int64_t>(8388608u)) return 116;
  }
  if (in_set(d.op, 2u)) {
    total *= d.in_slices;
    if (static_cast<int64_t>(total) > static_cast<int64_t>(75497472u)) return 117;
  }
  return 0;
}

}  // namespace sliceflow
