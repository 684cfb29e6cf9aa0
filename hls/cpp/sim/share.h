// SPDX-License-Identifier: Apache-2.0
// Shares a layer among threads by the ranges of its descriptor (docs/program.md section 4). What the shares write is disjoint.
#pragma once

#include "../geometry.h"

namespace sliceflow_sim {

struct Range {
  uint32_t first;
  uint32_t count;
};

// Part `index` of `parts` nearly equal ones; may be empty.
inline Range part_of(Range whole, uint32_t index, uint32_t parts) {
  const uint64_t count = whole.count;
  const uint32_t begin = static_cast<uint32_t>(count * index / parts);
  const uint32_t end = static_cast<uint32_t>(count * (index + 1) / parts);
  return Range{whole.first + begin, end - begin};
}

// How much of the time `parts` threads have work when `count` equal pieces are shared.
inline double balance(uint32_t count, uint32_t parts) {
  const uint64_t rounds = (static_cast<uint64_t>(count) + parts - 1) / parts;
  return count == 0 ? 0 : static_cast<double>(count) / (static_cast<double>(rounds) * parts);
}

// The share of thread `index`; its ranges may be empty. Groups and strips are preferred: shares of output groups each load the input.
inline sliceflow::LayerDescriptor share_of(sliceflow::LayerDescriptor d, uint32_t index, uint32_t parts) {
  const double groups = balance(d.group_count, parts);
  const double strips = sliceflow::is_global(d) ? 0 : balance(d.strip_count, parts);
  const double outs = balance(d.out_count, parts);
  Range range;
  if (groups >= strips && groups >= outs) {
    range = part_of(Range{d.group_first, d.group_count}, index, parts);
    d.group_first = range.first;
    d.group_count = range.count;
  } else if (strips >= outs) {
    range = part_of(Range{d.strip_first, d.strip_count}, index, parts);
    d.strip_first = range.first;
    d.strip_count = range.count;
  } else {
    range = part_of(Range{d.out_first, d.out_count}, index, parts);
    d.out_first = range.first;
    d.out_count = range.count;
  }
  if (range.count == 0) d.group_count = 0;
  return d;
}

}  // namespace sliceflow_sim
