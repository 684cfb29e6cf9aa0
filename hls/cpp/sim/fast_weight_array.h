// SPDX-License-Identifier: Apache-2.0
// Simulation only: the dense products with the vector units of the host. Equal to PlainWeightArray, which a test checks.
//
// Integers: two inputs at a time, as 16-bit pairs. Products of 8-bit numbers fit 16 bits with room, so a pair's sum fits 32.
#pragma once

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include <cstring>

namespace sliceflow {

#if defined(__AVX512BW__) && defined(__AVX512F__)
struct Lanes16 {
  static constexpr int COUNT = 16;
  __m512i v = _mm512_setzero_si512();
  void add_pairs(int32_t pair, const int16_t* weights) {
    v = _mm512_add_epi32(v, _mm512_madd_epi16(_mm512_set1_epi32(pair), _mm512_loadu_si512(weights)));
  }
  void store(int32_t* to) const { _mm512_storeu_si512(to, v); }
};
#endif
#if defined(__AVX2__)
struct Lanes8 {
  static constexpr int COUNT = 8;
  __m256i v = _mm256_setzero_si256();
  void add_pairs(int32_t pair, const int16_t* weights) {
    const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
    v = _mm256_add_epi32(v, _mm256_madd_epi16(_mm256_set1_epi32(pair), w));
  }
  void store(int32_t* to) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v); }
};
#endif
#if defined(__SSE2__)
struct Lanes4 {
  static constexpr int COUNT = 4;
  __m128i v = _mm_setzero_si128();
  void add_pairs(int32_t pair, const int16_t* weights) {
    const __m128i w = _mm_loadu_si128(reinterpret_cast<const __m128i*>(weights));
    v = _mm_add_epi32(v, _mm_madd_epi16(_mm_set1_epi32(pair), w));
  }
  void store(int32_t* to) const { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), v); }
};
#endif
// Any host; compilers vectorize the loop over lanes.
template <int LANES>
struct LanesAny {
  static constexpr int COUNT = LANES;
  int32_t v[LANES] = {};
  void add_pairs(int32_t pair, const int16_t* weights) {
    int16_t a[2];
    std::memcpy(a, &pair, sizeof a);
    for (int lane = 0; lane < LANES; ++lane) v[lane] += a[0] * weights[2 * lane] + a[1] * weights[2 * lane + 1];
  }
  void store(int32_t* to) const { std::memcpy(to, v, sizeof v); }
};

// The widest vector that divides the output lanes.
template <int CPO, bool BY16 = CPO % 16 == 0, bool BY8 = CPO % 8 == 0, bool BY4 = CPO % 4 == 0>
struct WidestLanes {
  typedef LanesAny<CPO> type;
};
#if defined(__SSE2__)
template <int CPO>
struct WidestLanes<CPO, false, false, true> {
  typedef Lanes4 type;
};
#if defined(__AVX2__)
template <int CPO>
struct WidestLanes<CPO, false, true, true> {
  typedef Lanes8 type;
};
#else
template <int CPO>
struct WidestLanes<CPO, false, true, true> {
  typedef Lanes4 type;
};
#endif
#if defined(__AVX512BW__) && defined(__AVX512F__)
template <int CPO>
struct WidestLanes<CPO, true, true, true> {
  typedef Lanes16 type;
};
#else
template <int CPO>
struct WidestLanes<CPO, true, true, true> : WidestLanes<CPO, false, true, true> {};
#endif
#endif

template <class C, bool IS_FLOAT = C::IS_FLOAT>
class FastWeightArray {
  static constexpr int INPUTS = TAPS * C::CPI;
  static constexpr int PAIRS = (INPUTS + 1) / 2;
  typedef typename WidestLanes<C::CPO>::type Lanes;

 public:
  void assign(const weight_t<C>* block) {
    for (int pair = 0; pair < PAIRS; ++pair) {
      const bool whole = 2 * pair + 1 < INPUTS;
      for (int lane = 0; lane < C::CPO; ++lane) {
        weights_[(pair * C::CPO + lane) * 2] = block[2 * pair * C::CPO + lane];
        weights_[(pair * C::CPO + lane) * 2 + 1] = whole ? block[(2 * pair + 1) * C::CPO + lane] : 0;
      }
    }
  }

  Partials<C> multiply(const Frame<C>& frame) const {
    int16_t inputs[2 * PAIRS];
    inputs[2 * PAIRS - 1] = 0;
    for (int k = 0; k < INPUTS; ++k) inputs[k] = frame.tap[k / C::CPI].lane[k % C::CPI];
    Partials<C> result;
    for (int first = 0; first < C::CPO; first += Lanes::COUNT) {
      Lanes even, odd;  // two chains, so that additions need not wait for each other
      for (int pair = 0; pair < PAIRS; ++pair) {
        int32_t both;
        std::memcpy(&both, inputs + 2 * pair, sizeof both);
        (pair % 2 ? odd : even).add_pairs(both, weights_ + (pair * C::CPO + first) * 2);
      }
      int32_t other[Lanes::COUNT];
      even.store(result.lane + first);
      odd.store(other);
      for (int lane = 0; lane < Lanes::COUNT; ++lane) result.lane[first + lane] += other[lane];
    }
    return result;
  }

 private:
  int16_t weights_[PAIRS * C::CPO * 2];
};

template <class C>
class FastWeightArray<C, true> {
 public:
  void assign(const float* block) { std::memcpy(weights_, block, sizeof weights_); }

  Partials<C> multiply(const Frame<C>& frame) const {
    Partials<C> result = Partials<C>();
    for (int tap = 0; tap < TAPS; ++tap) {
      float total[C::CPO] = {};  // a chain of additions for each tap
      for (int k = 0; k < C::CPI; ++k) {
        const float input = frame.tap[tap].lane[k];
        const float* weights = weights_ + (tap * C::CPI + k) * C::CPO;
        for (int lane = 0; lane < C::CPO; ++lane) total[lane] += input * weights[lane];
      }
      for (int lane = 0; lane < C::CPO; ++lane) result.lane[lane] += total[lane];
    }
    return result;
  }

 private:
  float weights_[BLOCK_WEIGHTS<C>()];
};

template <class C>
using WeightArray = FastWeightArray<C>;

}  // namespace sliceflow
