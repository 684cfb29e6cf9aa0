// SPDX-License-Identifier: Apache-2.0
// Streams for simulation, with the part of the vendor's hls::stream interface that the kernel uses.
//
// A stream is bounded. A process that reads an empty one or writes a full one hands over to the others (region.h). Capacity is
// the larger of the declared depth and SLICEFLOW_SIMULATION_DEPTH: deep streams make few switches; 0 simulates the real depths.
// Vector code works on elements where they stand: peek and pop, room and push.
#pragma once

#include <cstdint>

#include "clocks.h"
#include "region.h"

#ifndef SLICEFLOW_SIMULATION_DEPTH
#define SLICEFLOW_SIMULATION_DEPTH 64
#endif

namespace hls {

// Copies an element. Compilers copy structures in pieces of 16 bytes, and a load of 32 that follows must wait for both stores.
template <typename T>
void copy_element(T& to, const T& from) {
#if defined(__AVX__)
  typedef char Piece __attribute__((vector_size(32), aligned(1), may_alias));
  if (sizeof(T) % sizeof(Piece) == 0) {
    for (size_t k = 0; k < sizeof(T) / sizeof(Piece); ++k) {
      reinterpret_cast<Piece*>(&to)[k] = reinterpret_cast<const Piece*>(&from)[k];
    }
    return;
  }
#endif
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
    times_.note_read(taken_);
    T value;
    copy_element(value, ring_[taken_++ & mask_]);
    return value;
  }
  void read(T& value) { value = read(); }
  // Waits until it is known when the next element comes. Without clocks it comes at once.
  bool read_nb(T& value) {
    if (__builtin_expect(is_empty(), 0)) wait_for_data();
    if (!times_.is_there(taken_)) return false;
    value = read();
    return true;
  }

  void write(const T& value) {
    if (__builtin_expect(is_full(), 0)) wait_for_room();
    note_writer();
    times_.note_write(put_, capacity_);
    copy_element(ring_[put_++ & mask_], value);
  }

  // Number of elements that can be read; at least one.
  int await_data() {
    if (__builtin_expect(is_empty(), 0)) wait_for_data();
    return static_cast<int>(used());
  }
  const T& peek(int k) const { return ring_[(taken_ + k) & mask_]; }  // the one that is read after k others
  void pop(int count) {
    note_reader();
    taken_ += count;
  }
  // Number of elements that can be written; at least one.
  int await_room() {
    if (__builtin_expect(is_full(), 0)) wait_for_room();
    return static_cast<int>(limit() - used());
  }
  T& room(int k) { return ring_[(put_ + k) & mask_]; }  // where the one goes that is written after k others
  void push(int count) {
    note_writer();
    put_ += count;
  }

  bool empty() const { return is_empty() || !times_.is_there(taken_); }
  // Waits until it is known when there is room.
  bool full() {
    if (__builtin_expect(is_full(), 0)) wait_for_room();
    return !times_.has_room(put_, capacity_);
  }
  uint32_t size() const { return put_ - taken_; }
  uint32_t capacity() const { return capacity_; }

 protected:
  template <uint32_t RING>
  stream(const char* name, uint32_t capacity, T* ring, sliceflow_sim::TimeStore<RING>& times)
      : sliceflow_sim::Channel(name, capacity), ring_(ring), mask_(RING - 1), times_(times) {}

 private:
  T* ring_;
  uint32_t mask_;
  sliceflow_sim::Times times_;
};

// A stream with its storage.
template <typename T, int DEPTH>
class stream : public stream<T, 0> {
  static constexpr uint32_t CAPACITY = DEPTH > SLICEFLOW_SIMULATION_DEPTH ? DEPTH : SLICEFLOW_SIMULATION_DEPTH;
  static constexpr uint32_t ring_size(uint32_t size) { return size >= CAPACITY ? size : ring_size(2 * size); }

 public:
  explicit stream(const char* name = "unnamed")
      : stream<T, 0>(name, CAPACITY, storage_, times_) {}

 private:
  T storage_[ring_size(1)];
  sliceflow_sim::TimeStore<ring_size(1)> times_;
};

}  // namespace hls
