// SPDX-License-Identifier: Apache-2.0
// read_weights: the weight blocks of a strip, one beat a clock, in the order in which mul consumes them.
#pragma once

#include "geometry.h"
#include "stream.h"

namespace sliceflow {

template <class C>
void read_weights(LayerDescriptor d, Strip strip, const Beat* weights, hls::stream<Beat>& beats) {
  const uint64_t group_beats = static_cast<uint64_t>(passes(d)) * block_beats<C>(d);
  const uint64_t block = static_cast<uint64_t>(strip.group) * output_groups<C>(d) + d.out_first;
  const uint64_t first = d.weights_base + block * group_beats;
  const uint64_t count = d.out_count * group_beats;  // output groups follow each other: one burst
  for (uint64_t n = 0; n < count; ++n) {
#pragma HLS loop_tripcount min = 1 max = 65536
#pragma HLS pipeline II = 1
    beats.write(weights[first + n]);
  }
}

}  // namespace sliceflow
