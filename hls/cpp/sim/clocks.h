// SPDX-License-Identifier: Apache-2.0
// Clocks in simulation (SLICEFLOW_CLOCKS): every process has a clock of its own, which each iteration of a pipelined loop moves on by
// its initiation interval (build.py turns the loops' pipeline pragmas into calls of iteration()). An element of a stream carries the
// clock in which it was written and leaves behind the one in which it was read, so that a reader waits for data and a writer for room
// as in hardware; memory ports answer after a latency. Otherwise there are no clocks, and nothing here costs anything.
#pragma once

#include <cstdint>

namespace sliceflow_sim {

#ifdef SLICEFLOW_CLOCKS

// Clocks that no pragma says; assumptions about the tools, which have built nothing of this yet.
constexpr uint64_t FIFO_CLOCKS = 1;     // from a write into a stream until the element can be read, and from a read to the room
constexpr uint64_t PORT_CLOCKS = 6;     // a memory port's adapter, beside the memory's latency
constexpr uint64_t SETUP_CLOCKS = 40;   // check and plan of a layer, beside their loops
constexpr uint64_t REGION_CLOCKS = 4;   // start and end of a dataflow region

// The clock of the process at hand, or of the code between regions.
uint64_t& clock();
// Clocks from the first stage of the process' pipeline to the one that writes.
uint64_t pipeline();
// Of the memory: from a request to its first beat, and from a burst's last beat to its response.
uint64_t memory_latency();
void set_memory_latency(uint64_t clocks);
// Ends of the layers of this thread's last launch; the launch begins with clock 0.
void start_log(uint64_t* ends, uint32_t first);

inline void iteration(uint64_t interval) { clock() += interval; }

template <uint32_t RING>
struct TimeStore {
  uint64_t written[RING];
  uint64_t read[RING];
};

class Times {
 public:
  template <uint32_t RING>
  explicit Times(TimeStore<RING>& store) : written_(store.written), read_(store.read), mask_(RING - 1) {}
  void note_read(uint32_t number) {
    uint64_t& now = clock();
    const uint64_t there = written_[number & mask_] + FIFO_CLOCKS;
    if (there > now) now = there;
    read_[number & mask_] = now;
  }
  void note_write(uint32_t number, uint32_t capacity) {
    uint64_t& now = clock();
    if (number >= capacity) {
      const uint64_t room = read_[(number - capacity) & mask_] + FIFO_CLOCKS;
      if (room > now + pipeline()) now = room - pipeline();
    }
    written_[number & mask_] = now + pipeline();
  }
  bool is_there(uint32_t number) const { return written_[number & mask_] + FIFO_CLOCKS <= clock(); }
  bool has_room(uint32_t number, uint32_t capacity) const {
    return number < capacity || read_[(number - capacity) & mask_] + FIFO_CLOCKS <= clock() + pipeline();
  }

 private:
  uint64_t* written_;
  uint64_t* read_;
  uint32_t mask_;
};

// A memory port.
class PortTimes {
 public:
  uint64_t first_beat() const { return clock() + PORT_CLOCKS + memory_latency(); }
  void note_beat(uint64_t first) {
    beat_ = beat_ + 1 > first ? beat_ + 1 : first;
    if (beat_ > clock()) clock() = beat_;
  }
  uint64_t response() const { return clock() + pipeline() + PORT_CLOCKS + memory_latency(); }
  void note_response(uint64_t at) {
    if (at > clock()) clock() = at;
  }

 private:
  uint64_t beat_ = 0;
};

#else

template <uint32_t RING>
struct TimeStore {};

class Times {
 public:
  template <uint32_t RING>
  explicit Times(TimeStore<RING>&) {}
  void note_read(uint32_t) {}
  void note_write(uint32_t, uint32_t) {}
  bool is_there(uint32_t) const { return true; }
  bool has_room(uint32_t, uint32_t) const { return true; }
};

class PortTimes {
 public:
  uint64_t first_beat() const { return 0; }
  void note_beat(uint64_t) {}
  uint64_t response() const { return 0; }
  void note_response(uint64_t) {}
};

#endif

}  // namespace sliceflow_sim
