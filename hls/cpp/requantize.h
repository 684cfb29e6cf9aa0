// SPDX-License-Identifier: Apache-2.0
// requantize: accumulators become activations (docs/numerics.md). Float profiles: leaky slope and clamp.
#pragma once

#include "read_lanes.h"

namespace sliceflow {

// Integer profiles. A value that is not requantized keeps its low bits; an ACCUMULATOR add still needs all of them.
template <class C>
int_t<32> requantize_lane(const LayerDescriptor& d, int_t<32> value, const Scale& scale) {
#pragma HLS inline
  if (d.add_mode == ADD_ACCUMULATOR) return value;
  if (!d.requantize) return int_t<32>(static_cast<activation_t<C>>(value));
  return scale_down(wide_t(value) * wide_t(scale.multiplier), static_cast<int>(scale.shift), d.out_zero,
                    value_as_int(d.out_low), value_as_int(d.out_high));
}

template <class C>
float requantize_lane(const LayerDescriptor& d, float value, const Scale&) {
#pragma HLS inline
  if (d.add_mode == ADD_ACCUMULATOR || !d.requantize) return value;
  const float sloped = value < 0 ? value * value_as_float(d.leaky_slope) : value;
  return clamp(sloped, value_as_float(d.out_low), value_as_float(d.out_high));
}

template <class C>
void requantize(LayerDescriptor d, Strip strip, hls::stream<Sums<C>>& sums, hls::stream<Scales<C>>& scales,
                hls::stream<Sums<C>>& values) {
  const int out_count = d.out_count;
  for (int out = 0; out < out_count; ++out) {
#pragma HLS loop_tripcount min = 1 max = 64
    const Scales<C> scale = scales.read();
    for (int n = 0; n < strip.pixels; ++n) {
#pragma HLS loop_tripcount min = 1 max = 8192
#pragma HLS pipeline II = 1
      const Sums<C> total = sums.read();
      Sums<C> value;
      for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
        value.lane[lane] = requantize_lane<C>(d, total.lane[lane], scale.lane[lane]);
      }
      values.write(value);
    }
  }
}

}  // namespace sliceflow
