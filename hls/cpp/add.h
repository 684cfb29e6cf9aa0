// SPDX-License-Identifier: Apache-2.0
// add: the accumulators of a strip. Partial sums never leave the chip; the last pass sends the sums on.
#pragma once

#include "numerics.h"
#include "plan.h"
#include "stream.h"

namespace sliceflow {

template <class C>
Sums<C> add_lanes(const Sums<C>& so_far, const Partials<C>& partial) {
#pragma HLS inline
  Sums<C> result;
  for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
    result.lane[lane] = sum(so_far.lane[lane], accumulator_t<C>(partial.lane[lane]));
  }
  return result;
}

// Clocks of a pass, at least: a sum is written before the next pass reads it.
constexpr uint32_t PASS_SPACING = 3;

template <class C>
void plain_add(const Layer& layer, hls::stream<uint32_t>& strip_pixels, hls::stream<Partials<C>>& partials,
               hls::stream<Sums<C>>& biases, hls::stream<Sums<C>>& sums) {
  typedef Sums<C> Accumulators[C::ACCUMULATOR_PIXELS];
  SLICEFLOW_MEMORY(Accumulators, accumulators);
#pragma HLS aggregate variable = accumulators
#pragma HLS bind_storage variable = accumulators type = ram_s2p impl = bram
#pragma HLS dependence variable = accumulators type = inter direction = RAW distance = 3 dependent = true
  Sums<C> bias = Sums<C>();
#pragma HLS array_partition variable = bias.lane complete
  uint32_t pixels = 0;
  uint32_t clocks = PASS_SPACING;
  uint16_t out = 0;
  uint32_t pass = 0;
  uint32_t n = 0;
  for (uint32_t left = layer.strip_total; left > 0;) {
#pragma HLS loop_tripcount min = 1 max = 1048576
#pragma HLS pipeline II = 1
    if (n == 0 && pass == 0) {
      bias = biases.read();
      if (out == 0) {
        pixels = strip_pixels.read();
        clocks = pixels > PASS_SPACING ? pixels : PASS_SPACING;
      }
    }
    const bool last_pass = pass + 1 == layer.pass_count;
    if (n < pixels) {
      const Sums<C> total = add_lanes<C>(pass == 0 ? bias : accumulators[n], partials.read());
      if (last_pass) {
        sums.write(total);
      } else {
        accumulators[n] = total;
      }
    }
    if (++n == clocks) {
      n = 0;
      pass = last_pass ? 0 : pass + 1;
      if (last_pass) {
        const bool last_out = out + 1 == layer.out_count;
        out = last_out ? 0 : out + 1;
        if (last_out) --left;
      }
    }
  }
}

}  // namespace sliceflow

#ifdef SLICEFLOW_FAST_SIMULATION
#include "sim/fast_add.h"
#endif

namespace sliceflow {

template <class C>
void add(const Layer& layer, hls::stream<uint32_t>& strip_pixels, hls::stream<Partials<C>>& partials,
         hls::stream<Sums<C>>& biases, hls::stream<Sums<C>>& sums) {
#ifdef SLICEFLOW_FAST_SIMULATION
  fast_add<C>(layer, strip_pixels, partials, biases, sums);
#else
  plain_add<C>(layer, strip_pixels, partials, biases, sums);
#endif
}

}  // namespace sliceflow
