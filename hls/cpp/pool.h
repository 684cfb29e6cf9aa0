// SPDX-License-Identifier: Apache-2.0
// pool: maximum or average over windows or over the whole map, as the pixels stream by.
#pragma once

#include "pool_scales.h"
#include "stream.h"

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
Pixel<C> pool_finish(const LayerDescriptor& d, bool maximum, const Sums<C>& total, const PoolScale<C>& scale) {
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

// Reduces one column over the rows of the window that ends at `row`.
template <class C>
Sums<C> pool_column(const LayerDescriptor& d, bool maximum, const PoolLines<C>& lines, const Ring<C>& rows, int row,
                    int column, accumulator_t<C> zero) {
#pragma HLS inline
  Sums<C> total = pool_start<C>(maximum);
  for (int k = 0; k < C::POOL_WINDOW; ++k) {
#pragma HLS unroll
    if (rows.held[k] > row - static_cast<int>(d.pool_window_y)) {
      pool_merge<C>(maximum, total, centred<C>(lines[k][column], zero));
    }
  }
  return total;
}

// One row of the map, or one behind its end where windows still hang over. If `emit`, a row of windows ends here.
template <class C>
void pool_row(const LayerDescriptor& d, int row, bool in_map, bool emit, const PoolScale<C> scales[POOL_SCALES<C>()],
              PoolLines<C>& lines, const Ring<C>& rows, hls::stream<Pixel<C>>& values, hls::stream<Pixel<C>>& pooled) {
  const bool maximum = d.pool_mode == POOL_MAX;
  const accumulator_t<C> zero = maximum || C::IS_FLOAT ? accumulator_t<C>(0) : accumulator_t<C>(d.pool_in_zero);
  const int width = d.conv_width;
  const int window_x = d.pool_window_x;
  const int left = d.pool_pad_left;
  const int last_end = static_cast<int>((d.pool_width - 1) * d.pool_stride_x) - left + window_x;
  const int columns = emit ? larger(width, last_end) : width;
  Sums<C> reduced[C::POOL_WINDOW];
#pragma HLS array_partition variable = reduced complete
  Ring<C> ring;
  ring_clear<C>(ring);
  int next_end = window_x - 1 - left;  // column at which the next window ends
  for (int column = 0; column < columns; ++column) {
#pragma HLS loop_tripcount min = 1 max = 224
#pragma HLS pipeline II = 1
    if (in_map && column < width) lines[rows.slot][column] = values.read();
    if (emit) {
      if (column < width) {
        reduced[ring.slot] = pool_column<C>(d, maximum, lines, rows, row, column, zero);
        ring.held[ring.slot] = column;
        ring_advance<C>(ring);
      }
      if (column == next_end) {
        Sums<C> total = pool_start<C>(maximum);
        for (int k = 0; k < C::POOL_WINDOW; ++k) {
#pragma HLS unroll
          if (ring.held[k] > column - window_x) pool_merge<C>(maximum, total, reduced[k]);
        }
        const int cells = window_cells(d, row + 1 - static_cast<int>(d.pool_window_y), column + 1 - window_x);
        pooled.write(pool_finish<C>(d, maximum, total, scales[maximum ? 0 : cells]));
        next_end = next_end + static_cast<int>(d.pool_stride_x) < last_end ? next_end + d.pool_stride_x : -1;
      }
    }
  }
}

// The map of one output group.
template <class C>
void pool_windows(const LayerDescriptor& d, const Strip& strip, const PoolScale<C> scales[POOL_SCALES<C>()],
                  PoolLines<C>& lines, hls::stream<Pixel<C>>& values, hls::stream<Pixel<C>>& pooled) {
  const int stride = d.pool_stride_y;
  const int map_end = strip.map_first + strip.map_rows;
  int next_end = strip.pooled_first * stride - static_cast<int>(d.pool_pad_top) + static_cast<int>(d.pool_window_y) - 1;
  const int last_end = next_end + (strip.pooled_rows - 1) * stride + 1;
  Ring<C> rows;
  ring_clear<C>(rows);
  for (int row = strip.map_first; row < larger(map_end, last_end); ++row) {
#pragma HLS loop_tripcount min = 1 max = 224
    const bool in_map = row < map_end;
    const bool emit = row == next_end;
    if (in_map) rows.held[rows.slot] = row;
    pool_row<C>(d, row, in_map, emit, scales, lines, rows, values, pooled);
    if (in_map) ring_advance<C>(rows);
    if (emit) next_end += stride;
  }
}

// The whole map; `total` lives from strip to strip.
template <class C>
void pool_map(const LayerDescriptor& d, const Strip& strip, const PoolScale<C>& scale, Sums<C>& total,
              hls::stream<Pixel<C>>& values, hls::stream<Pixel<C>>& pooled) {
  const bool maximum = d.pool_mode == POOL_GLOBAL_MAX;
  const accumulator_t<C> zero = maximum || C::IS_FLOAT ? accumulator_t<C>(0) : accumulator_t<C>(d.pool_in_zero);
  if (strip.is_first) total = pool_start<C>(maximum);
  for (int n = 0; n < strip.pixels; ++n) {
#pragma HLS loop_tripcount min = 1 max = 8192
#pragma HLS pipeline II = 1
    pool_merge<C>(maximum, total, centred<C>(values.read(), zero));
  }
  if (strip.pooled_rows > 0) pooled.write(pool_finish<C>(d, maximum, total, scale));
}

template <class C>
void pool(LayerDescriptor d, Strip strip, const PoolScale<C> scales[POOL_SCALES<C>()], Sums<C>& total,
          hls::stream<Pixel<C>>& values, hls::stream<Pixel<C>>& pooled) {
  SLICEFLOW_MEMORY(PoolLines<C>, lines);
#pragma HLS array_partition variable = lines dim = 1 complete
#pragma HLS aggregate variable = lines
  const int out_count = d.out_count;
  for (int out = 0; out < out_count; ++out) {
#pragma HLS loop_tripcount min = 1 max = 64
    if (is_windowed(d)) {
      pool_windows<C>(d, strip, scales, lines, values, pooled);
    } else if (is_global(d)) {
      pool_map<C>(d, strip, scales[0], total, values, pooled);
    } else {
      for (int n = 0; n < strip.pixels; ++n) {
#pragma HLS loop_tripcount min = 1 max = 8192
#pragma HLS pipeline II = 1
        pooled.write(values.read());
      }
    }
  }
}

}  // namespace sliceflow
