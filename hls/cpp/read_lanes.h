// SPDX-License-Identifier: Apache-2.0
// read_lanes: the lane parameters of each output group, shared out to the modules that use them.
#pragma once

#include "geometry.h"
#include "numerics.h"
#include "stream.h"

namespace sliceflow {

struct Scale {
  int_t<32> multiplier;
  uint_t<8> shift;
};

struct Join {
  int_t<32> multiplier;
  uint_t<8> main_left;
  uint_t<8> other_left;
  uint_t<8> right;
};

template <class C>
using Scales = Vec<Scale, C::CPO>;
template <class C>
using Joins = Vec<Join, C::CPO>;

template <class C>
void read_lanes(LayerDescriptor d, Strip strip, const Beat* program, hls::stream<Sums<C>>& biases,
                hls::stream<Scales<C>>& scales, hls::stream<Joins<C>>& joins) {
  const int record_bytes = 16;
  const int per_beat = BEAT_BYTES / record_bytes;
  const int block = (C::CPO + per_beat - 1) / per_beat;
  const int out_count = d.out_count;
  const uint64_t first_block = static_cast<uint64_t>(strip.group) * output_groups<C>(d) + d.out_first;
  const uint64_t first = d.lanes_base + first_block * block;
  for (int out = 0; out < out_count; ++out) {
#pragma HLS loop_tripcount min = 1 max = 64
    Sums<C> bias;
    Scales<C> scale;
    Joins<C> join;
    for (int n = 0; n < block; ++n) {
#pragma HLS pipeline II = 1
      const Beat beat = program[first + static_cast<uint64_t>(out) * block + n];
      for (int k = 0; k < per_beat; ++k) {
#pragma HLS unroll
        const int lane = n * per_beat + k;
        const int byte = k * record_bytes;
        if (lane < C::CPO) {
          from_bits(word_of(beat, byte), bias.lane[lane]);
          from_bits(word_of(beat, byte + 4), scale.lane[lane].multiplier);
          from_bits(word_of(beat, byte + 4), join.lane[lane].multiplier);
          scale.lane[lane].shift = beat.byte[byte + 8];
          join.lane[lane].main_left = beat.byte[byte + 9];
          join.lane[lane].other_left = beat.byte[byte + 10];
          join.lane[lane].right = beat.byte[byte + 11];
        }
      }
    }
    biases.write(bias);
    scales.write(scale);
    joins.write(join);
  }
}

}  // namespace sliceflow
