// SPDX-License-Identifier: Apache-2.0
// read_lanes: the function table, the averaging scales and the lane parameters of each output group, for the modules that use them.
#pragma once

#include "bursts.h"
#include "numerics.h"
#include "plan.h"
#include "stream.h"

namespace sliceflow {

// What the lanes of an output group are scaled by.
template <class C>
struct Lanes {
  int_t<32> multiplier[C::CPO];
  uint_t<8> shift[C::CPO];
  uint_t<8> main_left[C::CPO];  // ACCUMULATOR adds
  uint_t<8> other_left[C::CPO];
  uint_t<8> right[C::CPO];
};

constexpr int TABLE_SIZE = 256;

template <class C>
bool uses_table(const Layer& layer) {
  return has_tables<C>() && layer.table_mode != TABLE_OFF;
}

// Records of averaging scales, eight to a beat.
inline int scale_records(const Layer& layer) {
  if (layer.pool_mode == POOL_GLOBAL_AVERAGE) return 1;
  return layer.pool_mode == POOL_AVERAGE ? layer.pool_window_y * layer.pool_window_x + 1 : 0;
}

// The records of a beat.
template <class C>
void take_lanes(const Beat& beat, int index, Sums<C>& bias, Lanes<C>& lanes) {
#pragma HLS inline
  constexpr int RECORD = 16;
  constexpr int PER_BEAT = BEAT_BYTES / RECORD;
  for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
    const int byte = lane % PER_BEAT * RECORD;
    if (index == lane / PER_BEAT) {
      from_bits(word_of(beat, byte), bias.lane[lane]);
      from_bits(word_of(beat, byte + 4), lanes.multiplier[lane]);
      lanes.shift[lane] = byte_of(beat, byte + 8);
      lanes.main_left[lane] = byte_of(beat, byte + 9);
      lanes.other_left[lane] = byte_of(beat, byte + 10);
      lanes.right[lane] = byte_of(beat, byte + 11);
    }
  }
}

template <class C>
void read_lanes(const Layer& layer, hls::burst_maxi<Beat> program, hls::stream<Beat>& table, hls::stream<Beat>& scales,
                hls::stream<Sums<C>>& biases, hls::stream<Lanes<C>>& lanes) {
  constexpr int BURST = 64;
  constexpr int BLOCK = (16 * C::CPO + BEAT_BYTES - 1) / BEAT_BYTES;
  enum { TO_TABLE, TO_SCALES, TO_LANES };
  ReadAhead<128, 16> ahead;
#pragma HLS array_partition variable = ahead.length complete
#pragma HLS array_partition variable = ahead.tag complete
  clear(ahead);
  const uint32_t run_beats = layer.out_count * BLOCK;
  uint64_t first = layer.lanes_base + (static_cast<uint64_t>(layer.group_first) * layer.out_groups + layer.out_first) * BLOCK;
  uint32_t left = layer.strip_total;
  uint16_t strip = 0;
  Run run = {layer.table_base, uses_table<C>(layer) ? uint32_t(TABLE_SIZE / BEAT_BYTES) : 0u};
  int target = TO_TABLE;
  Sums<C> bias;
  Lanes<C> record;
#pragma HLS array_partition variable = bias.lane complete
#pragma HLS array_partition variable = record.multiplier complete
#pragma HLS array_partition variable = record.shift complete
#pragma HLS array_partition variable = record.main_left complete
#pragma HLS array_partition variable = record.other_left complete
#pragma HLS array_partition variable = record.right complete
  int index = 0;
  for (; left > 0 || run.left > 0 || ahead.owed > 0;) {
#pragma HLS loop_tripcount min = 1 max = 4096
#pragma HLS pipeline II = 1
    if (run.left == 0 && target == TO_TABLE) {
      run = Run{layer.pool_scales_base, static_cast<uint32_t>((scale_records(layer) + 7) / 8)};
      target = TO_SCALES;
    } else if (run.left == 0 && left > 0) {
      run = Run{first, run_beats};
      target = TO_LANES;
      --left;
      const bool last = strip + 1 == layer.strip_count;
      strip = last ? 0 : strip + 1;
      if (last) first += static_cast<uint64_t>(layer.out_groups) * BLOCK;
    }
    const int length = burst_length<BURST>(run);
    const bool asked = ask(ahead, program, run.beat, length, target);
    if (asked) advance(run, length);
    if (may_take(ahead, length, asked, false)) {
      Beat beat;
      const int to = take(ahead, program, beat);
      if (to == TO_TABLE) table.write(beat);
      if (to == TO_SCALES) scales.write(beat);
      if (to == TO_LANES) {
        take_lanes<C>(beat, index, bias, record);
        index = index == BLOCK - 1 ? 0 : index + 1;
        if (index == 0) {
          biases.write(bias);
          lanes.write(record);
        }
      }
    }
  }
}

}  // namespace sliceflow
