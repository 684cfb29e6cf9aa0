// SPDX-License-Identifier: Apache-2.0
// What the kernel refuses: descriptors that break a rule, and strips that exceed its buffers.
#pragma once

#include "geometry.h"
#include "rules.h"

namespace sliceflow {

// Low byte of the status word; the upper 24 bits hold the index of the descriptor.
enum Status : uint32_t {
  STATUS_OK = 0,
  STATUS_VERSION = 1,   // not a descriptor of this layout
  STATUS_TOO_BIG = 3,   // a strip exceeds the buffers
  STATUS_RULES = 16,    // from here on: the rule that the descriptor breaks (rules.h)
};

template <class C>
uint32_t check_layer(const LayerDescriptor& d) {
  return broken_rule<C>(d);
}

template <class C>
bool strip_fits(const LayerDescriptor& d, const Strip& strip) {
  return static_cast<int64_t>(strip.map_rows) * d.conv_width <= C::ACCUMULATOR_PIXELS &&
         bank_words(d, strip) <= C::BANK_WORDS;
}

}  // namespace sliceflow
