// SPDX-License-Identifier: Apache-2.0
// add: the accumulators of a strip. Partial sums never leave the chip; the last pass sends the sums on.
#pragma once

#include "geometry.h"
#include "numerics.h"
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

template <class C>
void add(LayerDescriptor d, Strip strip, hls::stream<Partials<C>>& partials, hls::stream<Sums<C>>& biases,
         hls::stream<Sums<C>>& sums) {
  typedef Sums<C> Accumulators[C::ACCUMULATOR_PIXELS];
  SLICEFLOW_MEMORY(Accumulators, accumulators);
#pragma HLS aggregate variable = accumulators
  const int pass_count = passes(d);
  const int out_count = d.out_count;
  for (int out = 0; out < out_count; ++out) {
#pragma HLS loop_tripcount min = 1 max = 64
    const Sums<C> bias = biases.read();
    for (int pass = 0; pass < pass_count; ++pass) {
#pragma HLS loop_tripcount min = 1 max = 64
      for (int n = 0; n < strip.pixels; ++n) {
#pragma HLS loop_tripcount min = 1 max = 8192
#pragma HLS pipeline II = 1
#pragma HLS dependence variable = accumulators inter false
        const Partials<C> partial = partials.read();
        const Sums<C> total = add_lanes<C>(pass == 0 ? bias : accumulators[n], partial);
        if (pass + 1 == pass_count) {
          sums.write(total);
        } else {
          accumulators[n] = total;
        }
      }
    }
  }
}

}  // namespace sliceflow
