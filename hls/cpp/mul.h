// SPDX-License-Identifier: Apache-2.0
// mul: the multiplier array. Nine taps of CPI channels meet the weights of CPO channels every clock; the next pass' weights arrive meanwhile.
// DEPTHWISE weights stand on the diagonals of the taps' matrices and PASS is an identity, so that the array knows one operation only.
#pragma once

#include "stream.h"
#include "weight_array.h"

namespace sliceflow {

template <class C>
void plain_mul(const Layer& layer, hls::stream<uint32_t>& strip_pixels, hls::stream<Frame<C>>& frames,
               hls::stream<Beat>& beats, hls::stream<Partials<C>>& partials) {
  Block<C> next;
  Block<C> now;
#pragma HLS array_partition variable = next.beat complete
#pragma HLS array_partition variable = now.beat complete
  const bool dense = is_dense(layer);
  const int block = layer.block;
  identity_block<C>(next);
  for (int n = 0; n < block; ++n) {
#pragma HLS loop_tripcount min = 0 max = 64
#pragma HLS pipeline II = 1
    take_beat<C>(dense, beats.read(), n, next);
  }
  const uint32_t strip_passes = layer.out_count * layer.pass_count;
  uint32_t pixels = 0;
  uint32_t pass = 0;  // of the strip
  uint32_t n = 0;     // clock of the pass
  for (uint32_t left = layer.strip_total; left > 0;) {
#pragma HLS loop_tripcount min = 1 max = 1048576
#pragma HLS pipeline II = 1
    if (n == 0) {
      if (pass == 0) pixels = strip_pixels.read();
      now = next;
    }
    const bool last_pass = pass + 1 == strip_passes;
    const uint32_t ahead = last_pass && left == 1 ? 0 : block;
    if (n < ahead) take_beat<C>(dense, beats.read(), n, next);
    if (n < pixels) partials.write(Products<C>().sums(frames.read(), now));
    ++n;
    if (n >= pixels && n >= ahead) {
      n = 0;
      pass = last_pass ? 0 : pass + 1;
      if (last_pass) --left;
    }
  }
}

}  // namespace sliceflow

#ifdef SLICEFLOW_FAST_SIMULATION
#include "sim/fast_mul.h"
#endif

namespace sliceflow {

template <class C>
void mul(const Layer& layer, hls::stream<uint32_t>& strip_pixels, hls::stream<Frame<C>>& frames, hls::stream<Beat>& beats,
         hls::stream<Partials<C>>& partials) {
#ifdef SLICEFLOW_FAST_SIMULATION
  fast_mul<C>(layer, strip_pixels, frames, beats, partials);
#else
  plain_mul<C>(layer, strip_pixels, frames, beats, partials);
#endif
}

}  // namespace sliceflow
