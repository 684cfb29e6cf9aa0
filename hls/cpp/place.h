// SPDX-License-Identifier: Apache-2.0
// place: input beats into the nine banks, up to eight words of a row a clock, and how far they are.
#pragma once

#include "load.h"
#include "numerics.h"
#include "pad.h"

namespace sliceflow {

// Words that go into the banks in a clock; each bank is so many memories in turn.
template <class C>
constexpr int LOAD_WORDS() {
  return BEAT_WORDS<C>() < 8 ? BEAT_WORDS<C>() : 8;
}
template <class C>
constexpr int BANK_ROWS() {
  return (C::BANK_WORDS + LOAD_WORDS<C>() - 1) / LOAD_WORDS<C>();
}

// The window buffer, twice. Any 3x3 window touches each bank once: bank = (row % 3)*3 + column % 3. POINTWISE reads nine slices of one
// pixel instead: bank = slice % 9.
template <class C>
using Banks = Word<C>[TAPS][LOAD_WORDS<C>()][2 * BANK_ROWS<C>()];

// Whole slices and rows of the next one that are in the banks.
struct Progress {
  uint16_t strips;  // strips before
  uint16_t slices;
  uint16_t rows;
};

template <class C>
struct Placing {
  bool active;
  InputStrip strip;
  RunPlace place;
  uint16_t row, column;  // of the next word
  uint16_t strips;       // strips that are in the banks
  int32_t row_word;      // bank address of the row's first word,
  int32_t band_word;     // of the band's,
  int32_t slice_word;    // of the slice's, or of the nine
  uint8_t row_class, column_class;
  int32_t third;
  BeatWords<C> beat;
  bool has_beat;
  uint8_t offset;  // of the next word in the beat
};

template <class C>
void start_run(Placing<C>& at) {
#pragma HLS inline
  at.offset = static_cast<uint8_t>(at.place.position % BEAT_WORDS<C>());
  at.has_beat = false;
}

template <class C>
void start_strip(const InputStrip& strip, Placing<C>& at) {
#pragma HLS inline
  at.strip = strip;
  at.place = first_run(strip);
  at.row = at.column = 0;
  at.row_class = at.column_class = 0;
  at.third = 0;
  at.row_word = at.band_word = at.slice_word = 0;
  at.active = strip.rows > 0;
  if (!at.active) ++at.strips;
  start_run(at);
}

// Writes `count` neighbouring words of a row.
template <class C>
void write_banks(const Layer& layer, const Placing<C>& at, int count, Banks<C>& banks) {
#pragma HLS inline
  constexpr int WORDS = LOAD_WORDS<C>();
  const bool pointwise = layer.op == OP_POINTWISE;
  const int base = (at.strips & 1) * BANK_ROWS<C>();
  const int first = at.row_word + (pointwise ? static_cast<int>(at.column) : at.third);
  for (int bank = 0; bank < TAPS; ++bank) {
#pragma HLS unroll
    const bool hit = pointwise ? bank == at.place.nine : bank / 3 == at.row_class;
    // The first word of this bank's columns: its place among those that come in, and its address.
    const bool wraps = bank % 3 < at.column_class;
    const int source = pointwise ? 0 : bank % 3 - at.column_class + (wraps ? 3 : 0);
    const int address = first + (!pointwise && wraps ? 1 : 0);
    for (int q = 0; q < WORDS; ++q) {
#pragma HLS unroll
      const int further = (q - address) & (WORDS - 1);  // number of the word, among those of this bank, that memory q takes
      const int word = source + (pointwise ? further : 3 * further);
      if (hit && word < count) {
        banks[bank][q][base + (address + further) / WORDS] = at.beat.word[(at.offset + word) % BEAT_WORDS<C>()];
      }
    }
  }
}

// Places what it can of the beat at hand. Returns whether the strip is complete.
template <class C>
void place_words(const Layer& layer, Placing<C>& at, Banks<C>& banks) {
#pragma HLS inline
  const int count = smaller(LOAD_WORDS<C>(), smaller(layer.in_width - at.column, BEAT_WORDS<C>() - at.offset));
  write_banks<C>(layer, at, count, banks);
  at.column += count;
  at.offset += count;
  const int columns = at.column_class + count % 3;
  at.column_class = columns >= 3 ? columns - 3 : columns;
  at.third += count / 3 + (columns >= 3 ? 1 : 0);
  if (at.offset == BEAT_WORDS<C>()) {
    at.offset = 0;
    at.has_beat = false;
  }
  if (at.column < layer.in_width) return;
  at.column = 0;
  at.column_class = 0;
  at.third = 0;
  ++at.row;
  const bool pointwise = layer.op == OP_POINTWISE;
  if (pointwise) at.row_word += layer.in_width;
  if (!pointwise && at.row_class == 2) at.row_word += bank_columns(layer);
  at.row_class = at.row_class == 2 ? 0 : at.row_class + 1;
  if (at.row < band_end(layer, at.strip, at.place)) return;
  if (!next_run(layer, at.strip, at.place)) {
    at.active = false;
    at.has_beat = false;
    ++at.strips;
    return;
  }
  if (!at.strip.is_one_run) start_run(at);
  if (at.place.nine == 0 && at.place.band > 0) {  // the next band: its rows follow
    at.band_word = at.row_word;
  } else if (at.place.nine == 0) {  // the next slice, or the next nine
    at.slice_word += at.strip.slice_words;
    at.band_word = at.slice_word;
  }
  at.row = at.place.band;
  at.row_class = 0;
  at.row_word = at.band_word;
}

template <class C>
Progress progress_of(const Layer& layer, const Placing<C>& at) {
#pragma HLS inline
  if (!at.active) return Progress{at.strips, 0, 0};
  if (layer.op != OP_POINTWISE) return Progress{at.strips, at.place.slice, at.row};
  const int last_of_nine = at.place.slice - at.place.nine + TAPS - 1;  // which needs the other eight
  return Progress{at.strips, static_cast<uint16_t>(smaller(last_of_nine, layer.in_slices - 1)), at.place.band};
}

inline bool is_loaded(const Progress& progress, uint16_t strip, const FrameRow& row) {
#pragma HLS inline
  const int16_t ahead = static_cast<int16_t>(progress.strips - strip);
  if (ahead != 0) return ahead > 0;
  return progress.slices > row.last_slice || (progress.slices == row.last_slice && progress.rows >= row.rows);
}

}  // namespace sliceflow
