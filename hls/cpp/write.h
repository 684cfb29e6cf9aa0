// SPDX-License-Identifier: Apache-2.0
// write: pixels to memory, each in its slices.
#pragma once

#include "geometry.h"
#include "stream.h"

namespace sliceflow {

// The slices of one pixel; `plane` is the distance between two slices.
template <class C>
void write_pixel(const Pixel<C>& pixel, int slices, uint64_t plane, Word<C>* target) {
#pragma HLS inline
  for (int part = 0; part < C::CPO / C::CPI; ++part) {
#pragma HLS pipeline II = 1
    Word<C> word;
    for (int lane = 0; lane < C::CPI; ++lane) {
#pragma HLS unroll
      word.lane[lane] = pixel.lane[part * C::CPI + lane];
    }
    if (part < slices) target[part * plane] = word;
  }
}

template <class C>
void write(LayerDescriptor d, Strip strip, hls::stream<Pixel<C>>& copies, Word<C>* act_out) {
  const int ratio = C::CPO / C::CPI;
  const int width = d.pool_width;
  const int repeat_y = d.upsample_y;
  const int repeat_x = d.upsample_x;
  const uint64_t out_width = static_cast<uint64_t>(width) * repeat_x;
  const uint64_t plane = static_cast<uint64_t>(d.pool_height) * repeat_y * out_width;
  const int out_end = d.out_first + d.out_count;
  for (int out = d.out_first; out < out_end; ++out) {
#pragma HLS loop_tripcount min = 1 max = 64
    const int slices = written_slices<C>(d, out);
    const uint64_t slice = static_cast<uint64_t>(strip.group) * d.out_slices + (is_dense(d) ? out * ratio : out);
    for (int row = 0; row < strip.pooled_rows; ++row) {
#pragma HLS loop_tripcount min = 1 max = 224
      const uint64_t first_row = static_cast<uint64_t>(strip.pooled_first + row) * repeat_y;
      for (int column = 0; column < width; ++column) {
#pragma HLS loop_tripcount min = 1 max = 224
        for (int y = 0; y < repeat_y; ++y) {
#pragma HLS loop_tripcount min = 1 max = 2
          for (int x = 0; x < repeat_x; ++x) {
#pragma HLS loop_tripcount min = 1 max = 2
            const uint64_t at = (first_row + y) * out_width + static_cast<uint64_t>(column) * repeat_x + x;
            write_pixel<C>(copies.read(), slices, plane, act_out + d.out_base + slice * plane + at);
          }
        }
      }
    }
  }
}

}  // namespace sliceflow
