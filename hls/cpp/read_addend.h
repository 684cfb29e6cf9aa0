// SPDX-License-Identifier: Apache-2.0
// read_addend: the second operand of the residual add, pixel by pixel in the order of the array.
#pragma once

#include "geometry.h"
#include "stream.h"

namespace sliceflow {

template <class C>
void read_addend(LayerDescriptor d, Strip strip, const Word<C>* act_add, hls::stream<Pixel<C>>& addends) {
  const int ratio = C::CPO / C::CPI;
  const uint64_t plane = static_cast<uint64_t>(d.conv_height) * d.conv_width;
  const int out_end = d.add_mode == ADD_OFF ? d.out_first : d.out_first + d.out_count;
  for (int out = d.out_first; out < out_end; ++out) {
#pragma HLS loop_tripcount min = 1 max = 64
    const int slices = written_slices<C>(d, out);
    const uint64_t slice = static_cast<uint64_t>(strip.group) * d.out_slices + (is_dense(d) ? out * ratio : out);
    const uint64_t first = d.add_base + slice * plane + static_cast<uint64_t>(strip.map_first) * d.conv_width;
    for (int n = 0; n < strip.pixels; ++n) {
#pragma HLS loop_tripcount min = 1 max = 8192
      Pixel<C> addend;
      for (int part = 0; part < ratio; ++part) {
#pragma HLS pipeline II = 1
        Word<C> word;
        if (part < slices) word = act_add[first + part * plane + n];
        for (int lane = 0; lane < C::CPI; ++lane) {
#pragma HLS unroll
          addend.lane[part * C::CPI + lane] = part < slices ? word.lane[lane] : activation_t<C>(0);
        }
      }
      addends.write(addend);
    }
  }
}

}  // namespace sliceflow
