// SPDX-License-Identifier: Apache-2.0
// activation: any function of an 8-bit value, as a table of 256 entries. It stands before or behind the residual add.
#pragma once

#include "read_lanes.h"

namespace sliceflow {

// A copy for each lane, since all lanes look up at once.
template <class C>
using Table = activation_t<C>[C::CPO][TABLE_SIZE];

// Four entries a clock.
template <class C>
void load_table(const Layer& layer, hls::stream<Beat>& beats, Table<C>& table) {
  if (!uses_table<C>(layer)) return;
  Beat beat = Beat();
  for (int n = 0; n < TABLE_SIZE; n += 4) {
#pragma HLS pipeline II = 1
    if (n % BEAT_BYTES == 0) beat = beats.read();
    for (int k = 0; k < 4; ++k) {
#pragma HLS unroll
      for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
        table[lane][n + k] = static_cast<activation_t<C>>(static_cast<int_t<8>>(byte_of(beat, n % BEAT_BYTES + k)));
      }
    }
  }
}

// T is Sums before the add and Pixel behind it.
template <class C, class T>
void look_up(const Table<C>& table, T& value) {
#pragma HLS inline
  for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
    value.lane[lane] = table[lane][(static_cast<int>(value.lane[lane]) + TABLE_SIZE / 2) & (TABLE_SIZE - 1)];
  }
}

}  // namespace sliceflow
