// SPDX-License-Identifier: Apache-2.0
// read_weights: the weight blocks of a layer, one beat a clock, in the order in which mul consumes them.
#pragma once

#include "bursts.h"
#include "plan.h"
#include "stream.h"

namespace sliceflow {

template <class C>
void read_weights(const Layer& layer, hls::burst_maxi<Beat> weights, hls::stream<Beat>& beats) {
  constexpr int BURST = 64;
  ReadAhead<256, 16> ahead;
#pragma HLS array_partition variable = ahead.length complete
#pragma HLS array_partition variable = ahead.tag complete
  clear(ahead);
  const uint32_t out_beats = layer.pass_count * layer.block;
  const uint32_t run_beats = layer.out_count * out_beats;  // output groups follow each other
  const uint64_t group_beats = static_cast<uint64_t>(layer.out_groups) * out_beats;
  uint64_t first = layer.weights_base + layer.group_first * group_beats + static_cast<uint64_t>(layer.out_first) * out_beats;
  uint32_t left = run_beats > 0 ? layer.strip_total : 0;
  uint16_t strip = 0;
  Run run = {0, 0};
  for (; left > 0 || run.left > 0 || ahead.owed > 0;) {
#pragma HLS loop_tripcount min = 1 max = 65536
#pragma HLS pipeline II = 1
    if (run.left == 0 && left > 0) {  // the strips of a group take the same weights
      run = Run{first, run_beats};
      --left;
      const bool last = strip + 1 == layer.strip_count;
      strip = last ? 0 : strip + 1;
      if (last) first += group_beats;
    }
    const int length = burst_length<BURST>(run);
    const bool asked = ask(ahead, weights, run.beat, length, 0);
    if (asked) advance(run, length);
    if (may_take(ahead, length, asked, false)) {
      Beat beat;
      take(ahead, weights, beat);
      beats.write(beat);
    }
  }
}

}  // namespace sliceflow
