// SPDX-License-Identifier: Apache-2.0
// pool: maximum or average over windows or over the whole map, as the pixels stream by.
#pragma once

#include "pool_scales.h"

namespace sliceflow {

// Neutral element and step of the reduction. Averages sum what lies above the zero point.
inline int_t<32> lowest(int_t<32>) { return int_t<32>(INT32_MIN); }
inline float lowest(float) { return value_as_float(0xff800000u); }

template <class T>
T neutral(bool maximum) {
  return maximum ? lowest(T(0)) : T(0);
}

template <class T>
T reduce(bool maximum, T a, T b) {
  return maximum ? (a < b ? b : a) : sum(a, b);
}

template <class C>
Sums<C> pool_start(bool maximum) {
#pragma HLS inline
  Sums<C> start;
  for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
    start.lane[lane] = neutral<accumulator_t<C>>(maximum);
  }
  return start;
}

template <class C>
void pool_merge(bool maximum, Sums<C>& into, const Sums<C>& from) {
#pragma HLS inline
  for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
    into.lane[lane] = reduce(maximum, into.lane[lane], from.lane[lane]);
  }
}

template <class C>
Sums<C> centred(const Pixel<C>& pixel, accumulator_t<C> zero) {
#pragma HLS inline
  Sums<C> result;
  for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
    result.lane[lane] = accumulator_t<C>(pixel.lane[lane]) - zero;
  }
  return result;
}

template <class C>
Pixel<C> pool_finish(const Layer& d, bool maximum, const Sums<C>& total, const PoolScale<C>& scale) {
#pragma HLS inline
  Pixel<C> result;
  for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
    result.lane[lane] = maximum ? static_cast<activation_t<C>>(total.lane[lane])
                                : static_cast<activation_t<C>>(average<C>(d, total.lane[lane], scale));
  }
  return result;
}

// The last POOL_WINDOW rows or columns, in a ring: slot k holds number `held[k]`. The order inside a window does not matter,
// so nothing is shifted.
template <class C>
struct Ring {
  int held[C::POOL_WINDOW];
  int slot;
};

template <class C>
void ring_clear(Ring<C>& ring) {
#pragma HLS inline
  ring.slot = 0;
  for (int k = 0; k < C::POOL_WINDOW; ++k) {
#pragma HLS unroll
    ring.held[k] = INT32_MIN / 2;
  }
}

template <class C>
void ring_advance(Ring<C>& ring) {
#pragma HLS inline
  ring.slot = ring.slot == C::POOL_WINDOW - 1 ? 0 : ring.slot + 1;
}

// The rows of the strip that the window buffer still holds.
template <class C>
using PoolLines = Pixel<C>[C::POOL_WINDOW][C::POOL_WIDTH];

// Reduces one column over the rows of the window that ends at `row`; `value` is that row's, if it lies in the map.
template <class C>
Sums<C> pool_column(const Layer& d, bool maximum, const PoolLines<C>& lines, const Ring<C>& rows, int row, int column,
                    bool in_map, const Pixel<C>& value, accumulator_t<C> zero) {
#pragma HLS inline
  Sums<C> total = pool_start<C>(maximum);
  if (in_map) pool_merge<C>(maximum, total, centred<C>(value, zero));
  for (int k = 0; k < C::POOL_WINDOW; ++k) {
#pragma HLS unroll
    if (rows.held[k] > row - d.pool_window_y) pool_merge<C>(maximum, total, centred<C>(lines[k][column], zero));
  }
  return total;
}

// Clocks of a row of the map, at least: a line is written before the next row reads it.
constexpr int ROW_SPACING = 3;

