// SPDX-License-Identifier: Apache-2.0
// eltwise: the residual add. Both operands are whole products at one scale; the sum is rounded once.
#pragma once

#include "read_lanes.h"

namespace sliceflow {

template <class C>
activation_t<C> eltwise_lane(const LayerDescriptor& d, int_t<32> main, activation_t<C> addend, const Join& join) {
#pragma HLS inline
  const bool whole = d.add_mode == ADD_ACCUMULATOR;
  const wide_t requantized = wide_t(static_cast<activation_t<C>>(main)) - wide_t(d.add_main_zero);
  const wide_t centred = whole ? wide_t(main) : requantized;
  const wide_t multiplier = whole ? wide_t(join.multiplier) : wide_t(d.add_main_multiplier);
  const int main_left = whole ? static_cast<int>(join.main_left) : static_cast<int>(d.add_main_shift);
  const int other_left = whole ? static_cast<int>(join.other_left) : static_cast<int>(d.add_other_shift);
  const int right = whole ? static_cast<int>(join.right) : static_cast<int>(d.add_shift);
  const wide_t other = (wide_t(addend) - wide_t(d.add_other_zero)) * wide_t(d.add_other_multiplier);
  const wide_t total = shift_left(centred * multiplier, main_left) + shift_left(other, other_left);
  return static_cast<activation_t<C>>(
      scale_down(total, right, d.add_zero, value_as_int(d.add_low), value_as_int(d.add_high)));
}

template <class C>
float eltwise_lane(const LayerDescriptor& d, float main, float addend, const Join&) {
#pragma HLS inline
  return clamp(main + addend, value_as_float(d.add_low), value_as_float(d.add_high));
}

template <class C>
void eltwise(LayerDescriptor d, Strip strip, hls::stream<Sums<C>>& values, hls::stream<Pixel<C>>& addends,
             hls::stream<Joins<C>>& joins, hls::stream<Pixel<C>>& results) {
  const int out_count = d.out_count;
  for (int out = 0; out < out_count; ++out) {
#pragma HLS loop_tripcount min = 1 max = 64
    const Joins<C> join = joins.read();
    for (int n = 0; n < strip.pixels; ++n) {
#pragma HLS loop_tripcount min = 1 max = 8192
#pragma HLS pipeline II = 1
      const Sums<C> value = values.read();
      Pixel<C> addend = Pixel<C>();
      if (d.add_mode != ADD_OFF) addend = addends.read();
      Pixel<C> result;
      for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
        result.lane[lane] = d.add_mode == ADD_OFF
                                ? static_cast<activation_t<C>>(value.lane[lane])
                                : eltwise_lane<C>(d, value.lane[lane], addend.lane[lane], join.lane[lane]);
      }
      results.write(result);
    }
  }
}

}  // namespace sliceflow
