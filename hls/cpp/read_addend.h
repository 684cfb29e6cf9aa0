// SPDX-License-Identifier: Apache-2.0
// read_addend: the second operand of the residual add. The slices of an output group are read side by side, some beats of each in turn.
#pragma once

#include "bursts.h"
#include "numerics.h"
#include "plan.h"
#include "stream.h"

namespace sliceflow {

// The addends of one output group of a strip, as join_addend gets them.
struct AddendRun {
  uint32_t pixels;
  uint8_t slices;
  uint8_t offset;  // of the first pixel's word in its beat, in the first slice
};

template <class C>
void read_addend(const Layer& layer, hls::stream<AddendStrip>& strips, hls::burst_maxi<Beat> act_add,
                 hls::stream<AddendRun>& runs, hls::stream<Beat, 2 * TURN<C>()> beats[C::CPO / C::CPI]) {
  constexpr int RATIO = C::CPO / C::CPI;
  ReadAhead<128, 32> ahead;
#pragma HLS array_partition variable = ahead.length complete
#pragma HLS array_partition variable = ahead.tag complete
  clear(ahead);
  const uint64_t plane = layer.add_plane;
  AddendStrip strip = AddendStrip();
  int slices = 0;  // of the output group at hand to the end of its group's output
  Turns<C> turns;
#pragma HLS array_partition variable = turns.part complete
  start_turns(turns, 0, 0, 0, 0);
  uint32_t left = layer.add_mode == ADD_OFF ? 0 : layer.strip_total;
  uint16_t out = layer.out_count;  // of the strip at hand
  int part = -1;
  for (; left > 0 || out < layer.out_count || part >= 0 || ahead.owed > 0;) {
#pragma HLS loop_tripcount min = 1 max = 65536
#pragma HLS pipeline II = 1
    if (part < 0 && out == layer.out_count && left > 0 && (ahead.owed == 0 || !strips.empty())) {
      strip = strips.read();
      --left;
      out = 0;
      slices = is_dense(layer) ? layer.out_slices - layer.out_first * RATIO : 1;
    }
    if (part < 0 && out < layer.out_count) {
      const int written = is_dense(layer) ? smaller(RATIO, slices) : 1;
      start_turns(turns, strip.position, plane, strip.pixels, written);
      runs.write(AddendRun{strip.pixels, static_cast<uint8_t>(written), static_cast<uint8_t>(strip.position % BEAT_WORDS<C>())});
      strip.position += (is_dense(layer) ? RATIO : 1) * plane;
      slices -= RATIO;
      part = turn_part(turns);
      ++out;
    }
    const Run burst = part < 0 ? Run{0, 0} : turns.part[part];
    const int length = burst_length<TURN<C>()>(burst);
    const bool asked = ask(ahead, act_add, burst.beat, length, part);
    if (asked) {
      take_turn(turns, part);
      part = turn_part(turns);
    }
    if (may_take(ahead, length, asked, left > 0)) {
      Beat beat;
      const int to = take(ahead, act_add, beat);
      for (int k = 0; k < RATIO; ++k) {
#pragma HLS unroll
        if (k == to) beats[k].write(beat);
      }
    }
  }
}

// Pixels out of the beats of an output group's slices, each with its own place in the beat; slices that do not exist are zero.
template <class C>
void join_addend(const Layer& layer, hls::stream<AddendRun>& runs, hls::stream<Beat, 2 * TURN<C>()> beats[C::CPO / C::CPI],
                 hls::stream<Pixel<C>>& addends) {
  constexpr int RATIO = C::CPO / C::CPI;
  const uint32_t plane = static_cast<uint32_t>(layer.conv_height) * layer.conv_width;
  AddendRun run = {0, 0, 0};
  BeatWords<C> words[RATIO];
  uint8_t place[RATIO];
#pragma HLS array_partition variable = words complete
#pragma HLS array_partition variable = place complete
  uint32_t n = 0;
  uint32_t left = layer.add_mode == ADD_OFF ? 0 : layer.strip_total * layer.out_count;
  for (; left > 0;) {
#pragma HLS loop_tripcount min = 1 max = 65536
#pragma HLS pipeline II = 1
    if (n == 0) run = runs.read();
    if (n < run.pixels) {
      Pixel<C> addend;
      for (int part = 0; part < RATIO; ++part) {
#pragma HLS unroll
        const bool exists = part < run.slices;
        if (n == 0) place[part] = (run.offset + part * plane) % BEAT_WORDS<C>();
        if (exists && (n == 0 || place[part] == 0)) words[part] = words_of<C>(beats[part].read());
        for (int lane = 0; lane < C::CPI; ++lane) {
#pragma HLS unroll
          addend.lane[part * C::CPI + lane] = exists ? words[part].word[place[part]].lane[lane] : activation_t<C>(0);
        }
        place[part] = place[part] == BEAT_WORDS<C>() - 1 ? 0 : place[part] + 1;
      }
      addends.write(addend);
    }
    const bool last = n + 1 >= run.pixels;
    n = last ? 0 : n + 1;
    if (last) --left;
  }
}

}  // namespace sliceflow
