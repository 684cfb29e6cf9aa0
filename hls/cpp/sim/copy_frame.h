// SPDX-License-Identifier: Apache-2.0
// How a frame enters a stream in simulation. cvt has just stored it tap by tap; wide loads would have to wait until those stores
// reach the cache, so it is copied in the same small pieces.
#pragma once

#include <cstring>

#include "../types.h"

namespace sliceflow {

template <class C>
void copy_element(Frame<C>& to, const Frame<C>& from) {
#if defined(__GNUC__) && !defined(SLICEFLOW_AP_TYPES)
  constexpr size_t PIECE = sizeof(Word<C>) % 8 == 0 ? 8 : (sizeof(Word<C>) % 4 == 0 ? 4 : 1);
  typedef typename std::conditional<PIECE == 8, uint64_t,
                                    typename std::conditional<PIECE == 4, uint32_t, uint8_t>::type>::type Piece;
#pragma GCC unroll 18
  for (size_t k = 0; k < sizeof to; k += PIECE) {
    Piece piece;
    std::memcpy(&piece, reinterpret_cast<const char*>(&from) + k, PIECE);
    asm("" : "+r"(piece));  // keeps the compiler from merging pieces into wide loads
    std::memcpy(reinterpret_cast<char*>(&to) + k, &piece, PIECE);
  }
#else
  to = from;
#endif
}

}  // namespace sliceflow
