// SPDX-License-Identifier: Apache-2.0
// Simulation only: frames straight from the banks, without their ports and the rotation. Equal to PlainTapWords and its functions, which
// a test checks.
#pragma once

namespace sliceflow {

// Where the words of a frame are.
template <class C>
struct FastTapWords {
  Word<C> padding;
  Word<C> zero;
  int turn[2 * TAPS];  // from the first word of bank 0 to that of bank k, twice around
  int* offsets;        // from the first word of a row to that of each column
  int width;           // columns that have an offset

  const Word<C>& outside(const FrameRow& row, int tap) const { return row.used >> tap & 1 ? padding : zero; }
};

template <class C>
void prepare(const LayerDescriptor& d, FastTapWords<C>& words) {
  accumulator_t<C> padding;
  from_bits(d.pad_value, padding);
  for (int lane = 0; lane < C::CPI; ++lane) {
    words.padding.lane[lane] = static_cast<activation_t<C>>(padding);
    words.zero.lane[lane] = 0;
  }
  for (int k = 0; k < 2 * TAPS; ++k) words.turn[k] = k % TAPS * C::BANK_WORDS;
  constexpr int COLUMNS = 3 * C::BANK_WORDS;
  typedef int Offsets[COLUMNS];
  SLICEFLOW_MEMORY(Offsets, offsets);
  words.offsets = offsets;
  words.width = smaller(d.in_width, COLUMNS);  // wider only if no row of the strip is inside
  for (int column = 0; d.op != OP_POINTWISE && column < words.width; ++column) {
    offsets[column] = column % 3 * C::BANK_WORDS + column / 3;
  }
}

// A row of 3x3 windows.
template <class C>
void write_windows(const LayerDescriptor& d, const FrameRow& row, const Word<C>* banks, const FastTapWords<C>& words,
                   hls::stream<Frame<C>>& frames) {
  const Word<C>* rows[3];
  int columns[3];
  for (int k = 0; k < 3; ++k) {
    rows[k] = banks + row.bank[k] * 3 * C::BANK_WORDS + row.word[k];
    columns[k] = row.columns.tap[k].at;
  }
  const int* offsets = words.offsets;  // words of bytes may alias anything, so what the loop needs is local
  const unsigned width = static_cast<unsigned>(words.width);
  const int count = d.conv_width;
  const int stride = d.stride_x;
  for (int x = 0; x < count; ++x) {
    unsigned columns_inside = 0;
    int offset[3];
#pragma GCC unroll 3
    for (int k = 0; k < 3; ++k) {
      const bool in = static_cast<unsigned>(columns[k]) < width;
      columns_inside |= static_cast<unsigned>(in) << k;
      offset[k] = in ? offsets[columns[k]] : 0;
      columns[k] += stride;
    }
    const unsigned inside = row.used & cross(row.inside, columns_inside);
    frames.await_room();
    Frame<C>& frame = frames.room(0);
    if (inside == ALL_TAPS) {
#pragma GCC unroll 9
      for (int tap = 0; tap < TAPS; ++tap) frame.tap[tap] = rows[tap / 3][offset[tap % 3]];
    } else {
#pragma GCC unroll 9
      for (int tap = 0; tap < TAPS; ++tap) {
        frame.tap[tap] = inside >> tap & 1 ? rows[tap / 3][offset[tap % 3]] : words.outside(row, tap);
      }
    }
    frames.push(1);
  }
}

// A row of single pixels, nine slices each.
template <class C>
void write_pixels(const LayerDescriptor& d, const FrameRow& row, const Word<C>* banks, const FastTapWords<C>& words,
                  hls::stream<Frame<C>>& frames) {
  const int count = d.conv_width;
  const int stride = d.stride_x;
  int column = row.columns.tap[0].at;
  int modulo = row.modulo;
  for (int x = 0; x < count; ++x) {
    const bool in = (row.inside & 1) != 0 && static_cast<unsigned>(column) < d.in_width;
    const Word<C>* word = banks + row.word[0] + (in ? column : 0);
    const int* turn = words.turn + modulo;
    frames.await_room();
    Frame<C>& frame = frames.room(0);
    if (in && row.used == ALL_TAPS) {
#pragma GCC unroll 9
      for (int tap = 0; tap < TAPS; ++tap) frame.tap[tap] = word[turn[tap]];
    } else {
      for (int tap = 0; tap < TAPS; ++tap) {
        frame.tap[tap] = in && row.used >> tap & 1 ? word[turn[tap]] : words.outside(row, tap);
      }
    }
    frames.push(1);
    column += stride;
    modulo = (modulo + stride) % TAPS;
  }
}

template <class C>
void write_row(const LayerDescriptor& d, const FrameRow& row, const Banks<C>& banks, const FastTapWords<C>& words,
               hls::stream<Frame<C>>& frames) {
  if (d.op == OP_POINTWISE) {
    write_pixels<C>(d, row, banks[0], words, frames);
  } else {
    write_windows<C>(d, row, banks[0], words, frames);
  }
}

template <class C>
using TapWords = FastTapWords<C>;

}  // namespace sliceflow
