// SPDX-License-Identifier: Apache-2.0
// Memory ports for simulation, with the part of the vendor's hls::burst_maxi interface that the kernel uses: a burst is asked for by
// its first element and length; then its elements are read or written one by one, and a written burst's response is taken. What breaks
// that order is reported as a failure of the simulation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "clocks.h"
#include "region.h"

namespace hls {

template <typename T>
class burst_maxi {
  static constexpr uint32_t MOST = 256;  // bursts under way, a power of two
  struct Burst {
    T* at;
    size_t left;
    uint64_t time;  // of its first beat, or of its response
  };
  struct Bursts {
    Burst ring[MOST];
    uint32_t first = 0;
    uint32_t last = 0;
    bool empty() const { return first == last; }
    Burst& front() { return ring[first % MOST]; }
    void push(const Burst& burst) {
      if (last - first == MOST) return sliceflow_sim::fail("a memory port has more bursts under way than any adapter holds");
      ring[last++ % MOST] = burst;
    }
    Burst pop() { return ring[first++ % MOST]; }
  };
  struct State {
    explicit State(T* memory) : base(memory) {}
    void check_end() const {
      if (!reads.empty()) sliceflow_sim::fail("a memory port's burst was asked for, but not read to its end");
      if (!writes.empty()) sliceflow_sim::fail("a memory port's burst was announced, but not written to its end");
      if (!responses.empty()) sliceflow_sim::fail("the response to a written burst was not taken");
    }
    T* const base;
    int users = 1;
    Bursts reads, writes, responses;
    sliceflow_sim::PortTimes times;
  };

 public:
  burst_maxi(T* memory) : state_(new State(memory)) {}  // the vendor's converts pointers, too
  burst_maxi(const burst_maxi& other) : state_(other.state_) { ++state_->users; }
  burst_maxi& operator=(const burst_maxi&) = delete;
  ~burst_maxi() {
    if (--state_->users > 0) return;
    state_->check_end();
    delete state_;
  }

  void read_request(size_t offset, size_t length) {
    if (length == 0) return sliceflow_sim::fail("a memory port was asked for a burst of no elements");
    state_->reads.push(Burst{state_->base + offset, length, state_->times.first_beat()});
  }
  T read() {
    if (state_->reads.empty()) {
      sliceflow_sim::fail("a memory port was read without a request");
      return T();
    }
    Burst& burst = state_->reads.front();
    state_->times.note_beat(burst.time);
    const T* at = burst.at++;
    if (--burst.left == 0) state_->reads.pop();
    return *at;
  }

  void write_request(size_t offset, size_t length) {
    if (length == 0) return sliceflow_sim::fail("a memory port announced a burst of no elements");
    if (!state_->writes.empty()) sliceflow_sim::fail("a memory port announced a burst before it had written the one before");
    state_->writes.push(Burst{state_->base + offset, length, 0});
  }
  // `bytes`: bit k for byte k of the element.
  template <typename M>
  void write(const T& value, M bytes) {
    static_assert(sizeof(T) <= 64, "a mask has 64 bits");
    if (state_->writes.empty()) return sliceflow_sim::fail("a memory port was written without a request");
    Burst& burst = state_->writes.front();
    const uint64_t mask = static_cast<uint64_t>(bytes);
    if (sizeof(T) == 64 && mask == ~uint64_t(0)) {
      std::memcpy(static_cast<void*>(burst.at), &value, sizeof(T));
    } else {
      for (size_t k = 0; k < sizeof(T); ++k) {
        if (mask >> k & 1) reinterpret_cast<unsigned char*>(burst.at)[k] = reinterpret_cast<const unsigned char*>(&value)[k];
      }
    }
    ++burst.at;
    if (--burst.left > 0) return;
    state_->writes.pop();
    state_->responses.push(Burst{nullptr, 0, state_->times.response()});
  }
  void write_response() {
    if (state_->responses.empty()) return sliceflow_sim::fail("a memory port was asked for a response that nobody owes");
    state_->times.note_response(state_->responses.pop().time);
  }

 private:
  State* state_;
};

}  // namespace hls