// A clock for each pixel, and for each cell right of the map or below it at which a window ends.
template <class C>
void pool_windows(const Layer& layer, hls::stream<Strip>& strips, const PoolScale<C> scales[POOL_SCALES<C>()],
                  hls::stream<Pixel<C>>& values, hls::stream<Pixel<C>>& pooled) {
  SLICEFLOW_MEMORY(PoolLines<C>, lines);
#pragma HLS array_partition variable = lines dim = 1 complete
#pragma HLS aggregate variable = lines
#pragma HLS bind_storage variable = lines type = ram_s2p impl = bram
#pragma HLS dependence variable = lines type = inter direction = RAW distance = 3 dependent = true
  const bool maximum = layer.pool_mode == POOL_MAX;
  const accumulator_t<C> zero = maximum || C::IS_FLOAT ? accumulator_t<C>(0) : accumulator_t<C>(layer.pool_in_zero);
  const int width = layer.conv_width;
  const int row_clocks = larger(width, ROW_SPACING);
  Sums<C> reduced[C::POOL_WINDOW];
#pragma HLS array_partition variable = reduced complete
  Ring<C> rows;
  Ring<C> columns;
#pragma HLS array_partition variable = rows.held complete
#pragma HLS array_partition variable = columns.held complete
  ring_clear<C>(rows);
  ring_clear<C>(columns);
  Strip strip = Strip();
  bool fresh = true;  // a map begins
  uint16_t out = 0;
  int row = 0;
  int row_end = 0;  // row and column at which the next window ends
  int column_end = 0;
  uint16_t rows_left = 0;  // pooled
  uint16_t columns_left = 0;
  int column = 0;
  for (uint32_t left = layer.strip_total; left > 0;) {
#pragma HLS loop_tripcount min = 1 max = 1048576
#pragma HLS pipeline II = 1
    if (fresh) {
      if (out == 0) strip = strips.read();
      row = strip.map_first;
      row_end = strip.pooled_first * layer.pool_stride_y - layer.pool_pad_top + layer.pool_window_y - 1;
      rows_left = strip.pooled_rows;
      ring_clear<C>(rows);
      fresh = false;
    }
    if (column == 0) {
      column_end = layer.pool_window_x - 1 - layer.pool_pad_left;
      columns_left = layer.pool_width;
      ring_clear<C>(columns);
    }
    const int map_end = strip.map_first + strip.map_rows;
    const bool row_in_map = row < map_end;
    const bool beside = column >= width;
    const bool emit_row = row == row_end && rows_left > 0;
    Pixel<C> value = Pixel<C>();
    if (row_in_map && !beside) value = values.read();
    if (emit_row && !beside) {
      reduced[columns.slot] = pool_column<C>(layer, maximum, lines, rows, row, column, row_in_map, value, zero);
      columns.held[columns.slot] = column;
      ring_advance<C>(columns);
    }
    if (row_in_map && !beside) lines[rows.slot][column] = value;
    if (emit_row && columns_left > 0 && column == column_end) {
      Sums<C> total = pool_start<C>(maximum);
      for (int k = 0; k < C::POOL_WINDOW; ++k) {
#pragma HLS unroll
        if (columns.held[k] > column - layer.pool_window_x) pool_merge<C>(maximum, total, reduced[k]);
      }
      const int cells = window_cells(layer, row + 1 - layer.pool_window_y, column + 1 - layer.pool_window_x);
      pooled.write(pool_finish<C>(layer, maximum, total, scales[maximum ? 0 : cells]));
      column_end += layer.pool_stride_x;
      --columns_left;
    }
    ++column;
    if (column >= row_clocks && (!emit_row || columns_left == 0)) {
      column = 0;
      if (row_in_map) {
        rows.held[rows.slot] = row;
        ring_advance<C>(rows);
      }
      if (emit_row) {
        row_end += layer.pool_stride_y;
        --rows_left;
      }
      ++row;
      if (row >= map_end && rows_left == 0) {
        fresh = true;
        const bool last_out = out + 1 == layer.out_count;
        out = last_out ? 0 : out + 1;
        if (last_out) --left;
      }
    }
  }
}

// The whole map; the total lives from strip to strip.
template <class C>
void pool_map(const Layer& layer, hls::stream<Strip>& strips, const PoolScale<C>& scale, hls::stream<Pixel<C>>& values,
              hls::stream<Pixel<C>>& pooled) {
  const bool maximum = layer.pool_mode == POOL_GLOBAL_MAX;
  const accumulator_t<C> zero = maximum || C::IS_FLOAT ? accumulator_t<C>(0) : accumulator_t<C>(layer.pool_in_zero);
  Sums<C> total = pool_start<C>(maximum);
#pragma HLS array_partition variable = total.lane complete
  Strip strip = Strip();
  uint16_t out = 0;
  uint32_t n = 0;
  for (uint32_t left = layer.strip_total; left > 0;) {
#pragma HLS loop_tripcount min = 1 max = 1048576
#pragma HLS pipeline II = 1
    if (n == 0) {
      if (out == 0) strip = strips.read();
      if (strip.is_first) total = pool_start<C>(maximum);
    }
    if (n < strip.pixels) pool_merge<C>(maximum, total, centred<C>(values.read(), zero));
    if (++n >= strip.pixels) {
      n = 0;
      if (strip.pooled_rows > 0) pooled.write(pool_finish<C>(layer, maximum, total, scale));
      const bool last_out = out + 1 == layer.out_count;
      out = last_out ? 0 : out + 1;
      if (last_out) --left;
    }
  }
}

template <class C>
void pool(const Layer& layer, hls::stream<Strip>& strips, hls::stream<Beat>& scale_beats, hls::stream<Pixel<C>>& values,
          hls::stream<Pixel<C>>& pooled) {
  PoolScale<C> scales[POOL_SCALES<C>()];
  load_pool_scales<C>(layer, scale_beats, scales);
  if (is_windowed(layer)) {
    pool_windows<C>(layer, strips, scales, values, pooled);
  } else if (is_global(layer)) {
    pool_map<C>(layer, strips, scales[0], values, pooled);
  } else {
    for (uint64_t n = 0; n < layer.pixels; ++n) {
#pragma HLS loop_tripcount min = 1 max = 1048576
#pragma HLS pipeline II = 1
      pooled.write(values.read());
    }
  }
}

}  // namespace sliceflow
