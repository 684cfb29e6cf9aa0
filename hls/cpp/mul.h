// SPDX-License-Identifier: Apache-2.0
// mul: the multiplier array. Nine taps of CPI channels meet the weights of CPO channels every clock; the next pass' weights arrive meanwhile.
#pragma once

#include "geometry.h"
#include "numerics.h"
#include "stream.h"
#include "weight_array.h"

namespace sliceflow {

// Weights of whole beats: those of a block, and some that nobody uses.
template <class C>
constexpr int BEAT_WEIGHTS() {
  return BEAT_BYTES * 8 / C::WEIGHT_BITS;
}
template <class C>
constexpr int SHADOW_WEIGHTS() {
  return (BLOCK_WEIGHTS<C>() + BEAT_WEIGHTS<C>() - 1) / BEAT_WEIGHTS<C>() * BEAT_WEIGHTS<C>();
}

// Takes the weights of one beat into the shadow registers.
template <class C>
void take_beat(const Beat& beat, int index, weight_t<C> shadow[SHADOW_WEIGHTS<C>()]) {
#pragma HLS inline
  for (int k = 0; k < BEAT_WEIGHTS<C>(); ++k) {
#pragma HLS unroll
    weight_from_beat<C::WEIGHT_BITS>(beat, k, shadow[index * BEAT_WEIGHTS<C>() + k]);
  }
}

template <class C>
Partials<C> depthwise(const Frame<C>& frame, const weight_t<C> block[BLOCK_WEIGHTS<C>()]) {
#pragma HLS inline
  Partials<C> result;
  for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
    partial_t<C> total = 0;
    for (int tap = 0; lane < C::CPI && tap < TAPS; ++tap) {
#pragma HLS unroll
      total += static_cast<product_t<C>>(frame.tap[tap].lane[lane] * block[tap * C::CPI + lane]);
    }
    result.lane[lane] = total;
  }
  return result;
}

template <class C>
Partials<C> pass_on(const Frame<C>& frame) {
#pragma HLS inline
  Partials<C> result;
  for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
    result.lane[lane] = lane < C::CPI ? partial_t<C>(frame.tap[0].lane[lane]) : partial_t<C>(0);
  }
  return result;
}

// The operations that take no sums over lanes.
template <class C>
Partials<C> by_lane(uint32_t op, const Frame<C>& frame, const weight_t<C> block[BLOCK_WEIGHTS<C>()]) {
#pragma HLS inline
  return op == OP_DEPTHWISE ? depthwise<C>(frame, block) : pass_on<C>(frame);
}

// One pass: `pixels` frames are multiplied while the `ahead` beats of the next pass' weights come in, so that a pass takes
// as many clocks as the longer of the two.
template <class C>
void mul_pass(uint32_t op, int pixels, int ahead, const PlainWeightArray<C>& array,
              const weight_t<C> now[BLOCK_WEIGHTS<C>()], weight_t<C> next[SHADOW_WEIGHTS<C>()],
              hls::stream<Frame<C>>& frames, hls::stream<Beat>& beats, hls::stream<Partials<C>>& partials) {
  const int clocks = larger(pixels, ahead);
  for (int n = 0; n < clocks; ++n) {
#pragma HLS loop_tripcount min = 1 max = 8192
#pragma HLS pipeline II = 1
    if (n < ahead) take_beat<C>(beats.read(), n, next);
    if (n < pixels) {
      const Frame<C> frame = frames.read();
      partials.write(op == OP_DEPTHWISE || op == OP_PASS ? by_lane<C>(op, frame, now) : array.multiply(frame));
    }
  }
}

}  // namespace sliceflow

#ifdef SLICEFLOW_FAST_SIMULATION
#include "sim/fast_mul.h"
#else
namespace sliceflow {
template <class C>
using WeightArray = PlainWeightArray<C>;
}
#endif

namespace sliceflow {

template <class C>
void mul(LayerDescriptor d, Strip strip, hls::stream<Frame<C>>& frames, hls::stream<Beat>& beats,
         hls::stream<Partials<C>>& partials) {
  weight_t<C> next[SHADOW_WEIGHTS<C>()];
  weight_t<C> now[BLOCK_WEIGHTS<C>()];
  WeightArray<C> array;
#pragma HLS array_partition variable = next complete
#pragma HLS array_partition variable = now complete
  const int block = block_beats<C>(d);
  const int pass_count = static_cast<int>(d.out_count) * passes(d);
  for (int n = 0; n < block; ++n) {
#pragma HLS loop_tripcount min = 0 max = 64
#pragma HLS pipeline II = 1
    take_beat<C>(beats.read(), n, next);
  }
  for (int pass = 0; pass < pass_count; ++pass) {
#pragma HLS loop_tripcount min = 1 max = 4096
    if (is_dense(d)) array.assign(next);
    if (d.op == OP_DEPTHWISE) copy_block<C>(next, now);
    const int ahead = pass + 1 < pass_count ? block : 0;
    mul_pass<C>(d.op, strip.pixels, ahead, array, now, next, frames, beats, partials);
  }
}

}  // namespace sliceflow
