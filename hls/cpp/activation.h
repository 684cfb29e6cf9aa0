// SPDX-License-Identifier: Apache-2.0
// activation: any function of an 8-bit value, as a table of 256 entries. It stands before and behind the residual add.
#pragma once

#include "geometry.h"
#include "stream.h"

namespace sliceflow {

constexpr int TABLE_SIZE = 256;

// A copy for each lane, since all lanes look up at once.
template <class C>
using Table = activation_t<C>[C::CPO][TABLE_SIZE];

template <class C>
void load_table(const LayerDescriptor& d, const Beat* program, Table<C>& table) {
  if (d.table_mode == TABLE_OFF) return;
  for (int n = 0; n < TABLE_SIZE / BEAT_BYTES; ++n) {
    const Beat beat = program[static_cast<uint64_t>(d.table_base) + n];
    for (int k = 0; k < BEAT_BYTES; ++k) {
#pragma HLS pipeline II = 1
      for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
        table[lane][n * BEAT_BYTES + k] = static_cast<activation_t<C>>(static_cast<int_t<8>>(beat.byte[k]));
      }
    }
  }
}

// `active`: whether this instance looks up or lets values pass. T is Sums before the add and Pixel behind it.
template <class C, class T>
void activation(LayerDescriptor d, Strip strip, bool active, const Table<C>& table, hls::stream<T>& values,
                hls::stream<T>& results) {
  const int out_count = d.out_count;
  for (int out = 0; out < out_count; ++out) {
#pragma HLS loop_tripcount min = 1 max = 64
    for (int n = 0; n < strip.pixels; ++n) {
#pragma HLS loop_tripcount min = 1 max = 8192
#pragma HLS pipeline II = 1
      T value = values.read();
      for (int lane = 0; active && lane < C::CPO; ++lane) {
#pragma HLS unroll
        value.lane[lane] = table[lane][(static_cast<int>(value.lane[lane]) + TABLE_SIZE / 2) & (TABLE_SIZE - 1)];
      }
      results.write(value);
    }
  }
}

}  // namespace sliceflow
