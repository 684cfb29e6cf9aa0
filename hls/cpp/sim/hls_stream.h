// SPDX-License-Identifier: Apache-2.0
// Streams for simulation, with the part of the vendor's hls::stream interface that the kernel uses.
//
// A stream is bounded. A process that reads an empty one or writes a full one hands over to the others (region.h). Capacity is
// the larger of the declared depth and SLICEFLOW_SIMULATION_DEPTH: deep streams make few switches; 0 simulates the real depths.
#pragma once

#include <cstdint>

#include "region.h"

#ifndef SLICEFLOW_SIMULATION_DEPTH
#define SLICEFLOW_SIMULATION_DEPTH 64
#endif

namespace hls {

// How an element enters a stream; a type may have a faster way of its own.
template <typename T>
void copy_element(T& to, const T& from) {
  to = from;
}

template <typename T, int DEPTH = 0>
class stream;

// Any stream of T, as functions take it.
template <typename T>
class stream<T, 0> : private sliceflow_sim::Channel {
 public:
  stream(const stream&) = delete;
  stream& operator=(const stream&) = delete;

  T read() {
    if (__builtin_expect(is_empty(), 0)) wait_for_data();
    note_reader();
    const uint32_t slot = taken_++ & mask_;
    return ring_[slot];
  }
  void read(T& value) { value = read(); }

  void write(const T& value) {
    if (__builtin_expect(is_full(), 0)) wait_for_room();
    note_writer();
    copy_element(ring_[put_ & mask_], value);
    ++put_;
  }

  bool empty() const { return is_empty(); }
  bool full() const { return is_full(); }
  uint32_t size() const { return put_ - taken_; }
  uint32_t capacity() const { return capacity_; }

 protected:
  stream(const char* name, uint32_t capacity, T* ring, uint32_t mask)
      : sliceflow_sim::Channel(name, capacity), ring_(ring), mask_(mask) {}

 private:
  T* ring_;
  uint32_t mask_;
};

// A stream with its storage.
template <typename T, int DEPTH>
class stream : public stream<T, 0> {
  static constexpr uint32_t CAPACITY = DEPTH > SLICEFLOW_SIMULATION_DEPTH ? DEPTH : SLICEFLOW_SIMULATION_DEPTH;
  static constexpr uint32_t ring_size(uint32_t size) { return size >= CAPACITY ? size : ring_size(2 * size); }

 public:
  explicit stream(const char* name = "unnamed")
      : stream<T, 0>(name, CAPACITY, storage_, ring_size(1) - 1) {}

 private:
  T storage_[ring_size(1)];
};

}  // namespace hls
