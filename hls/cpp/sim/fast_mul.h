// SPDX-License-Identifier: Apache-2.0
// Simulation only: mul pass by pass, with the vector units of the host. Equal to plain_mul, which a test checks.
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

// COUNT output lanes of one pixel. PIXELS: so many pixels share a load of weights, as the host has registers for.
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
#define SLICEFLOW_LANES_16
struct ByteLanes16 {
  static constexpr int COUNT = 16, GROUP = 4, PIXELS = 8;
  typedef __m512i Vector;
  Vector v;
  static Vector weights(const int8_t* from) { return _mm512_loadu_si512(from); }
  static Vector inputs(const uint8_t* from) { return _mm512_set1_epi32(load_group(from)); }
  void load(const int32_t* from) { v = _mm512_loadu_si512(from); }
  void accumulate(Vector x, Vector w) { v = _mm512_dpbusd_epi32(v, x, w); }
  void add(const ByteLanes16& other) { v = _mm512_add_epi32(v, other.v); }
  void store(int32_t* to) const { _mm512_storeu_si512(to, v); }
};
struct ByteLanes8 {
  static constexpr int COUNT = 8, GROUP = 4, PIXELS = 8;
  typedef __m256i Vector;
  Vector v;
  static Vector weights(const int8_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static Vector inputs(const uint8_t* from) { return _mm256_set1_epi32(load_group(from)); }
  void load(const int32_t* from) { v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  void accumulate(Vector x, Vector w) { v = _mm256_dpbusd_epi32(v, x, w); }
  void add(const ByteLanes8& other) { v = _mm256_add_epi32(v, other.v); }
  void store(int32_t* to) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v); }
};
struct Lanes16 {
  static constexpr int COUNT = 16, GROUP = 2, PIXELS = 8;
  typedef __m512i Vector;
  Vector v;
  static Vector weights(const int16_t* from) { return _mm512_loadu_si512(from); }
  static Vector inputs(const int16_t* from) { return _mm512_set1_epi32(load_group(from)); }
  void load(const int32_t* from) { v = _mm512_loadu_si512(from); }
  void accumulate(Vector x, Vector w) { v = _mm512_dpwssd_epi32(v, x, w); }
  void add(const Lanes16& other) { v = _mm512_add_epi32(v, other.v); }
  void store(int32_t* to) const { _mm512_storeu_si512(to, v); }
};
#endif
#if defined(__AVX2__)
struct Lanes8 {
  static constexpr int COUNT = 8, GROUP = 2, PIXELS = 4;
  typedef __m256i Vector;
  Vector v;
  static Vector weights(const int16_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static Vector inputs(const int16_t* from) { return _mm256_set1_epi32(load_group(from)); }
  void load(const int32_t* from) { v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  void accumulate(Vector x, Vector w) {
    const __m256i product = _mm256_madd_epi16(x, w);
    asm("vpaddd %1, %0, %0" : "+x"(v) : "x"(product));  // in place; compilers copy sums from register to register
  }
  void add(const Lanes8& other) { v = _mm256_add_epi32(v, other.v); }
  void store(int32_t* to) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v); }
};
#endif
#if defined(__SSE2__)
struct Lanes4 {
  static constexpr int COUNT = 4, GROUP = 2, PIXELS = 4;
  typedef __m128i Vector;
  Vector v;
  static Vector weights(const int16_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
  static Vector inputs(const int16_t* from) { return _mm_set1_epi32(load_group(from)); }
  void load(const int32_t* from) { v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
  void accumulate(Vector x, Vector w) { v = _mm_add_epi32(v, _mm_madd_epi16(x, w)); }
  void add(const Lanes4& other) { v = _mm_add_epi32(v, other.v); }
  void store(int32_t* to) const { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), v); }
};
#endif
// Any host; compilers vectorize the loop over lanes.
template <int LANES>
struct LanesAny {
  static constexpr int COUNT = LANES, GROUP = 2, PIXELS = 1;
  typedef const int16_t* Vector;
  int32_t v[LANES];
  static Vector weights(const int16_t* from) { return from; }
  static Vector inputs(const int16_t* from) { return from; }
  void load(const int32_t* from) { std::memcpy(v, from, sizeof v); }
  void accumulate(Vector x, Vector w) {
    for (int lane = 0; lane < LANES; ++lane) v[lane] += x[0] * w[2 * lane] + x[1] * w[2 * lane + 1];
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
  static constexpr int GROUPS = (INPUTS + 2 * GROUP - 1) / (2 * GROUP) * 2;  // even, so that two chains can take turns
  static constexpr int VECTORS = C::CPO / Lanes::COUNT % 2 == 0 ? 2 : 1;     // of output lanes that share the inputs

 public:
  static constexpr int PIXELS = Lanes::PIXELS;

  void assign(const weight_t<C>* block) {
    weight_t<C> padded[GROUPS * GROUP * C::CPO] = {};
    std::memcpy(padded, block, INPUTS * C::CPO * sizeof *block);
    for (int group = 0; group < GROUPS; ++group) {
      const weight_t<C>* from = padded + group * GROUP * C::CPO;
      typename Operand::weight* to = weights_ + group * GROUP * C::CPO;
      for (int lane = 0; lane < C::CPO; ++lane) {
        for (int k = 0; k < GROUP; ++k) to[GROUP * lane + k] = from[k * C::CPO + lane];
      }
    }
    for (int lane = 0; lane < C::CPO; ++lane) start_[lane] = 0;
    for (int k = 0; Operand::OFFSET != 0 && k < INPUTS; ++k) {
      for (int lane = 0; lane < C::CPO; ++lane) start_[lane] -= Operand::OFFSET * block[k * C::CPO + lane];
    }
  }

  // The next P frames of a stream. There must be as many, and room for the results.
  template <int P>
  void multiply(const hls::stream<Frame<C>>& frames, hls::stream<Partials<C>>& partials) const {
    typename Operand::input inputs[P][GROUPS * GROUP];
    for (int p = 0; p < P; ++p) take(frames.peek(p), inputs[p]);
    for (int first = 0; first < C::CPO; first += VECTORS * Lanes::COUNT) sum<P>(inputs, first, partials);
  }

 private:
  static void take(const Frame<C>& frame, typename Operand::input* inputs) {
    static_assert(sizeof frame == INPUTS * sizeof(activation_t<C>), "a frame is nothing but its inputs");
    const activation_t<C>* stored = reinterpret_cast<const activation_t<C>*>(&frame);
    for (int k = 0; k < INPUTS; ++k) inputs[k] = static_cast<typename Operand::input>(stored[k] + Operand::OFFSET);
    for (int k = INPUTS; k < GROUPS * GROUP; ++k) inputs[k] = 0;
  }

  static void put(const Lanes& sum, int32_t* to) { sum.store(to); }
  static void put(const Lanes& sum, int16_t* to) {
    int32_t total[Lanes::COUNT];
    sum.store(total);
    for (int lane = 0; lane < Lanes::COUNT; ++lane) to[lane] = static_cast<int16_t>(total[lane]);
  }

  // A single pixel has two chains, so that additions need not wait for each other.
  template <int P>
  void sum(const typename Operand::input (&inputs)[P][GROUPS * GROUP], int first, hls::stream<Partials<C>>& partials) const {
    constexpr int CHAINS = P == 1 ? 2 : 1;
    const int32_t zeros[Lanes::COUNT] = {};
    Lanes part[CHAINS][P][VECTORS];
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; ++v) {
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        part[0][p][v].load(start_ + first + v * Lanes::COUNT);
        if (CHAINS == 2) part[CHAINS - 1][p][v].load(zeros);
      }
    }
    for (int group = 0; group < GROUPS; group += CHAINS) {
#pragma GCC unroll 2
      for (int chain = 0; chain < CHAINS; ++chain) {
        const int at = GROUP * (group + chain);
        typename Lanes::Vector w[VECTORS];
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; ++v) w[v] = Lanes::weights(weights_ + at * C::CPO + GROUP * (first + v * Lanes::COUNT));
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) {
          const typename Lanes::Vector x = Lanes::inputs(inputs[p] + at);
#pragma GCC unroll 2
          for (int v = 0; v < VECTORS; ++v) part[chain][p][v].accumulate(x, w[v]);
        }
      }
    }
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
      for (int v = 0; v < VECTORS; ++v) {
        if (CHAINS == 2) part[0][p][v].add(part[CHAINS - 1][p][v]);
        put(part[0][p][v], partials.room(p).lane + first + v * Lanes::COUNT);
      }
    }
  }

  typename Operand::weight weights_[GROUPS * GROUP * C::CPO];
  int32_t start_[C::CPO];
};

