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
  uint8_t nine;          // number of the slice among nine (POINTWISE)
  uint16_t band;         // first row
  uint32_t words;        // of a slice, from this band on
  uint64_t position;     // of the run, in the activation memory
  uint64_t band_first;   // of the band's first slice
  uint64_t group_first;  // of the first band of the nine
};

inline RunPlace first_run(const InputStrip& strip) {
  return RunPlace{0, 0, 0, strip.words, strip.position, strip.position, strip.position};
}

// Row behind the band.
inline int band_end(const Layer& l, const InputStrip& strip, const RunPlace& place) {
  return strip.is_banded ? smaller(place.band + l.band, strip.rows) : static_cast<int>(strip.rows);
}

inline uint32_t run_words(const Layer& l, const InputStrip& strip, const RunPlace& place) {
  if (strip.is_one_run) return strip.all_words;
  return strip.is_banded && place.words > l.band_words ? l.band_words : place.words;
}

// Moves to the next run, or slice of the one run; false behind the last one. Nothing but sums, so that it takes a clock.
inline bool next_run(const Layer& l, const InputStrip& strip, RunPlace& place) {
#pragma HLS inline
  const bool pointwise = l.op == OP_POINTWISE;
  const bool last_slice = place.slice + 1 == l.in_slices;
  const bool last_band = !strip.is_banded || place.band + l.band >= strip.rows;
  if (pointwise && place.nine != TAPS - 1 && !last_slice) {  // the same band of the next slice
    ++place.slice;
    ++place.nine;
    place.position += l.in_plane;
    return true;
  }
  if (!last_band) {  // the next band of the same slices
    place.slice -= place.nine;
    place.nine = 0;
    place.band += l.band;
    place.words -= l.band_words;
    place.band_first += l.band_words;
    place.position = place.band_first;
    return true;
  }
  ++place.slice;
  place.nine = 0;
  place.band = 0;
  place.words = strip.words;
  place.group_first += pointwise ? 9 * static_cast<uint64_t>(l.in_plane) : l.in_plane;
  place.band_first = place.position = place.group_first;
  return !last_slice;
}

template <class C>
void load(const Layer& layer, hls::stream<InputStrip>& strips, hls::burst_maxi<Beat> act_in, hls::stream<Beat>& beats) {
  constexpr int BURST = 16;
  ReadAhead<256, 32> ahead;
#pragma HLS array_partition variable = ahead.length complete
#pragma HLS array_partition variable = ahead.tag complete
  clear(ahead);
  InputStrip strip = InputStrip();
  RunPlace place = first_run(strip);
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
      place = first_run(strip);
      more = strip.rows > 0;
    }
    if (run.left == 0 && more) {
      run = run_of<BEAT_WORDS<C>()>(place.position, run_words(layer, strip, place));
      more = !strip.is_one_run && next_run(layer, strip, place);
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
