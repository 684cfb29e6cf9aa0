// SPDX-License-Identifier: Apache-2.0
// Bursts of the memory ports: what is asked for ahead, and in which order the slices of an output group take turns.
#pragma once

#include <hls_burst_maxi.h>

#include "types.h"

namespace sliceflow {

// Beats that follow each other in memory.
struct Run {
  uint64_t beat;
  uint32_t left;
};

// Beats of the next burst: bursts end at multiples of BURST beats.
template <int BURST>
int burst_length(const Run& run) {
#pragma HLS inline
  const uint32_t to_boundary = BURST - static_cast<uint32_t>(run.beat % BURST);
  return static_cast<int>(run.left < to_boundary ? run.left : to_boundary);
}

inline void advance(Run& run, int beats) {
#pragma HLS inline
  run.beat += beats;
  run.left -= beats;
}

// The run of `words` words of 1 / PER_BEAT beat from word `first` on.
template <int PER_BEAT>
Run run_of(uint64_t first, uint32_t words) {
#pragma HLS inline
  const uint32_t offset = static_cast<uint32_t>(first % PER_BEAT);
  return Run{first / PER_BEAT, words ? (offset + words + PER_BEAT - 1) / PER_BEAT : 0};
}

// The bursts that a read port owes. Requests run ahead by up to DEPTH beats in up to OPEN bursts. Who waits for a beat asks for nothing
// meanwhile, so none is waited for before there is nothing more to ask for, or no room.
template <int DEPTH, int OPEN>
struct ReadAhead {
  uint16_t owed;          // beats
  uint8_t open;           // bursts
  uint8_t first, last;    // in the ring
  uint16_t length[OPEN];  // of each burst
  uint8_t tag[OPEN];      // for whom it is
  uint16_t taken;         // beats of the first burst
  bool primed;            // beats may be waited for
  uint8_t idle;           // clocks without a burst to ask for
};

template <int DEPTH, int OPEN>
void clear(ReadAhead<DEPTH, OPEN>& ahead) {
#pragma HLS inline
  ahead.owed = 0;
  ahead.open = ahead.first = ahead.last = 0;
  ahead.taken = 0;
  ahead.primed = false;
  ahead.idle = 0;
}

// Asks for a burst if there is one and room for it.
template <int DEPTH, int OPEN>
bool ask(ReadAhead<DEPTH, OPEN>& ahead, hls::burst_maxi<Beat>& port, uint64_t beat, int length, int tag) {
#pragma HLS inline
  const bool asks = length > 0 && ahead.owed + length <= DEPTH && ahead.open < OPEN;
  if (asks) {
    port.read_request(beat, length);
    ahead.length[ahead.last] = length;
    ahead.tag[ahead.last] = tag;
    ahead.last = ahead.last == OPEN - 1 ? 0 : ahead.last + 1;
    ahead.owed += length;
    ++ahead.open;
  }
  return asks;
}

// Whether a beat is to be taken in this clock. `asked`: a burst was asked for; `more`: one may come later.
template <int DEPTH, int OPEN>
bool may_take(ReadAhead<DEPTH, OPEN>& ahead, int length, bool asked, bool more) {
#pragma HLS inline
  constexpr int PATIENCE = 16;
  const bool waits = length == 0 && more;
  ahead.idle = !waits ? 0 : (ahead.idle == PATIENCE ? PATIENCE : ahead.idle + 1);
  if (!asked && (!waits || ahead.idle == PATIENCE)) ahead.primed = true;
  if (ahead.owed == 0) ahead.primed = false;
  return ahead.primed;
}

// The next beat; waits for it. Returns for whom it is.
template <int DEPTH, int OPEN>
int take(ReadAhead<DEPTH, OPEN>& ahead, hls::burst_maxi<Beat>& port, Beat& beat) {
#pragma HLS inline
  const int tag = ahead.tag[ahead.first];
  beat = port.read();
  --ahead.owed;
  if (++ahead.taken == ahead.length[ahead.first]) {
    ahead.taken = 0;
    ahead.first = ahead.first == OPEN - 1 ? 0 : ahead.first + 1;
    --ahead.open;
  }
  return tag;
}

// Beats of one slice in turn, where the slices of an output group are read or written side by side.
template <class C>
constexpr int TURN() {
  return C::CPO / C::CPI <= 4 ? 16 : 64 / (C::CPO / C::CPI);
}

// The slices of an output group side by side, a burst of each in turn.
template <class C>
struct Turns {
  Run part[C::CPO / C::CPI];
  uint8_t next;
};

template <class C>
void start_turns(Turns<C>& turns, uint64_t position, uint64_t plane, uint32_t words, int slices) {
#pragma HLS inline
  for (int part = 0; part < C::CPO / C::CPI; ++part) {
#pragma HLS unroll
    turns.part[part] = run_of<BEAT_WORDS<C>()>(position + part * plane, part < slices ? words : 0);
  }
  turns.next = 0;
}

// The slice whose turn it is, -1 if none has beats left.
template <class C>
int turn_part(const Turns<C>& turns) {
#pragma HLS inline
  int before = -1;
  int behind = -1;
  for (int part = 0; part < C::CPO / C::CPI; ++part) {
#pragma HLS unroll
    const bool any = turns.part[part].left > 0;
    if (any && part < turns.next && before < 0) before = part;
    if (any && part >= turns.next && behind < 0) behind = part;
  }
  return behind >= 0 ? behind : before;
}

// Takes the turn of `part`: its burst.
template <class C>
Run take_turn(Turns<C>& turns, int part) {
#pragma HLS inline
  Run run = turns.part[part];
  const int length = burst_length<TURN<C>()>(run);
  advance(turns.part[part], length);
  turns.next = part + 1;
  run.left = length;
  return run;
}

}  // namespace sliceflow