template <class C>
class FastWeightArray<C, true> {
 public:
  static constexpr int PIXELS = 1;

  void assign(const float* block) { std::memcpy(weights_, block, sizeof weights_); }

  template <int P>
  void multiply(const hls::stream<Frame<C>>& frames, hls::stream<Partials<C>>& partials) const {
    const Frame<C>& frame = frames.peek(0);
    float* result = partials.room(0).lane;
    for (int first = 0; first < C::CPO; first += LANES) {
      Lanes sum = {};
      for (int tap = 0; tap < TAPS; ++tap) {
        Lanes total = {};  // a chain of additions for each tap
#pragma GCC unroll 4
        for (int k = 0; k < C::CPI; ++k) {
          Lanes weights;
          std::memcpy(&weights, weights_ + (tap * C::CPI + k) * C::CPO + first, sizeof weights);
          total += frame.tap[tap].lane[k] * weights;
        }
        sum += total;
      }
      std::memcpy(result + first, &sum, sizeof sum);
    }
  }

 private:
  static constexpr int LANES = C::CPO % 8 == 0 ? 8 : (C::CPO % 4 == 0 ? 4 : 1);
  typedef float Lanes __attribute__((vector_size(LANES * sizeof(float))));
  float weights_[BLOCK_WEIGHTS<C>()] = {};  // compilers cannot see that it is assigned before it is used
};

