// SPDX-License-Identifier: Apache-2.0
// pad: for every frame, where its nine taps lie in the banks and which of them are padding. No clock is spent on padding itself.
#pragma once

#include "geometry.h"
#include "stream.h"

namespace sliceflow {

// Where a frame's taps are. Along each axis a tap has a bank residue and an address part; parts of taps outside the input are 0.
struct Position {
  int32_t row_word[3];
  int32_t column_word[3];
  uint8_t row_bank[3];
  uint8_t column_bank[3];  // POINTWISE: [0] is the column modulo 9
  uint16_t used;           // bit t: tap t takes part
  uint16_t inside;         // bit t: tap t lies inside the input
};

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

inline Axis move(const Axis& from, const Coordinate& by) {
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

inline void place_rows(const LayerDescriptor& d, const Strip& strip, int step, const Axis& rows, unsigned inside,
                       Position& position) {
  const bool pointwise = d.op == OP_POINTWISE;
  for (int k = 0; k < 3; ++k) {
#pragma HLS unroll
    const int word = pointwise ? (step * strip.in_rows + rows.tap[k].at) * static_cast<int>(d.in_width)
                               : (step * bank_rows(strip) + rows.tap[k].third) * bank_columns(d);
    position.row_word[k] = inside >> k & 1 ? word : 0;
    position.row_bank[k] = rows.tap[k].residue;
  }
}

inline void place_columns(bool pointwise, int column_modulo, const Axis& columns, unsigned inside, Position& position) {
  for (int k = 0; k < 3; ++k) {
#pragma HLS unroll
    const int word = pointwise ? columns.tap[0].at : columns.tap[k].third;
    position.column_word[k] = inside >> k & 1 ? word : 0;
    position.column_bank[k] = columns.tap[k].residue;
  }
  if (pointwise) position.column_bank[0] = column_modulo;
}

// Taps in use in a pass of input step `step`.
inline unsigned used_taps(const LayerDescriptor& d, int step) {
  if (d.op != OP_POINTWISE) return cross((1u << d.taps_y) - 1, (1u << d.taps_x) - 1);
  const int left = static_cast<int>(d.in_slices) - TAPS * step;
  return left >= TAPS ? 0x1ffu : (1u << left) - 1;
}

// The frames of one pass, in row order.
inline void pad_pass(const LayerDescriptor& d, const Strip& strip, int step, int window_y, int window_x,
                     hls::stream<Position>& positions) {
  const bool pointwise = d.op == OP_POINTWISE;
  const int width = d.conv_width;
  const int first_row = strip.map_first * static_cast<int>(d.stride_y) - static_cast<int>(d.pad_top) +
                        window_y * static_cast<int>(d.window_step_y) - strip.in_first;
  const int first_column = window_x * static_cast<int>(d.window_step_x) - static_cast<int>(d.pad_left);
  const Coordinate down = coordinate(d.stride_y);
  const Coordinate right = coordinate(d.stride_x);
  const Axis left_edge = axis(first_column, d.taps_x, d.dilation_x);
  const int left_modulo = (first_column % TAPS + TAPS) % TAPS;
  const int modulo_step = d.stride_x % TAPS;
  Axis rows = axis(first_row, d.taps_y, d.dilation_y);
  Axis columns = left_edge;
  unsigned rows_inside = inside_mask(rows, strip.in_rows);
  int modulo = left_modulo;
  int x = 0;
  Position position;
  position.used = used_taps(d, step);
  place_rows(d, strip, step, rows, rows_inside, position);
  for (int n = 0; n < strip.pixels; ++n) {
#pragma HLS loop_tripcount min = 1 max = 8192
#pragma HLS pipeline II = 1
    const unsigned columns_inside = inside_mask(columns, d.in_width);
    place_columns(pointwise, modulo, columns, columns_inside, position);
    const bool one_pixel_inside = (rows_inside & columns_inside & 1) != 0;
    position.inside = pointwise ? (one_pixel_inside ? 0x1ffu : 0u) : cross(rows_inside, columns_inside);
    positions.write(position);
    if (++x == width) {
      x = 0;
      columns = left_edge;
      modulo = left_modulo;
      rows = move(rows, down);
      rows_inside = inside_mask(rows, strip.in_rows);
      place_rows(d, strip, step, rows, rows_inside, position);
    } else {
      columns = move(columns, right);
      modulo = modulo + modulo_step >= TAPS ? modulo + modulo_step - TAPS : modulo + modulo_step;
    }
  }
}

inline void pad(LayerDescriptor d, Strip strip, hls::stream<Position>& positions) {
  const int pass_count = passes(d);
  const int out_count = d.out_count;
  for (int out = 0; out < out_count; ++out) {
#pragma HLS loop_tripcount min = 1 max = 64
    int step = 0;
    int window_y = 0;
    int window_x = 0;
    for (int pass = 0; pass < pass_count; ++pass) {  // plane, step, window row, window column
#pragma HLS loop_tripcount min = 1 max = 64
      pad_pass(d, strip, step, window_y, window_x, positions);
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
