// SPDX-License-Identifier: Apache-2.0
// The weights of a pass, as they come in beats, and the sums of products. Two products that share an activation come from one
// multiplier of 27x18 bits: (w1 * 2^18 + w0) * a. Four such products are added before they are taken apart, which leaves their lower
// halves in 18 bits.
#pragma once

#include "numerics.h"
#include "plan.h"

namespace sliceflow {

// Weights of a block, [9 taps][CPI][CPO].
template <class C>
constexpr int BLOCK_WEIGHTS() {
  return TAPS * C::CPI * C::CPO;
}
template <class C>
constexpr int BEAT_WEIGHTS() {
  return BEAT_BYTES * 8 / C::WEIGHT_BITS;
}
template <class C>
constexpr int BLOCK_BEATS() {
  return (BLOCK_WEIGHTS<C>() + BEAT_WEIGHTS<C>() - 1) / BEAT_WEIGHTS<C>();
}

// A block in beats, so that a beat has one enable. The last beat's rest is not used.
template <class C>
struct Block {
  Beat beat[BLOCK_BEATS<C>()];
};

template <class C>
weight_t<C> weight_of(const Block<C>& block, int number) {
#pragma HLS inline
  weight_t<C> weight;
  weight_from_beat<C::WEIGHT_BITS>(block.beat[number / BEAT_WEIGHTS<C>()], number % BEAT_WEIGHTS<C>(), weight);
  return weight;
}

template <class C>
void clear_block(Block<C>& block) {
#pragma HLS inline
  for (int b = 0; b < BLOCK_BEATS<C>(); ++b) {
#pragma HLS unroll
    clear_beat(block.beat[b]);
  }
}

// Weight of DEPTHWISE and PASS number n = tap * CPI + lane, on the diagonal of its tap's matrix.
template <class C>
constexpr int diagonal(int n) {
  return n * C::CPO + n % C::CPI;
}

// PASS: an identity in the first tap.
template <class C>
void identity_block(Block<C>& block) {
#pragma HLS inline
  clear_block<C>(block);
  for (int lane = 0; lane < C::CPI; ++lane) {
#pragma HLS unroll
    weight_to_beat<C::WEIGHT_BITS>(weight_t<C>(1), diagonal<C>(lane) % BEAT_WEIGHTS<C>(),
                                   block.beat[diagonal<C>(lane) / BEAT_WEIGHTS<C>()]);
  }
}

// Takes a beat of the weights of a pass.
template <class C>
void take_beat(bool dense, const Beat& beat, int index, Block<C>& block) {
#pragma HLS inline
  if (dense) {
    for (int b = 0; b < BLOCK_BEATS<C>(); ++b) {
#pragma HLS unroll
      if (b == index) block.beat[b] = beat;
    }
    return;
  }
  if (index == 0) clear_block<C>(block);
  for (int n = 0; n < TAPS * C::CPI; ++n) {
#pragma HLS unroll
    if (n / BEAT_WEIGHTS<C>() == index) {
      weight_t<C> weight;
      weight_from_beat<C::WEIGHT_BITS>(beat, n % BEAT_WEIGHTS<C>(), weight);
      weight_to_beat<C::WEIGHT_BITS>(weight, diagonal<C>(n) % BEAT_WEIGHTS<C>(),
                                     block.beat[diagonal<C>(n) / BEAT_WEIGHTS<C>()]);
    }
  }
}

// Sums of products, one product a multiplier; PACK: two.
template <class C, bool PACK = !C::IS_FLOAT && C::ACTIVATION_BITS == 8>
struct Products {
  Partials<C> sums(const Frame<C>& frame, const Block<C>& block) const {
#pragma HLS inline
    Partials<C> result;
    for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
      partial_t<C> total = 0;
      for (int k = 0; k < TAPS * C::CPI; ++k) {
#pragma HLS unroll
        const product_t<C> product = frame.tap[k / C::CPI].lane[k % C::CPI] * weight_of<C>(block, k * C::CPO + lane);
        total += product;
      }
      result.lane[lane] = total;
    }
    return result;
  }
};

template <class C>
struct Products<C, true> {
  static constexpr int FIELD = 18;  // place of the upper product
  typedef int_t<FIELD + C::WEIGHT_BITS + 1> packed_t;
  typedef int_t<FIELD + C::WEIGHT_BITS + C::ACTIVATION_BITS + 3> quad_t;

  Partials<C> sums(const Frame<C>& frame, const Block<C>& block) const {
#pragma HLS inline
    Partials<C> result;
    for (int pair = 0; pair < (C::CPO + 1) / 2; ++pair) {
#pragma HLS unroll
      partial_t<C> low_total = 0;
      partial_t<C> high_total = 0;
      for (int first = 0; first < TAPS * C::CPI; first += 4) {
#pragma HLS unroll
        quad_t quad = 0;
        for (int k = first; k < first + 4 && k < TAPS * C::CPI; ++k) {
#pragma HLS unroll
          const packed_t low = weight_of<C>(block, k * C::CPO + 2 * pair);
          packed_t high = 0;
          if (2 * pair + 1 < C::CPO) high = weight_of<C>(block, k * C::CPO + 2 * pair + 1);
          const packed_t packed = high * packed_t(1 << FIELD) + low;
          const quad_t product = quad_t(packed) * quad_t(frame.tap[k / C::CPI].lane[k % C::CPI]);
#pragma HLS bind_op variable = product op = mul impl = dsp
          quad += product;
        }
        const quad_t lifted = quad + quad_t(1 << (FIELD - 1));  // what the lower half borrows is given back
        const quad_t high = lifted >> FIELD;
        const quad_t low = quad - high * quad_t(1 << FIELD);
        low_total += partial_t<C>(low);
        high_total += partial_t<C>(high);
      }
      result.lane[2 * pair] = low_total;
      if (2 * pair + 1 < C::CPO) result.lane[2 * pair + 1] = high_total;
    }
    return result;
  }
};

}  // namespace sliceflow
