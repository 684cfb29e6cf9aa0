// SPDX-License-Identifier: Apache-2.0
// schedule: hands the strips of a layer to the modules, group by group.
#pragma once

#include "plan.h"
#include "stream.h"

namespace sliceflow {

template <class C>
void schedule(const Layer& layer, hls::stream<InputStrip>& load_strips, hls::stream<InputStrip>& cvt_strips,
              hls::stream<Strip>& pad_strips, hls::stream<uint32_t>& mul_pixels, hls::stream<uint32_t>& add_pixels,
              hls::stream<uint32_t>& post_pixels, hls::stream<AddendStrip>& addend_strips,
              hls::stream<Strip>& pool_strips, hls::stream<Strip>& pack_strips) {
  uint32_t group = layer.group_first;
  uint16_t index = 0;
  for (uint32_t n = 0; n < layer.strip_total; ++n) {
#pragma HLS loop_tripcount min = 1 max = 64
#pragma HLS pipeline II = 1
    const Strip strip = strip_of(layer, group, layer.strip_first + index);
    const InputStrip input = input_of(layer, strip);
    load_strips.write(input);
    cvt_strips.write(input);
    pad_strips.write(strip);
    mul_pixels.write(strip.pixels);
    add_pixels.write(strip.pixels);
    post_pixels.write(strip.pixels);
    if (layer.add_mode != ADD_OFF) addend_strips.write(addend_of<C>(layer, strip));
    if (layer.pool_mode != POOL_OFF) pool_strips.write(strip);
    pack_strips.write(strip);
    const bool last = index + 1 == layer.strip_count;
    index = last ? 0 : index + 1;
    if (last) ++group;
  }
}

}  // namespace sliceflow
