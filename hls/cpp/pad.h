// SPDX-License-Identifier: Apache-2.0
// pad: for every row of frames, where its taps lie in the banks and which of them are padding. No clock is spent on padding itself.
#pragma once

#include "geometry.h"
#include "stream.h"

namespace sliceflow {

// A coordinate that moves, kept as 3*third + residue, so that no clock divides.
struct Coordinate {
  int at;
  int third;
  int residue;
};

inline Coordinate coordinate(int at) {
  const int lift = 1 << 20;  // makes the dividend positive: padding starts left of 0
  const int third = (at + 3 * lift) / 3 - lift;
  return Coordinate{at, third, at - 3 * third};
}

inline Coordinate move(const Coordinate& from, const Coordinate& by) {
  const int residue = from.residue + by.residue;
  const bool carry = residue >= 3;
  return Coordinate{from.at + by.at, from.third + by.third + (carry ? 1 : 0), carry ? residue - 3 : residue};
}

// The three taps along one axis.
struct Axis {
  Coordinate tap[3];
};

// Taps not in use take a neighbour's place, so that the residues of the three always differ.
inline Axis axis(int first, int taps, int dilation) {
  Axis result;
  for (int k = 0; k < 3; ++k) {
#pragma HLS unroll
    result.tap[k] = coordinate(first + k * (taps > 1 ? dilation : 1));
  }
  return result;
}

inline Axis move_axis(const Axis& from, const Coordinate& by) {
  Axis result;
  for (int k = 0; k < 3; ++k) {
#pragma HLS unroll
    result.tap[k] = move(from.tap[k], by);
  }
  return result;
}

// Bit k: tap k lies in 0 .. size-1.
inline unsigned inside_mask(const Axis& axis, int size) {
  unsigned mask = 0;
  for (int k = 0; k < 3; ++k) {
#pragma HLS unroll
    mask |= static_cast<unsigned>(static_cast<unsigned>(axis.tap[k].at) < static_cast<unsigned>(size)) << k;
  }
  return mask;
}

// Nine bits from three row bits and three column bits.
inline unsigned cross(unsigned rows, unsigned columns) {
  return ((rows & 1 ? 7u : 0u) | (rows & 2 ? 7u << 3 : 0u) | (rows & 4 ? 7u << 6 : 0u)) &
         (columns | columns << 3 | columns << 6);
}

// A row of frames. Its three tap rows are fixed; its tap columns start at `columns` and move by the stride.
struct FrameRow {
  int32_t word[3];  // address of each tap row; 0 if it lies outside the input
  uint8_t bank[3];  // its residue
  uint8_t inside;   // bit k: tap row k lies inside the input
  uint16_t used;    // bit t: tap t takes part
  uint8_t modulo;   // POINTWISE: first column modulo 9
  Axis columns;
};

// Taps in use in a pass of input step `step`.
inline unsigned used_taps(const LayerDescriptor& d, int step) {
  if (d.op != OP_POINTWISE) return cross((1u << d.taps_y) - 1, (1u << d.taps_x) - 1);
  const int left = static_cast<int>(d.in_slices) - TAPS * step;
  return left >= TAPS ? 0x1ffu : (1u << left) - 1;
}

inline void place_row(const LayerDescriptor& d, const Strip& strip, int step, const Axis& rows, FrameRow& row) {
  const bool pointwise = d.op == OP_POINTWISE;
  row.inside = inside_mask(rows, strip.in_rows);
  for (int k = 0; k < 3; ++k) {
#pragma HLS unroll
    const int word = pointwise ? (step * strip.in_rows + rows.tap[k].at) * static_cast<int>(d.in_width)
                               : (step * bank_rows(strip) + rows.tap[k].third) * bank_columns(d);
    row.word[k] = row.inside >> k & 1 ? word : 0;
    row.bank[k] = rows.tap[k].residue;
  }
}

// The rows of one pass.
inline void pad_pass(const LayerDescriptor& d, const Strip& strip, int step, int window_y, int window_x,
                     hls::stream<FrameRow>& frame_rows) {
  const int first_row = strip.map_first * static_cast<int>(d.stride_y) - static_cast<int>(d.pad_top) +
                        window_y * static_cast<int>(d.window_step_y) - strip.in_first;
  const int first_column = window_x * static_cast<int>(d.window_step_x) - static_cast<int>(d.pad_left);
  const Coordinate down = coordinate(d.stride_y);
  Axis rows = axis(first_row, d.taps_y, d.dilation_y);
  FrameRow row;
  row.used = used_taps(d, step);
  row.modulo = (first_column % TAPS + TAPS) % TAPS;
  row.columns = axis(first_column, d.taps_x, d.dilation_x);
  for (int n = 0; n < strip.map_rows; ++n) {
#pragma HLS loop_tripcount min = 1 max = 224
#pragma HLS pipeline II = 1
    place_row(d, strip, step, rows, row);
    frame_rows.write(row);
    rows = move_axis(rows, down);
  }
}

inline void pad(LayerDescriptor d, Strip strip, hls::stream<FrameRow>& frame_rows) {
  const int pass_count = passes(d);
  const int out_count = d.out_count;
  for (int out = 0; out < out_count; ++out) {
#pragma HLS loop_tripcount min = 1 max = 64
    int step = 0;
    int window_y = 0;
    int window_x = 0;
    for (int pass = 0; pass < pass_count; ++pass) {  // plane, step, window row, window column
#pragma HLS loop_tripcount min = 1 max = 64
      pad_pass(d, strip, step, window_y, window_x, frame_rows);
      if (++window_x == static_cast<int>(d.windows_x)) {
        window_x = 0;
        if (++window_y == static_cast<int>(d.windows_y)) {
          window_y = 0;
          if (++step == steps(d)) step = 0;
        }
      }
    }
  }
}

}  // namespace sliceflow
