// SPDX-License-Identifier: Apache-2.0
// cvt: nine bank reads and a rotation make a frame.
#pragma once

#include "load.h"
#include "numerics.h"
#include "pad.h"
#include "stream.h"

namespace sliceflow {

// The columns of a frame's taps.
struct FrameColumns {
  Axis axis;
  int modulo;  // POINTWISE: the column modulo 9
};

// What every bank holds for this frame. Which tap a bank serves follows from the residues of the taps' rows and columns.
template <class C>
void read_banks(bool pointwise, const FrameRow& row, const FrameColumns& columns, unsigned columns_inside,
                const Banks<C>& banks, Word<C> words[TAPS]) {
#pragma HLS inline
  int32_t row_word[3];
  int32_t column_word[3];
#pragma HLS array_partition variable = row_word complete
#pragma HLS array_partition variable = column_word complete
  for (int k = 0; k < 3; ++k) {
#pragma HLS unroll
    const Coordinate& column = columns.axis.tap[pointwise ? 0 : k];
    const int word = pointwise ? column.at : column.third;
    row_word[pointwise ? k : row.bank[k]] = row.word[pointwise ? 0 : k];
    column_word[pointwise ? k : column.residue] = columns_inside >> (pointwise ? 0 : k) & 1 ? word : 0;
  }
  for (int bank = 0; bank < TAPS; ++bank) {
#pragma HLS unroll
    words[bank] = banks[bank][row_word[bank / 3] + column_word[bank % 3]];
  }
}

// The bank that serves a tap.
inline int bank_of(bool pointwise, const FrameRow& row, const FrameColumns& columns, int tap) {
#pragma HLS inline
  if (!pointwise) return row.bank[tap / 3] * 3 + columns.axis.tap[tap % 3].residue;
  const int bank = tap + columns.modulo;
  return bank >= TAPS ? bank - TAPS : bank;
}

// What a tap shows that has no bank: words behind the banks' own.
constexpr unsigned ALL_TAPS = 0x1ff;
enum { PADDING_WORD = TAPS, ZERO_WORD = TAPS + 1, TAP_WORDS = TAPS + 2 };

// Turns the banks' words so that each stands at its tap.
template <class C>
Frame<C> rotate(bool pointwise, const FrameRow& row, const FrameColumns& columns, unsigned inside,
                const Word<C> words[TAP_WORDS]) {
#pragma HLS inline
  Frame<C> frame;
  for (int tap = 0; tap < TAPS; ++tap) {
#pragma HLS unroll
    const int outside = row.used >> tap & 1 ? PADDING_WORD : ZERO_WORD;
    frame.tap[tap] = words[inside >> tap & 1 ? bank_of(pointwise, row, columns, tap) : outside];
  }
  return frame;
}

// The words that taps choose from, as synthesis has them: the banks' and those without a bank.
template <class C>
struct PlainTapWords {
  Word<C> word[TAP_WORDS];
};

template <class C>
void prepare(const LayerDescriptor& d, PlainTapWords<C>& words) {
#pragma HLS inline
  accumulator_t<C> padding;
  from_bits(d.pad_value, padding);
  for (int lane = 0; lane < C::CPI; ++lane) {
#pragma HLS unroll
    words.word[PADDING_WORD].lane[lane] = static_cast<activation_t<C>>(padding);
    words.word[ZERO_WORD].lane[lane] = 0;
  }
}

// The frames of one row of the map.
template <class C>
void write_row(const LayerDescriptor& d, const FrameRow& row, const Banks<C>& banks, PlainTapWords<C>& words,
               hls::stream<Frame<C>>& frames) {
#pragma HLS inline
  const bool pointwise = d.op == OP_POINTWISE;
  const Coordinate right = coordinate(d.stride_x);
  const int right_modulo = d.stride_x % TAPS;
  const int width = d.conv_width;
  FrameColumns columns = {row.columns, row.modulo};
  for (int x = 0; x < width; ++x) {
#pragma HLS loop_tripcount min = 1 max = 224
#pragma HLS pipeline II = 1
    const unsigned columns_inside = inside_mask(columns.axis, d.in_width);
    const bool pixel_inside = (row.inside & columns_inside & 1) != 0;
    const unsigned inside = row.used & (pointwise ? (pixel_inside ? ALL_TAPS : 0u) : cross(row.inside, columns_inside));
    read_banks<C>(pointwise, row, columns, columns_inside, banks, words.word);
    frames.write(rotate<C>(pointwise, row, columns, inside, words.word));
    columns.axis = move_axis(columns.axis, right);
    columns.modulo = columns.modulo + right_modulo >= TAPS ? columns.modulo + right_modulo - TAPS
                                                           : columns.modulo + right_modulo;
  }
}

}  // namespace sliceflow

#ifdef SLICEFLOW_FAST_SIMULATION
#include "sim/fast_cvt.h"
#else
namespace sliceflow {
template <class C>
using TapWords = PlainTapWords<C>;
}
#endif

namespace sliceflow {

template <class C>
void cvt(LayerDescriptor d, Strip strip, const Banks<C>& banks, hls::stream<FrameRow>& frame_rows,
         hls::stream<Frame<C>>& frames) {
  const int64_t row_count = static_cast<int64_t>(d.out_count) * passes(d) * strip.map_rows;
  TapWords<C> words;
#pragma HLS array_partition variable = words.word complete
  prepare<C>(d, words);
  for (int64_t n = 0; n < row_count; ++n) {
#pragma HLS loop_tripcount min = 1 max = 262144
    write_row<C>(d, frame_rows.read(), banks, words, frames);
  }
}

}  // namespace sliceflow
