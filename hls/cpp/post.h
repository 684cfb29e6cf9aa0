// SPDX-License-Identifier: Apache-2.0
// post: from a finished sum to the activation in front of the pool: requantize, table, residual add, table.
#pragma once

#include "activation.h"
#include "eltwise.h"
#include "requantize.h"

namespace sliceflow {

template <class C>
void post(const Layer& layer, hls::stream<uint32_t>& strip_pixels, hls::stream<Beat>& table_beats,
          hls::stream<Sums<C>>& sums, hls::stream<Lanes<C>>& lane_records, hls::stream<Pixel<C>>& addends,
          hls::stream<Pixel<C>>& finished) {
  Table<C> table;
#pragma HLS array_partition variable = table dim = 1 complete
#pragma HLS array_partition variable = table dim = 2 cyclic factor = 4
  load_table<C>(layer, table_beats, table);
  const bool before = uses_table<C>(layer) && layer.table_mode == TABLE_BEFORE_ADD;
  const bool after = uses_table<C>(layer) && layer.table_mode == TABLE_AFTER_ADD;
  const bool adds = layer.add_mode != ADD_OFF;
  Lanes<C> lanes = Lanes<C>();
#pragma HLS array_partition variable = lanes.multiplier complete
#pragma HLS array_partition variable = lanes.shift complete
#pragma HLS array_partition variable = lanes.main_left complete
#pragma HLS array_partition variable = lanes.other_left complete
#pragma HLS array_partition variable = lanes.right complete
  int shift[C::CPO] = {};  // numbers of one size, which compilers vectorize
#pragma HLS array_partition variable = shift complete
  uint32_t pixels = 0;
  uint16_t out = 0;
  uint32_t n = 0;
  for (uint32_t left = layer.strip_total; left > 0;) {
#pragma HLS loop_tripcount min = 1 max = 1048576
#pragma HLS pipeline II = 1
    if (n == 0) {
      if (out == 0) pixels = strip_pixels.read();
      lanes = lane_records.read();
      for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
        shift[lane] = static_cast<int>(lanes.shift[lane]);
      }
    }
    if (n < pixels) {
      Sums<C> value = requantize<C>(layer, sums.read(), lanes.multiplier, shift);
      if (before) look_up<C>(table, value);
      Pixel<C> result = adds ? eltwise<C>(layer, value, addends.read(), lanes) : narrow<C>(value);
      if (after) look_up<C>(table, result);
      finished.write(result);
    }
    if (++n >= pixels) {
      n = 0;
      const bool last_out = out + 1 == layer.out_count;
      out = last_out ? 0 : out + 1;
      if (last_out) --left;
    }
  }
}

}  // namespace sliceflow
