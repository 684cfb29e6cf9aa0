// SPDX-License-Identifier: Apache-2.0
// Simulation only: the dense products with the vector units of the host. Equal to PlainWeightArray, which a test checks.
//
// Sums of products over a frame fit 32 bits, whatever their order; weights have at most eight bits, activations sixteen.
#pragma once

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include <cstring>

namespace sliceflow {

// A vector of accumulators takes GROUP inputs at a time: four bytes where the host has such an instruction (which multiplies
// unsigned by signed bytes, so the inputs are moved up by 128 and the sums start at what that adds too much), else two numbers of
// 16 bits; always these for activations of 16 bits.
template <int GROUP>
struct Operands;

template <>
struct Operands<4> {
  typedef int8_t weight;
  typedef uint8_t input;
  static constexpr int OFFSET = 128;
};

template <>
struct Operands<2> {
  typedef int16_t weight;
  typedef int16_t input;
  static constexpr int OFFSET = 0;
};

// A group of inputs, as vectors broadcast them.
template <class T>
int32_t load_group(const T* inputs) {
  int32_t group;
  std::memcpy(&group, inputs, sizeof group);
  return group;
}

#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
#define SLICEFLOW_LANES_16
struct ByteLanes16 {
  static constexpr int COUNT = 16, GROUP = 4;
  __m512i v;
  void load(const int32_t* from) { v = _mm512_loadu_si512(from); }
  void accumulate(const uint8_t* inputs, const int8_t* weights) {
    v = _mm512_dpbusd_epi32(v, _mm512_set1_epi32(load_group(inputs)), _mm512_loadu_si512(weights));
  }
  void add(const ByteLanes16& other) { v = _mm512_add_epi32(v, other.v); }
  void store(int32_t* to) const { _mm512_storeu_si512(to, v); }
};
struct ByteLanes8 {
  static constexpr int COUNT = 8, GROUP = 4;
  __m256i v;
  void load(const int32_t* from) { v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  void accumulate(const uint8_t* inputs, const int8_t* weights) {
    const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
    v = _mm256_dpbusd_epi32(v, _mm256_set1_epi32(load_group(inputs)), w);
  }
  void add(const ByteLanes8& other) { v = _mm256_add_epi32(v, other.v); }
  void store(int32_t* to) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v); }
};
struct Lanes16 {
  static constexpr int COUNT = 16, GROUP = 2;
  __m512i v;
  void load(const int32_t* from) { v = _mm512_loadu_si512(from); }
  void accumulate(const int16_t* inputs, const int16_t* weights) {
    v = _mm512_dpwssd_epi32(v, _mm512_set1_epi32(load_group(inputs)), _mm512_loadu_si512(weights));
  }
  void add(const Lanes16& other) { v = _mm512_add_epi32(v, other.v); }
  void store(int32_t* to) const { _mm512_storeu_si512(to, v); }
};
#endif
#if defined(__AVX2__)
struct Lanes8 {
  static constexpr int COUNT = 8, GROUP = 2;
  __m256i v;
  void load(const int32_t* from) { v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  void accumulate(const int16_t* inputs, const int16_t* weights) {
    const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
    v = _mm256_add_epi32(v, _mm256_madd_epi16(_mm256_set1_epi32(load_group(inputs)), w));
  }
  void add(const Lanes8& other) { v = _mm256_add_epi32(v, other.v); }
  void store(int32_t* to) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v); }
};
#endif
#if defined(__SSE2__)
struct Lanes4 {
  static constexpr int COUNT = 4, GROUP = 2;
  __m128i v;
  void load(const int32_t* from) { v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
  void accumulate(const int16_t* inputs, const int16_t* weights) {
    const __m128i w = _mm_loadu_si128(reinterpret_cast<const __m128i*>(weights));
    v = _mm_add_epi32(v, _mm_madd_epi16(_mm_set1_epi32(load_group(inputs)), w));
  }
  void add(const Lanes4& other) { v = _mm_add_epi32(v, other.v); }
  void store(int32_t* to) const { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), v); }
};
#endif
// Any host; compilers vectorize the loop over lanes.
template <int LANES>
struct LanesAny {
  static constexpr int COUNT = LANES, GROUP = 2;
  int32_t v[LANES];
  void load(const int32_t* from) { std::memcpy(v, from, sizeof v); }
  void accumulate(const int16_t* inputs, const int16_t* weights) {
    for (int lane = 0; lane < LANES; ++lane) {
      v[lane] += inputs[0] * weights[2 * lane] + inputs[1] * weights[2 * lane + 1];
    }
  }
  void add(const LanesAny& other) {
    for (int lane = 0; lane < LANES; ++lane) v[lane] += other.v[lane];
  }
  void store(int32_t* to) const { std::memcpy(to, v, sizeof v); }
};

