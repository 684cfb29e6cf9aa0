// SPDX-License-Identifier: Apache-2.0
// requantize: accumulators become activations (docs/numerics.md). Float profiles: leaky slope and clamp.
#pragma once

#include "read_lanes.h"

namespace sliceflow {

template <class C>
int_t<32> requantize_lane(const LayerDescriptor& d, int_t<32> value, const Scale& scale) {
#pragma HLS inline
  return scale_down(wide_t(value) * wide_t(scale.multiplier), static_cast<int>(scale.shift), d.out_zero,
                    value_as_int(d.out_low), value_as_int(d.out_high));
}

template <class C>
float requantize_lane(const LayerDescriptor& d, float value, const Scale&) {
#pragma HLS inline
  const float sloped = value < 0 ? value * value_as_float(d.leaky_slope) : value;
  return clamp(sloped, value_as_float(d.out_low), value_as_float(d.out_high));
}

template <class C>
Sums<C> requantize_pixel(const LayerDescriptor& d, const Sums<C>& total, const Scales<C>& scale) {
#pragma HLS inline
  Sums<C> value;
  for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
    value.lane[lane] = requantize_lane<C>(d, total.lane[lane], scale.lane[lane]);
  }
  return value;
}

template <class C>
void requantize(LayerDescriptor d, Strip strip, hls::stream<Sums<C>>& sums, hls::stream<Scales<C>>& scales,
                hls::stream<Sums<C>>& values) {
  const bool active = d.requantize != 0 && d.add_mode != ADD_ACCUMULATOR;
  const int out_count = d.out_count;
  for (int out = 0; out < out_count; ++out) {
#pragma HLS loop_tripcount min = 1 max = 64
    const Scales<C> scale = scales.read();
    for (int n = 0; n < strip.pixels; ++n) {
#pragma HLS loop_tripcount min = 1 max = 8192
#pragma HLS pipeline II = 1
      // An ACCUMULATOR add takes the whole sum. A value that is not requantized keeps its low bits, in eltwise.
      const Sums<C> total = sums.read();
      values.write(active ? requantize_pixel<C>(d, total, scale) : total);
    }
  }
}

}  // namespace sliceflow
