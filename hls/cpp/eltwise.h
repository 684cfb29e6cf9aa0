// SPDX-License-Identifier: Apache-2.0
// eltwise: the residual add. Both operands are whole products at one scale; the sum is rounded once.
#pragma once

#include "read_lanes.h"

namespace sliceflow {

template <class C>
activation_t<C> eltwise_lane(const Layer& d, int_t<32> main, activation_t<C> addend, const Lanes<C>& lanes, int lane) {
#pragma HLS inline
  const bool whole = d.add_mode == ADD_ACCUMULATOR;
  const wide_t requantized = wide_t(static_cast<activation_t<C>>(main)) - wide_t(d.add_main_zero);
  const wide_t centred = whole ? wide_t(main) : requantized;
  const wide_t multiplier = whole ? wide_t(lanes.multiplier[lane]) : wide_t(d.add_main_multiplier);
  const int main_left = whole ? static_cast<int>(lanes.main_left[lane]) : static_cast<int>(d.add_main_shift);
  const int other_left = whole ? static_cast<int>(lanes.other_left[lane]) : static_cast<int>(d.add_other_shift);
  const int right = whole ? static_cast<int>(lanes.right[lane]) : static_cast<int>(d.add_shift);
  const wide_t other = (wide_t(addend) - wide_t(d.add_other_zero)) * wide_t(d.add_other_multiplier);
  const wide_t total = shift_left(centred * multiplier, main_left) + shift_left(other, other_left);
  return static_cast<activation_t<C>>(
      scale_down(total, right, d.add_zero, value_as_int(d.add_low), value_as_int(d.add_high)));
}

template <class C>
float eltwise_lane(const Layer& d, float main, float addend, const Lanes<C>&, int) {
#pragma HLS inline
  return clamp(main + addend, value_as_float(d.add_low), value_as_float(d.add_high));
}

template <class C>
Pixel<C> eltwise(const Layer& d, const Sums<C>& value, const Pixel<C>& addend, const Lanes<C>& lanes) {
#pragma HLS inline
  Pixel<C> result;
  for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
    result.lane[lane] = eltwise_lane<C>(d, value.lane[lane], addend.lane[lane], lanes, lane);
  }
  return result;
}

// Without an add: the low bits.
template <class C>
Pixel<C> narrow(const Sums<C>& value) {
#pragma HLS inline
  Pixel<C> result;
  for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
    result.lane[lane] = static_cast<activation_t<C>>(value.lane[lane]);
  }
  return result;
}

}  // namespace sliceflow
