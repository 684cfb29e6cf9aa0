// SPDX-License-Identifier: Apache-2.0
// The dense half of mul: weights in registers, and the sums of products.
#pragma once

#include "types.h"

namespace sliceflow {

// Weights of a dense block, [9 taps][CPI][CPO].
template <class C>
constexpr int BLOCK_WEIGHTS() {
  return TAPS * C::CPI * C::CPO;
}

template <class C>
void copy_block(const weight_t<C> from[BLOCK_WEIGHTS<C>()], weight_t<C> to[BLOCK_WEIGHTS<C>()]) {
#pragma HLS inline
  for (int k = 0; k < BLOCK_WEIGHTS<C>(); ++k) {
#pragma HLS unroll
    to[k] = from[k];
  }
}

// The array as synthesis sees it: every product in its exact width, all of them summed.
template <class C>
class PlainWeightArray {
 public:
  void assign(const weight_t<C> block[BLOCK_WEIGHTS<C>()]) {
#pragma HLS inline
    copy_block<C>(block, weights_);
  }

  Partials<C> multiply(const Frame<C>& frame) const {
#pragma HLS inline
    Partials<C> result;
    for (int lane = 0; lane < C::CPO; ++lane) {
#pragma HLS unroll
      partial_t<C> total = 0;
      for (int k = 0; k < TAPS * C::CPI; ++k) {
#pragma HLS unroll
        total += static_cast<product_t<C>>(frame.tap[k / C::CPI].lane[k % C::CPI] * weights_[k * C::CPO + lane]);
      }
      result.lane[lane] = total;
    }
    return result;
  }

 private:
  weight_t<C> weights_[BLOCK_WEIGHTS<C>()];
};

}  // namespace sliceflow