// As many frames as there are and have room behind them, up to P; blocks of P, and smaller ones for what is left.
template <int P, class C>
int multiply_some(const FastWeightArray<C>& array, int most, hls::stream<Frame<C>>& frames,
                  hls::stream<Partials<C>>& partials) {
  if (most < P) return multiply_some<(P > 1 ? P / 2 : 1)>(array, most, frames, partials);
  array.template multiply<P>(frames, partials);
  frames.pop(P);
  partials.push(P);
  return P;
}

// The weights of a pass as numbers: those of its block, and some that nobody uses.
template <class C>
void read_block(int beat_count, hls::stream<Beat>& beats, weight_t<C>* weights) {
  for (int n = 0; n < beat_count; ++n) {
    beats.await_data();
    const Beat& beat = beats.peek(0);
    for (int k = 0; k < BEAT_WEIGHTS<C>(); ++k) {
      weight_from_beat<C::WEIGHT_BITS>(beat, k, weights[n * BEAT_WEIGHTS<C>() + k]);
    }
    beats.pop(1);
  }
}

// The operations that take no sums over lanes.
template <class C>
void multiply_lanes(uint32_t op, const Frame<C>& frame, const weight_t<C>* weights, Partials<C>& result) {
  for (int lane = C::CPI; lane < C::CPO; ++lane) result.lane[lane] = 0;
  for (int lane = 0; lane < C::CPI; ++lane) {
    partial_t<C> total = op == OP_PASS ? partial_t<C>(frame.tap[0].lane[lane]) : partial_t<C>(0);
    for (int tap = 0; op == OP_DEPTHWISE && tap < TAPS; ++tap) {
      total += static_cast<product_t<C>>(frame.tap[tap].lane[lane] * weights[tap * C::CPI + lane]);
    }
    result.lane[lane] = total;
  }
}

// First the next weights, then frames in blocks.
template <class C>
void fast_mul(const Layer& layer, hls::stream<uint32_t>& strip_pixels, hls::stream<Frame<C>>& frames,
              hls::stream<Beat>& beats, hls::stream<Partials<C>>& partials) {
  weight_t<C> weights[BLOCK_BEATS<C>() * BEAT_WEIGHTS<C>()];
  FastWeightArray<C> array;
  const uint32_t strip_passes = layer.out_count * layer.pass_count;
  for (uint32_t strip = 0; strip < layer.strip_total; ++strip) {
    const int pixels = static_cast<int>(strip_pixels.read());
    for (uint32_t pass = 0; pass < strip_passes; ++pass) {
      read_block<C>(layer.block, beats, weights);
      if (!is_dense(layer)) {
        for (int n = 0; n < pixels; ++n) {
          frames.await_data();
          partials.await_room();
          multiply_lanes<C>(layer.op, frames.peek(0), weights, partials.room(0));
          frames.pop(1);
          partials.push(1);
        }
        continue;
      }
      array.assign(weights);
      for (int n = 0; n < pixels;) {
        const int ready = smaller(frames.await_data(), partials.await_room());
        n += multiply_some<FastWeightArray<C>::PIXELS>(array, smaller(ready, pixels - n), frames, partials);
      }
    }
  }
}

}  // namespace sliceflow
