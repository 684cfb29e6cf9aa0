// SPDX-License-Identifier: Apache-2.0
// load: the input of the strips, from memory, a beat a clock; cvt places it. It reads ahead as far as the streams go.
#pragma once

#include "bursts.h"
#include "plan.h"
#include "stream.h"

namespace sliceflow {

// A run of the input is a band of rows of one slice: all its rows, except for POINTWISE, whose nine slices come band by band. Strips
// whose slices follow each other without a gap, in whole bands, are one run.
struct RunPlace {
  uint16_t slice;
  uint8_t nine;   // number of the slice among nine (POINTWISE)
  uint16_t band;  // first row
};

inline bool is_one_run(const Layer& l, const Strip& strip) { return strip.in_rows == l.in_height && !is_banded(l, strip); }

inline int band_of(const Layer& l, const Strip& strip) { return is_banded(l, strip) ? l.band : strip.in_rows; }

// Moves to the next run; false behind the last one.
inline bool next_run(const Layer& l, const Strip& strip, RunPlace& place) {
#pragma HLS inline
  const bool last_slice = place.slice + 1 == l.in_slices;
  const bool last_band = place.band + band_of(l, strip) >= strip.in_rows;
  if (l.op == OP_POINTWISE && place.nine != TAPS - 1 && !last_slice) {  // the same band of the next slice
    ++place.slice;
    ++place.nine;
    return true;
  }
  if (!last_band) {  // the next band of the same slices
    place.slice -= place.nine;
    place.nine = 0;
    place.band += band_of(l, strip);
    return true;
  }
  ++place.slice;
  place.nine = 0;
  place.band = 0;
  return !last_slice;
}

// Word of the activation memory at which a run begins.
inline uint64_t run_position(const Layer& l, const Strip& strip, const RunPlace& place) {
  const uint64_t plane = static_cast<uint64_t>(strip.group) * l.in_slices + place.slice;
  return l.in_base + (plane * l.in_height + strip.in_first + place.band) * l.in_width;
}

inline uint32_t run_words(const Layer& l, const Strip& strip, const RunPlace& place) {
  const uint32_t rows = smaller(band_of(l, strip), strip.in_rows - place.band);
  return rows * l.in_width * (is_one_run(l, strip) ? l.in_slices : 1);
}

template <class C>
void load(const Layer& layer, hls::stream<Strip>& strips, hls::burst_maxi<Beat> act_in, hls::stream<Beat>& beats) {
  constexpr int BURST = 16;
  ReadAhead<256, 32> ahead;
#pragma HLS array_partition variable = ahead.length complete
#pragma HLS array_partition variable = ahead.tag complete
  clear(ahead);
  Strip strip = Strip();
  RunPlace place = {0, 0, 0};
  Run run = {0, 0};
  bool more = false;  // runs of this strip
  uint32_t left = layer.strip_total;
  for (; left > 0 || more || run.left > 0 || ahead.owed > 0;) {
#pragma HLS loop_tripcount min = 1 max = 65536
#pragma HLS pipeline II = 1
    // What it owes goes on while no further strip is there.
    if (run.left == 0 && !more && left > 0 && (ahead.owed == 0 || !strips.empty())) {
      strip = strips.read();
      --left;
      place = RunPlace{0, 0, 0};
      more = strip.in_rows > 0;
    }
    if (run.left == 0 && more) {
      run = run_of<BEAT_WORDS<C>()>(run_position(layer, strip, place), run_words(layer, strip, place));
      more = !is_one_run(layer, strip) && next_run(layer, strip, place);
    }
    const int length = burst_length<BURST>(run);
    const bool asked = ask(ahead, act_in, run.beat, length, 0);
    if (asked) advance(run, length);
    if (may_take(ahead, length, asked, left > 0)) {
      Beat beat;
      take(ahead, act_in, beat);
      beats.write(beat);
    }
  }
}

}  // namespace sliceflow
