// SPDX-License-Identifier: Apache-2.0
// write: pixels to memory, each in its slices. pack repeats pixels where the map is enlarged and makes beats of the words of each slice;
// write sends them in bursts.
#pragma once

#include "bursts.h"
#include "numerics.h"
#include "plan.h"
#include "stream.h"

namespace sliceflow {

// A beat of one slice, and which of its bytes are written.
struct OutBeat {
  Beat data;
  uint64_t bytes;
};

// Words of an output group that follow each other in each of its slices.
struct OutRun {
  uint64_t position;  // of the first word in the first slice
  uint32_t words;
  uint8_t slices;
};

inline uint64_t written_plane(const Layer& l) {
  return static_cast<uint64_t>(l.pool_height) * l.upsample_y * (static_cast<uint32_t>(l.pool_width) * l.upsample_x);
}

// Bytes of the words first .. last of a beat.
template <class C>
uint64_t bytes_of(int first, int last) {
#pragma HLS inline
  constexpr int BYTES = BEAT_BYTES / BEAT_WORDS<C>();
  const uint64_t from_first = ~uint64_t(0) << (first * BYTES);
  const uint64_t to_last = ~uint64_t(0) >> (BEAT_BYTES - BYTES - last * BYTES);
  return from_first & to_last;
}

// The word of one slice of a pixel.
template <class C>
Word<C> part_of(const Pixel<C>& pixel, int part) {
#pragma HLS inline
  Word<C> word;
  for (int lane = 0; lane < C::CPI; ++lane) {
#pragma HLS unroll
    word.lane[lane] = pixel.lane[part * C::CPI + lane];
  }
  return word;
}

template <class C>
void pack(const Layer& layer, hls::stream<Strip>& strips, hls::stream<Pixel<C>>& pixels, hls::stream<OutRun>& runs,
          hls::stream<OutBeat, 2 * TURN<C>()> beats[C::CPO / C::CPI]) {
  constexpr int RATIO = C::CPO / C::CPI;
  const uint64_t plane = written_plane(layer);
  const uint32_t out_width = static_cast<uint32_t>(layer.pool_width) * layer.upsample_x;
  const bool single = layer.upsample_y == 1;  // rows follow each other, unless each is written several times
  BeatWords<C> words[RATIO];
  uint8_t first[RATIO];  // first word of the beat, place of the next one
  uint8_t place[RATIO];
#pragma HLS array_partition variable = words complete
#pragma HLS array_partition variable = first complete
#pragma HLS array_partition variable = place complete
  for (int part = 0; part < RATIO; ++part) {
#pragma HLS unroll
    first[part] = 0;
    place[part] = 0;
  }
  Strip strip = Strip();
  Pixel<C> pixel = Pixel<C>();
#pragma HLS array_partition variable = pixel.lane complete
  uint64_t group_position = 0;
  int slices = 0;
  bool fresh = true;  // an output group begins
  bool run_begins = true;
  uint16_t out = 0, row = 0, column = 0, y = 0, x = 0;
  for (uint32_t left = layer.strip_total; left > 0;) {
#pragma HLS loop_tripcount min = 1 max = 1048576
#pragma HLS pipeline II = 1
    if (fresh) {
      if (out == 0) strip = strips.read();
      const int number = layer.out_first + out;
      const uint64_t slice = static_cast<uint64_t>(strip.group) * layer.out_slices + (is_dense(layer) ? number * RATIO : number);
      slices = written_slices<C>(layer, number);
      group_position = layer.out_base + slice * plane;
      run_begins = true;
      fresh = false;
    }
    const bool any = strip.pooled_rows > 0;
    const bool x_end = x + 1 >= layer.upsample_x;
    const bool y_end = x_end && y + 1 >= layer.upsample_y;
    const bool column_end = y_end && column + 1 >= layer.pool_width;
    const bool row_end = column_end && row + 1 >= strip.pooled_rows;
    const bool run_end = single ? row_end : x_end;
    if (any && run_begins) {
      const uint32_t first_row = static_cast<uint32_t>(strip.pooled_first + row) * layer.upsample_y + y;
      const uint64_t position = group_position + static_cast<uint64_t>(first_row) * out_width + column * layer.upsample_x;
      const uint32_t run_words = single ? strip.pooled_rows * out_width : static_cast<uint32_t>(layer.upsample_x);
      runs.write(OutRun{position, run_words, static_cast<uint8_t>(slices)});
      for (int part = 0; part < RATIO; ++part) {
#pragma HLS unroll
        first[part] = place[part] = static_cast<uint8_t>((position + part * plane) % BEAT_WORDS<C>());
      }
    }
    if (any && x == 0 && y == 0) pixel = pixels.read();
    for (int part = 0; part < RATIO; ++part) {
#pragma HLS unroll
      if (any && part < slices) {
        words[part].word[place[part]] = part_of<C>(pixel, part);
        const bool beat_end = place[part] == BEAT_WORDS<C>() - 1;
        if (beat_end || run_end) beats[part].write(OutBeat{beat_of<C>(words[part]), bytes_of<C>(first[part], place[part])});
        place[part] = beat_end ? 0 : place[part] + 1;
        if (beat_end) first[part] = 0;
      }
    }
    run_begins = run_end;
    x = x_end ? 0 : x + 1;
    if (x_end) y = y_end ? 0 : y + 1;
    if (y_end) column = column_end ? 0 : column + 1;
    if (column_end) row = row_end ? 0 : row + 1;
    if (row_end || !any) {
      x = y = column = row = 0;
      fresh = true;
      const bool last_out = out + 1 == layer.out_count;
      out = last_out ? 0 : out + 1;
      if (last_out) --left;
    }
  }
}

// Runs that pack announces for the layer.
inline uint64_t written_runs(const Layer& l) {
  uint64_t rows = 1;  // of a group that begin a run
  if (is_global(l)) {
    rows = 1;
  } else if (l.upsample_y == 1) {
    rows = l.strip_count;
  } else {
    const int first = l.strip_first * l.strip_rows;
    rows = smaller(l.pool_height, first + l.strip_count * l.strip_rows) - first;
  }
  const uint64_t groups = static_cast<uint64_t>(l.group_count) * l.out_count;
  return groups * rows * (l.upsample_y == 1 ? 1 : l.upsample_y * static_cast<uint32_t>(l.pool_width));
}

template <class C>
void write(const Layer& layer, hls::stream<OutRun>& runs, hls::stream<OutBeat, 2 * TURN<C>()> beats[C::CPO / C::CPI],
           hls::burst_maxi<Beat> act_out) {
  constexpr int RATIO = C::CPO / C::CPI;
  constexpr int OPEN = 64;  // bursts without response
  const uint64_t plane = written_plane(layer);
  Turns<C> turns;
#pragma HLS array_partition variable = turns.part complete
  start_turns(turns, 0, 0, 0, 0);
  int part = -1;
  uint16_t burst_left = 0;  // beats
  uint8_t open = 0;
  uint64_t left = written_runs(layer);
  for (; left > 0 || part >= 0;) {
#pragma HLS loop_tripcount min = 1 max = 65536
#pragma HLS pipeline II = 1
    if (part < 0) {
      const OutRun run = runs.read();
      --left;
      start_turns(turns, run.position, plane, run.words, run.slices);
      part = turn_part(turns);
    }
    if (burst_left == 0) {
      const Run burst = take_turn(turns, part);
      if (open == OPEN) act_out.write_response();
      if (open < OPEN) ++open;
      act_out.write_request(burst.beat, burst.left);
      burst_left = burst.left;
    }
    OutBeat beat = OutBeat();
    for (int k = 0; k < RATIO; ++k) {
#pragma HLS unroll
      if (k == part) beat = beats[k].read();
    }
    act_out.write(beat.data, static_cast<int_t<64>>(beat.bytes));
    if (--burst_left == 0) part = turn_part(turns);
  }
  for (; open > 0; --open) {
#pragma HLS loop_tripcount min = 1 max = 64
    act_out.write_response();
  }
}

}  // namespace sliceflow
