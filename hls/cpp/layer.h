// SPDX-License-Identifier: Apache-2.0
// One layer: the loop over groups and strips, and the dataflow region of a strip.
#pragma once

#include "activation.h"
#include "add.h"
#include "check.h"
#include "cvt.h"
#include "eltwise.h"
#include "load.h"
#include "mul.h"
#include "pad.h"
#include "pool.h"
#include "read_addend.h"
#include "read_lanes.h"
#include "read_weights.h"
#include "requantize.h"
#include "upsample.h"
#include "write.h"

namespace sliceflow {

// The stream pipeline. Every stream has one writer and one reader.
template <class C>
void compute_strip(LayerDescriptor d, Strip strip, const Banks<C>& banks, const Beat* program, const Beat* weights,
                   const Word<C>* act_add, Word<C>* act_out, const Table<C>& before, const Table<C>& after,
                   const PoolScale<C> pool_scales[POOL_SCALES<C>()], Sums<C>& pool_total) {
#pragma HLS dataflow
  hls::stream<FrameRow, 4> frame_rows("frame_rows");
  hls::stream<Frame<C>, 4> frames("frames");
  hls::stream<Beat, 128> beats("beats");
  hls::stream<Partials<C>, 4> partials("partials");
  hls::stream<Sums<C>, 2> biases("biases");
  hls::stream<Scales<C>, 2> scales("scales");
  hls::stream<Joins<C>, 2> joins("joins");
  hls::stream<Sums<C>, 16> sums("sums");
  hls::stream<Sums<C>, 4> requantized("requantized");
  hls::stream<Sums<C>, 4> activated("activated");
  hls::stream<Pixel<C>, 64> addends("addends");
  hls::stream<Pixel<C>, 4> added("added");
  hls::stream<Pixel<C>, 4> finished("finished");
  hls::stream<Pixel<C>, 4> pooled("pooled");
  hls::stream<Pixel<C>, 16> copies("copies");
  const bool table_before = has_tables<C>() && d.table_mode == TABLE_BEFORE_ADD;
  const bool table_after = has_tables<C>() && d.table_mode == TABLE_AFTER_ADD;

  SLICEFLOW_REGION_BEGIN("compute_strip");
  SLICEFLOW_PROCESS("read_weights", read_weights<C>, d, strip, weights, beats);
  SLICEFLOW_PROCESS("read_lanes", read_lanes<C>, d, strip, program, biases, scales, joins);
  SLICEFLOW_PROCESS("read_addend", read_addend<C>, d, strip, act_add, addends);
  SLICEFLOW_PROCESS("pad", pad, d, strip, frame_rows);
  SLICEFLOW_PROCESS("cvt", cvt<C>, d, strip, banks, frame_rows, frames);
  SLICEFLOW_PROCESS("mul", mul<C>, d, strip, frames, beats, partials);
  SLICEFLOW_PROCESS("add", add<C>, d, strip, partials, biases, sums);
  SLICEFLOW_PROCESS("requantize", requantize<C>, d, strip, sums, scales, requantized);
  SLICEFLOW_PROCESS("activation before add", activation<C>, d, strip, table_before, before, requantized, activated);
  SLICEFLOW_PROCESS("eltwise", eltwise<C>, d, strip, activated, addends, joins, added);
  SLICEFLOW_PROCESS("activation after add", activation<C>, d, strip, table_after, after, added, finished);
  SLICEFLOW_PROCESS("pool", pool<C>, d, strip, pool_scales, pool_total, finished, pooled);
  SLICEFLOW_PROCESS("upsample", upsample<C>, d, strip, pooled, copies);
  SLICEFLOW_PROCESS("write", write<C>, d, strip, copies, act_out);
  SLICEFLOW_REGION_END;
}

// One strip. Synthesis doubles the banks, so that the next strip loads while this one computes.
template <class C>
void run_strip(LayerDescriptor d, Strip strip, const Beat* program, const Beat* weights, const Word<C>* act_in,
               const Word<C>* act_add, Word<C>* act_out, const Table<C>& before, const Table<C>& after,
               const PoolScale<C> pool_scales[POOL_SCALES<C>()], Sums<C>& pool_total) {
#pragma HLS dataflow
  SLICEFLOW_MEMORY(Banks<C>, banks);
#pragma HLS array_partition variable = banks dim = 1 complete
#pragma HLS aggregate variable = banks
  load_strip<C>(d, strip, act_in, banks);
  compute_strip<C>(d, strip, banks, program, weights, act_add, act_out, before, after, pool_scales, pool_total);
}

// Executes one descriptor, or the part of it that its ranges name. The three activation pointers may name the same memory.
template <class C>
uint32_t execute_layer(const LayerDescriptor& d, const Beat* program, const Beat* weights, const Word<C>* act_in,
                       const Word<C>* act_add, Word<C>* act_out) {
  Table<C> before;
  Table<C> after;
  PoolScale<C> pool_scales[POOL_SCALES<C>()];
  Sums<C> pool_total;
#pragma HLS array_partition variable = before dim = 1 complete
#pragma HLS array_partition variable = after dim = 1 complete
  const uint32_t problem = check_layer<C>(d);
  if (problem != STATUS_OK) return problem;
  load_table<C>(d, program, before);
  load_table<C>(d, program, after);
  load_pool_scales<C>(d, program, pool_scales);
  for (uint32_t group = 0; group < d.group_count; ++group) {
#pragma HLS loop_tripcount min = 1 max = 64
    for (uint32_t index = 0; index < d.strip_count; ++index) {
#pragma HLS loop_tripcount min = 1 max = 16
      const Strip strip = strip_of(d, d.group_first + group, d.strip_first + index);
      if (!strip_fits<C>(d, strip)) return STATUS_TOO_BIG;
      run_strip<C>(d, strip, program, weights, act_in, act_add, act_out, before, after, pool_scales, pool_total);
    }
  }
  return STATUS_OK;
}

// Reads descriptor `index` of the list.
inline LayerDescriptor read_descriptor(const Beat* program, uint32_t index) {
  uint32_t words[DESCRIPTOR_WORDS];
#pragma HLS array_partition variable = words complete
  for (int n = 0; n < DESCRIPTOR_BYTES / BEAT_BYTES; ++n) {
#pragma HLS pipeline II = 1
    const Beat beat = program[static_cast<uint64_t>(index) * (DESCRIPTOR_BYTES / BEAT_BYTES) + n];
    for (int k = 0; k < BEAT_BYTES / 4; ++k) {
#pragma HLS unroll
      words[n * (BEAT_BYTES / 4) + k] = word_of(beat, 4 * k);
    }
  }
  return decode_descriptor(words);
}

}  // namespace sliceflow
