// SPDX-License-Identifier: Apache-2.0
// requantize: accumulators become activations (docs/numerics.md). Float profiles: leaky slope and clamp.
#pragma once

#include "read_lanes.h"

namespace sliceflow {

template <class C>
int_t<32> requantize_lane(const Layer& d, int_t<32> value, int_t<32> multiplier, int shift) {
#pragma HLS inline
  return scale_down(wide_t(value) * wide_t(multiplier), shift, d.out_zero, value_as_int(d.out_low), value_as_int(d.out_high));
}

template <class C>
float requantize_lane(const Layer& d, float value, int_t<32>, int) {
#pragma HLS inline
  const float sloped = value < 0 ? value * value_as_float(d.leaky_slope) : value;
  return clamp(sloped, value_as_float(d.out_low), value_as_float(d.out_high));
}

// An ACCUMULATOR add takes the whole sum. A value that is not requantized keeps its low bits, in eltwise.
template <class C>
Sums<C> requantize(const Layer& d, const Sums<C>& total, const int_t<32> multiplier[C::CPO], const int shift[C::CPO]) {
#pragma HLS inline
  if (!d.requantize || d.add_mode == ADD_ACCUMULATOR) return total;
  Sums<C> value;
  for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
    value.lane[lane] = requantize_lane<C>(d, total.lane[lane], multiplier[lane], shift[lane]);
  }
  return value;
}

}  // namespace sliceflow