// The widest vector of this host that divides the output lanes: WIDTH is 16, 8, 4 or 0. BYTES: the inputs are bytes.
template <int CPO, int WIDTH, bool BYTES>
struct LanesOf : LanesOf<CPO, WIDTH / 2, BYTES> {};
template <int CPO, bool BYTES>
struct LanesOf<CPO, 2, BYTES> {
  typedef LanesAny<CPO> type;
};
#if defined(SLICEFLOW_LANES_16)
template <int CPO>
struct LanesOf<CPO, 16, true> {
  typedef ByteLanes16 type;
};
template <int CPO>
struct LanesOf<CPO, 8, true> {
  typedef ByteLanes8 type;
};
template <int CPO>
struct LanesOf<CPO, 16, false> {
  typedef Lanes16 type;
};
template <int CPO>
struct LanesOf<CPO, 8, false> {
  typedef Lanes8 type;
};
#elif defined(__AVX2__)
template <int CPO, bool BYTES>
struct LanesOf<CPO, 8, BYTES> {
  typedef Lanes8 type;
};
#endif
#if defined(__SSE2__)
template <int CPO, bool BYTES>
struct LanesOf<CPO, 4, BYTES> {
  typedef Lanes4 type;
};
#endif

template <class C, bool IS_FLOAT = C::IS_FLOAT>
class FastWeightArray {
  static constexpr int WIDTH = C::CPO % 16 == 0 ? 16 : (C::CPO % 8 == 0 ? 8 : (C::CPO % 4 == 0 ? 4 : 2));
  typedef typename LanesOf<C::CPO, WIDTH, C::ACTIVATION_BITS == 8>::type Lanes;
  static constexpr int GROUP = Lanes::GROUP;
  typedef Operands<GROUP> Operand;
  static constexpr int INPUTS = TAPS * C::CPI;
  static constexpr int GROUPS = (INPUTS + 2 * GROUP - 1) / (2 * GROUP) * 2;  // even, so that two chains take turns

 public:
  void assign(const weight_t<C>* block) {
    for (int k = 0; k < GROUPS * GROUP; ++k) {
      typename Operand::weight* group = weights_ + k / GROUP * GROUP * C::CPO + k % GROUP;
      for (int lane = 0; lane < C::CPO; ++lane) group[GROUP * lane] = k < INPUTS ? block[k * C::CPO + lane] : 0;
    }
    for (int lane = 0; lane < C::CPO; ++lane) start_[lane] = 0;
    for (int k = 0; Operand::OFFSET != 0 && k < INPUTS; ++k) {
      for (int lane = 0; lane < C::CPO; ++lane) start_[lane] -= Operand::OFFSET * block[k * C::CPO + lane];
    }
  }

  Partials<C> multiply(const Frame<C>& frame) const {
    static_assert(sizeof frame == INPUTS * sizeof(activation_t<C>), "a frame is nothing but its inputs");
    activation_t<C> stored[GROUPS * GROUP] = {};
    typename Operand::input inputs[GROUPS * GROUP];
    std::memcpy(stored, &frame, sizeof frame);
    for (int k = 0; k < GROUPS * GROUP; ++k) inputs[k] = static_cast<typename Operand::input>(stored[k] + Operand::OFFSET);
    const int32_t zeros[Lanes::COUNT] = {};
    int32_t totals[C::CPO];
    for (int first = 0; first < C::CPO; first += Lanes::COUNT) {
      const typename Operand::weight* weights = weights_ + GROUP * first;
      Lanes even, odd;  // two chains, so that additions need not wait for each other
      even.load(start_ + first);
      odd.load(zeros);
#pragma GCC unroll 9
      for (int group = 0; group < GROUPS; group += 2) {
        even.accumulate(inputs + GROUP * group, weights + GROUP * group * C::CPO);
        odd.accumulate(inputs + GROUP * (group + 1), weights + GROUP * (group + 1) * C::CPO);
      }
      even.add(odd);
      even.store(totals + first);
    }
    Partials<C> result;
    for (int lane = 0; lane < C::CPO; ++lane) result.lane[lane] = static_cast<partial_t<C>>(totals[lane]);
    return result;
  }

 private:
  typename Operand::weight weights_[GROUPS * GROUP * C::CPO];
  int32_t start_[C::CPO];
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
