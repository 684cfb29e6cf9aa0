// SPDX-License-Identifier: Apache-2.0
// Number formats of the kernel, derived from the profile's Config.
//
// int_t<N> is a signed integer of N bits. With SLICEFLOW_AP_TYPES it is ap_int<N>, which is what synthesis uses; without it, it is
// the smallest native type that holds N bits, which lets a compiler vectorize the simulation. Tests run both.
#pragma once

#include <cstdint>

#ifdef SLICEFLOW_AP_TYPES
#include <ap_int.h>
#else
#include <type_traits>
#endif

namespace sliceflow {

#ifdef SLICEFLOW_AP_TYPES
template <int BITS>
using int_t = ap_int<BITS>;
template <int BITS>
using uint_t = ap_uint<BITS>;
#else
template <int BITS>
using int_t = typename std::conditional<
    (BITS <= 8), int8_t,
    typename std::conditional<(BITS <= 16), int16_t,
                              typename std::conditional<(BITS <= 32), int32_t, int64_t>::type>::type>::type;
template <int BITS>
using uint_t = typename std::make_unsigned<int_t<BITS>>::type;
#endif

constexpr int TAPS = 9;         // multiplier groups, one for each bank
constexpr int BEAT_BYTES = 64;  // what a memory port moves in one clock

// Bits that a sum of `terms` numbers needs beyond theirs.
constexpr int growth(int terms) { return terms <= 1 ? 0 : 1 + growth((terms + 1) / 2); }
// The accumulator wraps at 32 bits, so what it adds needs no more.
constexpr int at_most_32(int bits) { return bits < 32 ? bits : 32; }

// One value for each lane.
template <class T, int LANES>
struct Vec {
  T lane[LANES];
};

// What a memory port moves in one clock: for synthesis one number, since an array of bytes would be as many registers, and tools
// do not split arrays into more than some thousand.
#ifdef SLICEFLOW_AP_TYPES
struct Beat {
  ap_uint<BEAT_BYTES * 8> bits;
};
inline uint_t<8> byte_of(const Beat& beat, int k) { return beat.bits.range(8 * k + 7, 8 * k); }
inline void set_byte(Beat& beat, int k, uint_t<8> value) { beat.bits.range(8 * k + 7, 8 * k) = value; }
inline void clear_beat(Beat& beat) { beat.bits = 0; }
#else
struct Beat {
  uint8_t byte[BEAT_BYTES];
};
inline uint8_t byte_of(const Beat& beat, int k) { return beat.byte[k]; }
inline void set_byte(Beat& beat, int k, uint8_t value) { beat.byte[k] = value; }
inline void clear_beat(Beat& beat) { beat = Beat(); }
#endif

inline uint32_t word_of(const Beat& beat, int byte) {
  return static_cast<uint32_t>(byte_of(beat, byte)) | static_cast<uint32_t>(byte_of(beat, byte + 1)) << 8 |
         static_cast<uint32_t>(byte_of(beat, byte + 2)) << 16 | static_cast<uint32_t>(byte_of(beat, byte + 3)) << 24;
}

// The number formats of a profile.
template <class C, bool IS_FLOAT = C::IS_FLOAT>
struct Formats {
  typedef int_t<C::ACTIVATION_BITS> activation;
  typedef int_t<C::WEIGHT_BITS> weight;
  typedef int_t<C::ACTIVATION_BITS + C::WEIGHT_BITS> product;
  typedef int_t<at_most_32(C::ACTIVATION_BITS + C::WEIGHT_BITS + growth(TAPS * C::CPI))> partial;
  typedef int_t<32> accumulator;
};

template <class C>
struct Formats<C, true> {
  typedef float activation;
  typedef float weight;
  typedef float product;
  typedef float partial;
  typedef float accumulator;
};

// A function table has 256 entries, one for each 8-bit activation.
template <class C>
constexpr bool has_tables() {
  return C::ACTIVATION_BITS == 8;
}

template <class C>
using activation_t = typename Formats<C>::activation;
template <class C>
using weight_t = typename Formats<C>::weight;
template <class C>
using product_t = typename Formats<C>::product;
template <class C>
using partial_t = typename Formats<C>::partial;
template <class C>
using accumulator_t = typename Formats<C>::accumulator;

typedef int_t<64> wide_t;  // exact sums of products before they are rounded

template <class C>
using Word = Vec<activation_t<C>, C::CPI>;  // one pixel of a slice, as memory holds it
template <class C>
using Partials = Vec<partial_t<C>, C::CPO>;
template <class C>
using Sums = Vec<accumulator_t<C>, C::CPO>;  // accumulators, and what requantization makes of them
template <class C>
using Pixel = Vec<activation_t<C>, C::CPO>;

// Words of a beat. A word is a power of two of bytes, at most a beat, as in the RTL.
template <class C>
constexpr int BEAT_WORDS() {
  return BEAT_BYTES * 8 / (C::CPI * C::ACTIVATION_BITS);
}

template <class C>
struct BeatWords {
  static_assert(BEAT_WORDS<C>() > 0 && BEAT_WORDS<C>() * C::CPI * C::ACTIVATION_BITS == BEAT_BYTES * 8,
                "a word of CPI activations must have 1, 2, 4 ... 64 bytes");
  Word<C> word[BEAT_WORDS<C>()];
};

// The nine taps of a window.
template <class C>
struct Frame {
  Word<C> tap[TAPS];
};

}  // namespace sliceflow
