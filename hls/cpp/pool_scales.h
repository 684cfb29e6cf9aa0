// SPDX-License-Identifier: Apache-2.0
// The factors by which the average pools scale their sums, one for each number of values in a window.
#pragma once

#include "read_lanes.h"

namespace sliceflow {

template <class C>
struct PoolScale {
  accumulator_t<C> factor;  // multiplier, or the float factor
  uint_t<8> shift;
};

template <class C>
constexpr int POOL_SCALES() {
  return C::POOL_WINDOW * C::POOL_WINDOW + 1;
}

template <class C>
void load_pool_scales(const Layer& layer, hls::stream<Beat>& beats, PoolScale<C> scales[POOL_SCALES<C>()]) {
  const int per_beat = BEAT_BYTES / 8;
  const int count = scale_records(layer);
  Beat beat = Beat();
  for (int n = 0; n < count; ++n) {
#pragma HLS loop_tripcount min = 1 max = 65
#pragma HLS pipeline II = 1
    if (n % per_beat == 0) beat = beats.read();
    from_bits(word_of(beat, n % per_beat * 8), scales[n].factor);
    scales[n].shift = static_cast<uint_t<8>>(word_of(beat, n % per_beat * 8 + 4));
  }
}

// A sum of `pool_in_zero`-centred values becomes an average.
template <class C>
activation_t<C> average(const Layer& d, int_t<32> total, const PoolScale<C>& scale) {
#pragma HLS inline
  return static_cast<activation_t<C>>(scale_down(wide_t(total) * wide_t(scale.factor), static_cast<int>(scale.shift),
                                                 d.pool_out_zero, value_as_int(d.pool_low), value_as_int(d.pool_high)));
}

template <class C>
float average(const Layer& d, float total, const PoolScale<C>& scale) {
#pragma HLS inline
  return clamp(total * scale.factor, value_as_float(d.pool_low), value_as_float(d.pool_high));
}

// Cells that the interval first .. first + size shares with low .. high.
inline int overlap(int first, int size, int low, int high) {
  return larger(0, smaller(first + size, high) - larger(first, low));
}

// Cells of the window that count as values: those inside the map and the counted padding.
inline int window_cells(const Layer& d, int first_row, int first_column) {
  const int top = d.pool_count_top;
  const int left = d.pool_count_left;
  return overlap(first_row, d.pool_window_y, -top, d.conv_height + d.pool_count_bottom) *
         overlap(first_column, d.pool_window_x, -left, d.conv_width + d.pool_count_right);
}

}  // namespace sliceflow
