// SPDX-License-Identifier: Apache-2.0
// upsample: nearest-neighbour enlargement; every pixel is sent once for each place where it is written.
#pragma once

#include "geometry.h"
#include "stream.h"

namespace sliceflow {

template <class C>
void upsample(LayerDescriptor d, Strip strip, hls::stream<Pixel<C>>& pixels, hls::stream<Pixel<C>>& copies) {
  const int count = d.upsample_y * d.upsample_x;
  const int pixel_count = strip.pooled_rows * static_cast<int>(d.pool_width);
  const int out_count = d.out_count;
  for (int out = 0; out < out_count; ++out) {
#pragma HLS loop_tripcount min = 1 max = 64
    for (int n = 0; n < pixel_count; ++n) {
#pragma HLS loop_tripcount min = 1 max = 8192
      const Pixel<C> pixel = pixels.read();
      for (int copy = 0; copy < count; ++copy) {
#pragma HLS loop_tripcount min = 1 max = 4
#pragma HLS pipeline II = 1
        copies.write(pixel);
      }
    }
  }
}

}  // namespace sliceflow
