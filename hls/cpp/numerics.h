// SPDX-License-Identifier: Apache-2.0
// The roundings of docs/numerics.md.
#pragma once

#include "descriptor.h"
#include "types.h"

namespace sliceflow {

// Overloads give integer and float profiles one spelling.
inline float sum(float a, float b) { return a + b; }
template <class T>
T clamp(T value, T low, T high) {
  return value < low ? low : (value > high ? high : value);
}

#ifdef SLICEFLOW_AP_TYPES
inline int_t<32> sum(int_t<32> a, int_t<32> b) { return a + b; }
inline wide_t shift_left(wide_t value, int count) { return value << count; }
#else
// Accumulators wrap and left shifts drop bits, as in hardware; C++ leaves both undefined for signed numbers.
inline int32_t sum(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}
inline int64_t shift_left(int64_t value, int count) {
  return static_cast<int64_t>(static_cast<uint64_t>(value) << count);
}
#endif

// value / 2^shift, rounded to nearest, ties to even: what is left when all but one bit are dropped ends with the first bit behind the
// point; it rounds up unless the rest is zero and the result would be odd. No branches, and no shift of a constant: compilers vectorize it.
inline wide_t round_half_even(wide_t value, int shift) {
#pragma HLS inline
  const int most = shift > 0 ? shift - 1 : 0;
  const wide_t kept = value >> most;
  const wide_t floor = shift > 0 ? wide_t(kept >> 1) : kept;
  const wide_t rest = shift_left(kept, most) == value ? wide_t(0) : wide_t(1);
  const wide_t first = shift > 0 ? wide_t(kept & 1) : wide_t(0);
  return floor + (first & (rest | floor));
}

// zero + value / 2^shift, rounded once and clamped.
inline int_t<32> scale_down(wide_t value, int shift, int32_t zero, int32_t low, int32_t high) {
  return static_cast<int_t<32>>(
      clamp<wide_t>(round_half_even(value, shift) + wide_t(zero), wide_t(low), wide_t(high)));
}

// Numbers from memory bits.
inline void from_bits(uint32_t bits, float& value) { value = value_as_float(bits); }
inline void from_bits(uint32_t bits, int_t<32>& value) { value = static_cast<int32_t>(bits); }
template <int BITS>
void weight_from_beat(const Beat& beat, int index, float& value) {
#pragma HLS inline
  value = value_as_float(word_of(beat, 4 * index));
}
inline uint32_t to_bits(float value) {
  union {
    float value;
    uint32_t bits;
  } view;
  view.value = value;
  return view.bits;
}

// One activation at a byte of a beat, in and out.
inline void activation_from_beat(const Beat& beat, int byte, int_t<8>& value) {
  value = static_cast<int_t<8>>(byte_of(beat, byte));
}
inline void activation_from_beat(const Beat& beat, int byte, int_t<16>& value) {
  value = static_cast<int_t<16>>(static_cast<int>(byte_of(beat, byte)) | static_cast<int>(byte_of(beat, byte + 1)) << 8);
}
inline void activation_from_beat(const Beat& beat, int byte, float& value) {
  value = value_as_float(word_of(beat, byte));
}
inline void activation_to_beat(int_t<8> value, int byte, Beat& beat) {
  set_byte(beat, byte, static_cast<uint_t<8>>(value));
}
inline void activation_to_beat(int_t<16> value, int byte, Beat& beat) {
  const int bits = static_cast<int>(value);
  set_byte(beat, byte, static_cast<uint_t<8>>(bits & 0xff));
  set_byte(beat, byte + 1, static_cast<uint_t<8>>(bits >> 8 & 0xff));
}
inline void activation_to_beat(float value, int byte, Beat& beat) {
  for (int k = 0; k < 4; ++k) {
#pragma HLS unroll
    set_byte(beat, byte + k, static_cast<uint_t<8>>(to_bits(value) >> (8 * k) & 0xff));
  }
}

// A beat as words and back: wires, so that a word is chosen among few.
template <class C>
BeatWords<C> words_of(const Beat& beat) {
#pragma HLS inline
  BeatWords<C> words;
  for (int k = 0; k < BEAT_WORDS<C>() * C::CPI; ++k) {
#pragma HLS unroll
    activation_from_beat(beat, k * (C::ACTIVATION_BITS / 8), words.word[k / C::CPI].lane[k % C::CPI]);
  }
  return words;
}

template <class C>
Beat beat_of(const BeatWords<C>& words) {
#pragma HLS inline
  Beat beat;
  clear_beat(beat);
  for (int k = 0; k < BEAT_WORDS<C>() * C::CPI; ++k) {
#pragma HLS unroll
    activation_to_beat(words.word[k / C::CPI].lane[k % C::CPI], k * (C::ACTIVATION_BITS / 8), beat);
  }
  return beat;
}

// Weights of four bits stand two to a byte, the first in the low nibble.
template <int BITS>
void weight_from_beat(const Beat& beat, int index, int_t<BITS>& value) {
#pragma HLS inline
  constexpr int PER_BYTE = 8 / BITS;
  const int above = 8 - BITS - index % PER_BYTE * BITS;  // bits of the byte above the weight
  const int_t<8> moved = static_cast<int_t<8>>(static_cast<uint_t<8>>(byte_of(beat, index / PER_BYTE) << above));
  value = static_cast<int_t<BITS>>(moved >> (8 - BITS));
}

// The same places, from numbers.
template <int BITS>
void weight_to_beat(float weight, int index, Beat& beat) {
#pragma HLS inline
  activation_to_beat(weight, 4 * index, beat);
}
template <int BITS>
void weight_to_beat(int_t<BITS> weight, int index, Beat& beat) {
#pragma HLS inline
  constexpr int PER_BYTE = 8 / BITS;
  const int shift = index % PER_BYTE * BITS;
  const int mask = ((1 << BITS) - 1) << shift;
  const int byte = static_cast<int>(byte_of(beat, index / PER_BYTE));
  const int merged = (byte & ~mask) | (static_cast<int>(weight) * (1 << shift) & mask);
  set_byte(beat, index / PER_BYTE, static_cast<uint_t<8>>(merged));
}

}  // namespace sliceflow
