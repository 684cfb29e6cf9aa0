// SPDX-License-Identifier: Apache-2.0
// One layer: its dataflow region. Every process loops over all strips of all groups, so that a strip is loaded while the one before
// computes and its results leave while the next one computes.
#pragma once

#include "add.h"
#include "check.h"
#include "cvt.h"
#include "load.h"
#include "mul.h"
#include "pad.h"
#include "pool.h"
#include "post.h"
#include "read_addend.h"
#include "read_lanes.h"
#include "read_weights.h"
#include "schedule.h"
#include "write.h"

namespace sliceflow {

// Strips that the front of the pipeline may be ahead of its back: more than its stages hold, should a tool make pipelines that pass
// nothing on until more comes in.
constexpr int AHEAD = 128;

// Every stream has one writer and one reader. The three activation ports may see the same memory.
template <class C>
void run_layer(const Layer& layer, hls::burst_maxi<Beat> program, hls::burst_maxi<Beat> weights,
               hls::burst_maxi<Beat> act_in, hls::burst_maxi<Beat> act_add, hls::burst_maxi<Beat> act_out) {
#pragma HLS dataflow
#pragma HLS stable variable = layer
  hls::stream<InputStrip, 16> load_strips("load_strips");
  hls::stream<InputStrip, 16> cvt_strips("cvt_strips");
  hls::stream<Strip, 16> pad_strips("pad_strips");
  hls::stream<uint32_t, AHEAD> mul_pixels("mul_pixels");
  hls::stream<uint32_t, AHEAD> add_pixels("add_pixels");
  hls::stream<uint32_t, AHEAD> post_pixels("post_pixels");
  hls::stream<AddendStrip, 16> addend_strips("addend_strips");
  hls::stream<Strip, AHEAD> pool_strips("pool_strips");
  hls::stream<Strip, AHEAD> pack_strips("pack_strips");
  hls::stream<Beat, 16> input("input");
  hls::stream<FrameRow, 4> frame_rows("frame_rows");
  hls::stream<Frame<C>, 4> frames("frames");
  hls::stream<Beat, 16> weight_beats("weight_beats");
  hls::stream<Partials<C>, 4> partials("partials");
  hls::stream<Beat, 4> table("table");
  hls::stream<Beat, 16> scales("scales");
  hls::stream<Sums<C>, 4> biases("biases");
  hls::stream<Lanes<C>, 4> lanes("lanes");
  hls::stream<Sums<C>, 64> sums("sums");
  hls::stream<AddendRun, 64> addend_runs("addend_runs");
  hls::stream<Beat, 2 * TURN<C>()> addend_beats[C::CPO / C::CPI];
  hls::stream<Pixel<C>, 4> addends("addends");
  hls::stream<Pixel<C>, 16> finished("finished");
  hls::stream<Pixel<C>, 32> pooled("pooled");
  hls::stream<OutRun, 8> out_runs("out_runs");
  hls::stream<OutBeat, 2 * TURN<C>()> out_beats[C::CPO / C::CPI];

  SLICEFLOW_REGION_BEGIN("run_layer");
  SLICEFLOW_PROCESS("schedule", schedule<C>, layer, load_strips, cvt_strips, pad_strips, mul_pixels, add_pixels, post_pixels,
                    addend_strips, pool_strips, pack_strips);
  SLICEFLOW_PROCESS("read_weights", read_weights<C>, layer, weights, weight_beats);
  SLICEFLOW_PROCESS("read_lanes", read_lanes<C>, layer, program, table, scales, biases, lanes);
  SLICEFLOW_PROCESS("read_addend", read_addend<C>, layer, addend_strips, act_add, addend_runs, addend_beats);
  SLICEFLOW_PROCESS("join_addend", join_addend<C>, layer, addend_runs, addend_beats, addends);
  SLICEFLOW_PROCESS("load", load<C>, layer, load_strips, act_in, input);
  SLICEFLOW_PROCESS("pad", pad, layer, pad_strips, frame_rows);
  SLICEFLOW_PROCESS("cvt", cvt<C>, layer, cvt_strips, input, frame_rows, frames);
  SLICEFLOW_PROCESS("mul", mul<C>, layer, mul_pixels, frames, weight_beats, partials);
  SLICEFLOW_PROCESS("add", add<C>, layer, add_pixels, partials, biases, sums);
  SLICEFLOW_PROCESS("post", post<C>, layer, post_pixels, table, sums, lanes, addends, finished);
  SLICEFLOW_PROCESS("pool", pool<C>, layer, pool_strips, scales, finished, pooled);
  SLICEFLOW_PROCESS("pack", pack<C>, layer, pack_strips, pooled, out_runs, out_beats);
  SLICEFLOW_PROCESS("write", write<C>, layer, out_runs, out_beats, act_out);
  SLICEFLOW_REGION_END;
}

// Executes one descriptor, or the part of it that its ranges name.
template <class C>
uint32_t execute_layer(const LayerDescriptor& d, hls::burst_maxi<Beat> program, hls::burst_maxi<Beat> weights,
                       hls::burst_maxi<Beat> act_in, hls::burst_maxi<Beat> act_add, hls::burst_maxi<Beat> act_out) {
  const uint32_t problem = check_layer<C>(d);
  if (problem != STATUS_OK) return problem;
  uint32_t pixels = 0;
  bool fits = true;
  for (uint32_t index = 0; index < d.strip_count && fits; ++index) {
#pragma HLS loop_tripcount min = 1 max = 16
#pragma HLS pipeline II = 1
    const Strip strip = strip_of(d, d.group_first, d.strip_first + index);
    fits = strip_fits<C>(d, strip);
    pixels += strip.pixels;
  }
  if (!fits) return STATUS_TOO_BIG;
  const Layer layer = plan_layer<C>(d, pixels);
  run_layer<C>(layer, program, weights, act_in, act_add, act_out);
  return STATUS_OK;
}

// Reads descriptor `index` of the list.
inline LayerDescriptor read_descriptor(hls::burst_maxi<Beat>& program, uint32_t index) {
  constexpr int BEATS = DESCRIPTOR_BYTES / BEAT_BYTES;
  uint32_t words[DESCRIPTOR_WORDS];
#pragma HLS array_partition variable = words complete
  program.read_request(static_cast<uint64_t>(index) * BEATS, BEATS);
  for (int n = 0; n < BEATS; ++n) {
#pragma HLS pipeline II = 1
    const Beat beat = program.read();
    for (int k = 0; k < DESCRIPTOR_WORDS; ++k) {
#pragma HLS unroll
      if (k / (BEAT_BYTES / 4) == n) words[k] = word_of(beat, k % (BEAT_BYTES / 4) * 4);
    }
  }
  return decode_descriptor(words);
}

}  // namespace sliceflow
