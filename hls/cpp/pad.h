// SPDX-License-Identifier: Apache-2.0
// pad: for every row of frames, where its taps lie in the banks and which of them are padding. No clock is spent on padding itself.
#pragma once

#include "plan.h"
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
  int32_t word[3];      // address of each tap row; 0 if it lies outside the input
  uint8_t bank[3];      // its residue
  uint8_t inside;       // bit k: tap row k lies inside the input
  uint16_t used;        // bit t: tap t takes part
  uint16_t last_slice;  // what must be in the banks: all slices before this one, and
  uint16_t rows;        // so many rows of it
  bool is_empty;        // no frames: a strip without rows
  bool ends_strip;
  Axis columns;
};

// Taps in use in a pass of input step `step`.
inline unsigned used_taps(const Layer& d, int step) {
  if (d.op != OP_POINTWISE) return cross((1u << d.taps_y) - 1, (1u << d.taps_x) - 1);
  const int left = static_cast<int>(d.in_slices) - TAPS * step;
  return left >= TAPS ? 0x1ffu : (1u << left) - 1;
}

inline void place_row(const Layer& d, const Strip& strip, int step, const Axis& rows, FrameRow& row) {
#pragma HLS inline
  const bool pointwise = d.op == OP_POINTWISE;
  row.inside = inside_mask(rows, strip.in_rows);
  for (int k = 0; k < 3; ++k) {
#pragma HLS unroll
    const int word = pointwise ? (step * strip.in_rows + rows.tap[k].at) * static_cast<int>(d.in_width)
                               : (step * bank_rows(strip) + rows.tap[k].third) * bank_columns(d);
    row.word[k] = row.inside >> k & 1 ? word : 0;
    row.bank[k] = rows.tap[k].residue;
  }
  const int reach = rows.tap[d.taps_y - 1].at + 1;
  row.rows = larger(0, smaller(reach, strip.in_rows));
  const int slice = pointwise ? smaller(TAPS * step + TAPS, d.in_slices) - 1 : step;
  row.last_slice = row.rows > 0 ? slice : 0;
}

// A pass: its window and its input step.
struct PassPlace {
  uint16_t window_x, window_y, step;
  uint8_t plane;
  uint16_t out;
};

// Moves to the next pass; false behind the last one of the strip.
inline bool next_pass(const Layer& d, PassPlace& place) {
#pragma HLS inline
  if (++place.window_x < d.windows_x) return true;
  place.window_x = 0;
  if (++place.window_y < d.windows_y) return true;
  place.window_y = 0;
  if (++place.step < steps(d)) return true;
  place.step = 0;
  if (++place.plane < d.weight_planes) return true;
  place.plane = 0;
  return ++place.out < d.out_count;
}

inline void pad(const Layer& layer, hls::stream<Strip>& strips, hls::stream<FrameRow>& frame_rows) {
  const Coordinate down = coordinate(layer.stride_y);
  Strip strip = Strip();
  PassPlace place = {0, 0, 0, 0, 0};
  Axis rows = axis(0, 1, 1);
  FrameRow row;
  bool fresh = true;  // a strip begins
  uint16_t n = 0;     // row of the pass
  for (uint32_t left = layer.strip_total; left > 0;) {
#pragma HLS loop_tripcount min = 1 max = 65536
#pragma HLS pipeline II = 1
    if (fresh) {
      strip = strips.read();
      place = PassPlace{0, 0, 0, 0, 0};
      n = 0;
    }
    if (n == 0) {
      const int first_row = strip.map_first * layer.stride_y - layer.pad_top + place.window_y * layer.window_step_y - strip.in_first;
      const int first_column = place.window_x * layer.window_step_x - layer.pad_left;
      rows = axis(first_row, layer.taps_y, layer.dilation_y);
      row.used = used_taps(layer, place.step);
      row.columns = axis(first_column, layer.taps_x, layer.dilation_x);
    }
    row.is_empty = strip.map_rows == 0;
    place_row(layer, strip, place.step, rows, row);
    rows = move_axis(rows, down);
    const bool last_row = n + 1 >= strip.map_rows;
    n = last_row ? 0 : n + 1;
    fresh = row.is_empty || (last_row && !next_pass(layer, place));
    row.ends_strip = fresh;
    frame_rows.write(row);
    if (fresh) --left;
  }
}

}  // namespace sliceflow
