// SPDX-License-Identifier: Apache-2.0
// cvt: nine bank reads and a rotation make a frame.
#pragma once

#include "load.h"
#include "numerics.h"
#include "pad.h"
#include "stream.h"

namespace sliceflow {

// What every bank holds for this frame. Which tap a bank serves follows from the residues of the taps' rows and columns.
template <class C>
void read_banks(bool pointwise, const Position& position, const Banks<C>& banks, Word<C> words[TAPS]) {
#pragma HLS inline
  int32_t row_word[3];
  int32_t column_word[3];
#pragma HLS array_partition variable = row_word complete
#pragma HLS array_partition variable = column_word complete
  for (int k = 0; k < 3; ++k) {
#pragma HLS unroll
    row_word[pointwise ? k : position.row_bank[k]] = position.row_word[pointwise ? 0 : k];
    column_word[pointwise ? k : position.column_bank[k]] = position.column_word[pointwise ? 0 : k];
  }
  for (int bank = 0; bank < TAPS; ++bank) {
#pragma HLS unroll
    words[bank] = banks[bank][row_word[bank / 3] + column_word[bank % 3]];
  }
}

// The bank that serves a tap.
inline int bank_of(bool pointwise, const Position& position, int tap) {
#pragma HLS inline
  if (!pointwise) return position.row_bank[tap / 3] * 3 + position.column_bank[tap % 3];
  const int bank = tap + position.column_bank[0];
  return bank >= TAPS ? bank - TAPS : bank;
}

template <class C>
void cvt(LayerDescriptor d, Strip strip, const Banks<C>& banks, hls::stream<Position>& positions,
         hls::stream<Frame<C>>& frames) {
  const bool pointwise = d.op == OP_POINTWISE;
  const int pass_count = static_cast<int>(d.out_count) * passes(d);
  enum { PADDING = TAPS, ZERO = TAPS + 1 };  // two more words that a tap may show
  Word<C> words[TAPS + 2];
#pragma HLS array_partition variable = words complete
  for (int lane = 0; lane < C::CPI; ++lane) {
#pragma HLS unroll
    accumulator_t<C> value;
    from_bits(d.pad_value, value);
    words[PADDING].lane[lane] = static_cast<activation_t<C>>(value);
    words[ZERO].lane[lane] = 0;
  }
  for (int pass = 0; pass < pass_count; ++pass) {
#pragma HLS loop_tripcount min = 1 max = 4096
    for (int n = 0; n < strip.pixels; ++n) {
#pragma HLS loop_tripcount min = 1 max = 8192
#pragma HLS pipeline II = 1
      const Position position = positions.read();
      Frame<C> frame;
      read_banks<C>(pointwise, position, banks, words);
      const int inside = position.inside & position.used;
      for (int tap = 0; tap < TAPS; ++tap) {
#pragma HLS unroll
        const int outside = position.used >> tap & 1 ? PADDING : ZERO;
        frame.tap[tap] = words[inside >> tap & 1 ? bank_of(pointwise, position, tap) : outside];
      }
      frames.write(frame);
    }
  }
}

}  // namespace sliceflow
