// SPDX-License-Identifier: Apache-2.0
// cvt: places the input in the banks, and makes a frame of nine bank reads and a rotation. Both go on in the same clock: a strip is placed
// while the one before is read, and the first frames of a strip go as soon as the rows that they touch are there.
#pragma once

#include "place.h"
#include "stream.h"

namespace sliceflow {

// What every bank holds for this frame. Which tap a bank serves follows from the residues of the taps' rows and columns.
template <class C>
void read_banks(bool pointwise, int buffer, const FrameRow& row, const Axis& columns, unsigned columns_inside,
                const Banks<C>& banks, Word<C> words[TAPS]) {
#pragma HLS inline
  int32_t row_word[3];
  int32_t column_word[3];
#pragma HLS array_partition variable = row_word complete
#pragma HLS array_partition variable = column_word complete
  for (int k = 0; k < 3; ++k) {
#pragma HLS unroll
    const Coordinate& column = columns.tap[pointwise ? 0 : k];
    const int word = pointwise ? column.at : column.third;
    row_word[pointwise ? k : row.bank[k]] = row.word[pointwise ? 0 : k];
    column_word[pointwise ? k : column.residue] = columns_inside >> (pointwise ? 0 : k) & 1 ? word : 0;
  }
  for (int bank = 0; bank < TAPS; ++bank) {
#pragma HLS unroll
    const int word = row_word[bank / 3] + column_word[bank % 3];
    words[bank] = banks[bank][word % LOAD_WORDS<C>()][buffer * BANK_ROWS<C>() + word / LOAD_WORDS<C>()];
  }
}

// The bank that serves a tap.
inline int bank_of(bool pointwise, const FrameRow& row, const Axis& columns, int tap) {
#pragma HLS inline
  return pointwise ? tap : row.bank[tap / 3] * 3 + columns.tap[tap % 3].residue;
}

// What a tap shows that has no bank: words behind the banks' own.
constexpr unsigned ALL_TAPS = 0x1ff;
enum { PADDING_WORD = TAPS, ZERO_WORD = TAPS + 1, TAP_WORDS = TAPS + 2 };

// Turns the banks' words so that each stands at its tap.
template <class C>
Frame<C> rotate(bool pointwise, const FrameRow& row, const Axis& columns, unsigned inside,
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

template <class C>
Word<C> word_of_all(accumulator_t<C> value) {
#pragma HLS inline
  Word<C> word;
  for (int lane = 0; lane < C::CPI; ++lane) {
#pragma HLS unroll
    word.lane[lane] = static_cast<activation_t<C>>(value);
  }
  return word;
}

// Clocks behind the one in which a word is placed until it can be read.
constexpr int PLACE_LAG = 4;

template <class C>
void plain_cvt(const Layer& layer, hls::stream<InputStrip>& strips, hls::stream<Beat>& beats, hls::stream<FrameRow>& frame_rows,
               hls::stream<Frame<C>>& frames) {
  SLICEFLOW_MEMORY(Banks<C>, banks);
#pragma HLS array_partition variable = banks dim = 1 complete
#pragma HLS array_partition variable = banks dim = 2 complete
#pragma HLS aggregate variable = banks
#pragma HLS bind_storage variable = banks type = ram_s2p impl = bram
// A word is read PLACE_LAG clocks or more behind its write, and a buffer is not written before its last read.
#pragma HLS dependence variable = banks type = inter dependent = false
  Word<C> words[TAP_WORDS];
#pragma HLS array_partition variable = words complete
  accumulator_t<C> padding;
  from_bits(layer.pad_value, padding);
  words[PADDING_WORD] = word_of_all<C>(padding);
  words[ZERO_WORD] = word_of_all<C>(accumulator_t<C>(0));
  const bool pointwise = layer.op == OP_POINTWISE;
  const Coordinate right = coordinate(layer.stride_x);
  Placing<C> placing;
#pragma HLS array_partition variable = placing.beat.word complete
  placing.active = placing.has_beat = false;
  placing.strips = 0;
  Progress progress[PLACE_LAG];
#pragma HLS array_partition variable = progress complete
  for (int k = 0; k < PLACE_LAG; ++k) {
#pragma HLS unroll
    progress[k] = Progress{0, 0, 0};
  }
  FrameRow row = FrameRow();
  Axis columns = axis(0, 1, 1);
  bool has_row = false;
  uint16_t x = 0;
  uint16_t released = 0;  // strips that have been read
  uint32_t to_place = layer.strip_total;
  for (uint32_t left = layer.strip_total; left > 0;) {
#pragma HLS loop_tripcount min = 1 max = 1048576
#pragma HLS pipeline II = 1
    const Progress seen = progress[PLACE_LAG - 1];
    for (int k = 0; k < PLACE_LAG - 1; ++k) {
#pragma HLS unroll
      progress[PLACE_LAG - 1 - k] = progress[PLACE_LAG - 2 - k];
    }
    if (!placing.active && to_place > 0 && static_cast<uint16_t>(placing.strips - released) < 2) {
      start_strip(strips.read(), placing);
      --to_place;
    }
    if (placing.active && !placing.has_beat && static_cast<uint16_t>(placing.strips - released) < 2) {
      Beat beat;
      if (beats.read_nb(beat)) {
        placing.beat = words_of<C>(beat);
        placing.has_beat = true;
      }
    }
    if (placing.active && placing.has_beat) place_words<C>(layer, placing, banks);
    progress[0] = progress_of(layer, placing);

    if (!has_row) {
      row = frame_rows.read();
      has_row = true;
      columns = row.columns;
      x = 0;
    }
    if (is_loaded(seen, released, row) && (row.is_empty || !frames.full())) {
      if (!row.is_empty) {
        const unsigned columns_inside = inside_mask(columns, layer.in_width);
        const bool pixel_inside = (row.inside & columns_inside & 1) != 0;
        const unsigned inside =
            row.used & (pointwise ? (pixel_inside ? ALL_TAPS : 0u) : cross(row.inside, columns_inside));
        read_banks<C>(pointwise, released & 1, row, columns, columns_inside, banks, words);
        frames.write(rotate<C>(pointwise, row, columns, inside, words));
        columns = move_axis(columns, right);
      }
      if (++x >= layer.conv_width || row.is_empty) {
        has_row = false;
        if (row.ends_strip) {
          ++released;
          --left;
        }
      }
    }
  }
}

}  // namespace sliceflow

#ifdef SLICEFLOW_FAST_SIMULATION
#include "sim/fast_cvt.h"
#endif

namespace sliceflow {

template <class C>
void cvt(const Layer& layer, hls::stream<InputStrip>& strips, hls::stream<Beat>& beats, hls::stream<FrameRow>& frame_rows,
         hls::stream<Frame<C>>& frames) {
#ifdef SLICEFLOW_FAST_SIMULATION
  fast_cvt<C>(layer, strips, beats, frame_rows, frames);
#else
  plain_cvt<C>(layer, strips, beats, frame_rows, frames);
#endif
}

}  // namespace sliceflow
