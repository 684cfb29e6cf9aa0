// SPDX-License-Identifier: Apache-2.0
// load: the input rows of a strip, from memory into the nine banks.
#pragma once

#include "geometry.h"

namespace sliceflow {

// The window buffer. Any 3x3 window touches each bank once: bank = (row % 3)*3 + column % 3.
// POINTWISE reads nine slices of one pixel instead: bank = (slice + column) % 9.
template <class C>
using Banks = Word<C>[TAPS][C::BANK_WORDS];

// One row of one slice; `row` counts from the strip's first row.
template <class C>
void load_row(const LayerDescriptor& d, const Strip& strip, int slice, int row, const Word<C>* source, Banks<C>& banks) {
#pragma HLS inline
  const bool pointwise = d.op == OP_POINTWISE;
  const int width = d.in_width;
  const int row_bank = pointwise ? slice % TAPS : row % 3 * 3;
  const int row_word = pointwise ? (slice / TAPS * strip.in_rows + row) * width
                                 : (slice * bank_rows(strip) + row / 3) * bank_columns(d);
  int bank = row_bank;
  int word = row_word;
  for (int column = 0; column < width; ++column) {
#pragma HLS loop_tripcount min = 1 max = 224
#pragma HLS pipeline II = 1
    banks[bank][word] = source[column];
    if (pointwise) {
      bank = bank == TAPS - 1 ? 0 : bank + 1;
      ++word;
    } else if (bank == row_bank + 2) {
      bank = row_bank;
      ++word;
    } else {
      ++bank;
    }
  }
}

template <class C>
void load_strip(LayerDescriptor d, Strip strip, const Word<C>* act_in, Banks<C>& banks) {
  const int slices = d.in_slices;
  for (int slice = 0; slice < slices; ++slice) {
#pragma HLS loop_tripcount min = 1 max = 64
    const uint64_t plane = static_cast<uint64_t>(strip.group) * slices + slice;
    for (int row = 0; row < strip.in_rows; ++row) {
#pragma HLS loop_tripcount min = 1 max = 224
      const uint64_t first = d.in_base + (plane * d.in_height + strip.in_first + row) * d.in_width;
      load_row<C>(d, strip, slice, row, act_in + first, banks);
    }
  }
}

}  // namespace sliceflow
