// SPDX-License-Identifier: Apache-2.0
// The memory's side of the kernel's AXI4 ports. `drive` sets the kernel's inputs before a clock edge, `step` looks at the
// handshakes of that edge. What a port of the kernel must keep to (aligned INCR bursts of whole beats that cross no 4 KiB
// border, addresses and data that stay until they are taken) is checked.
#pragma once

#include "memory.h"

namespace sliceflow_rtl {

// The kernel's signals of a read port, by reference into the Verilated model.
struct ReadSignals {
  const char* name;
  uint8_t& arvalid;
  uint8_t& arready;
  uint64_t& araddr;
  uint8_t& arid;
  uint8_t& arlen;
  uint8_t& arsize;
  uint8_t& arburst;
  uint8_t& rvalid;
  uint8_t& rready;
  uint32_t* rdata;
  uint8_t& rid;
  uint8_t& rresp;
  uint8_t& rlast;
};

struct WriteSignals {
  const char* name;
  uint8_t& awvalid;
  uint8_t& awready;
  uint64_t& awaddr;
  uint8_t& awid;
  uint8_t& awlen;
  uint8_t& awsize;
  uint8_t& awburst;
  uint8_t& wvalid;
  uint8_t& wready;
  uint32_t* wdata;
  uint64_t& wstrb;
  uint8_t& wlast;
  uint8_t& bvalid;
  uint8_t& bready;
  uint8_t& bid;
  uint8_t& bresp;
};

// Checks an address channel: the offer stays until it is taken, and its burst is legal.
class AddressCheck {
 public:
  AddressCheck(const char* port, Notes& notes) : port_(port), notes_(notes) {}
  void step(bool valid, bool ready, uint64_t address, unsigned length, unsigned size, unsigned burst) {
    if (waiting_ && (!valid || address != address_ || length != length_))
      notes_.add("%s takes back the address 0x%" PRIx64 " that it offered", port_, address_);
    waiting_ = valid && !ready;
    address_ = address;
    length_ = length;
    if (!valid || !ready) return;
    const uint64_t bytes = (uint64_t{length} + 1) * BEAT;
    if (size != 6 || burst != 1 || address % BEAT != 0 || address % PAGE + bytes > PAGE)
      notes_.add("%s asks for an illegal burst: address 0x%" PRIx64 ", length %u, size %u, type %u", port_, address,
                 length + 1, size, burst);
  }
  void reset() { waiting_ = false; }

 private:
  const char* port_;
  Notes& notes_;
  bool waiting_ = false;
  uint64_t address_ = 0;
  unsigned length_ = 0;
};

// Serves reads: a beat a clock, in order for each ID. Among IDs the oldest burst comes first; with random idle clocks, any.
class ReadPort {
 public:
  ReadPort(const ReadSignals& signals, Memory& memory, const Timing& timing, Random& random, Notes& notes)
      : pins_(signals), memory_(memory), timing_(timing), random_(random), address_check_(signals.name, notes) {
    pins_.arready = pins_.rvalid = 0;
  }

  void drive(uint64_t now) {
    pins_.arready = !bursts_[0].full() && !bursts_[1].full() && !random_.chance(timing_.stall);
    if (pins_.rvalid) return;  // stays until it is taken
    const int id = choose(now);
    if (id < 0 || random_.chance(timing_.stall)) return;
    Burst& burst = bursts_[id].front();
    pins_.rresp = memory_.read(burst.address, pins_.rdata, pins_.name);
    pins_.rid = static_cast<uint8_t>(id);
    pins_.rlast = burst.beats == 1;
    pins_.rvalid = 1;
    burst.address += BEAT;
    if (--burst.beats == 0) bursts_[id].pop();
  }

  // The signals as they are at the edge. Takes effect on `rvalid` only behind the edge: call `release` then.
  void step(uint64_t now) {
    address_check_.step(pins_.arvalid, pins_.arready, pins_.araddr, pins_.arlen, pins_.arsize, pins_.arburst);
    if (pins_.arvalid && pins_.arready)
      bursts_[pins_.arid & 1].push({pins_.araddr, now + timing_.read_latency, pins_.arlen + 1u});
    taken_ = pins_.rvalid && pins_.rready;
  }
  void release() {
    if (taken_) pins_.rvalid = 0;
  }
  void reset() {
    for (auto& queue : bursts_) queue.clear();
    pins_.rvalid = 0;
    address_check_.reset();
  }

 private:
  struct Burst {
    uint64_t address, ready;
    uint32_t beats;
  };
  int choose(uint64_t now) {
    const bool first = !bursts_[0].empty() && bursts_[0].front().ready <= now;
    const bool second = !bursts_[1].empty() && bursts_[1].front().ready <= now;
    if (!first || !second) return first ? 0 : second ? 1 : -1;
    if (timing_.stall != 0) return static_cast<int>(random_.next() >> 40 & 1);
    return bursts_[0].front().ready <= bursts_[1].front().ready ? 0 : 1;
  }

  ReadSignals pins_;
  Memory& memory_;
  const Timing& timing_;
  Random& random_;
  AddressCheck address_check_;
  std::array<Ring<Burst, 64>, 2> bursts_;
  bool taken_ = false;
};

// Takes writes: addresses and data in any order of time, a beat a clock; a response for each burst, in order.
class WritePort {
 public:
  WritePort(const WriteSignals& signals, Memory& memory, const Timing& timing, Random& random, Notes& notes)
      : pins_(signals), memory_(memory), timing_(timing), random_(random), notes_(notes),
        address_check_(signals.name, notes) {
    pins_.awready = pins_.wready = pins_.bvalid = 0;
  }

  void drive(uint64_t now) {
    pins_.awready = !bursts_.full() && !random_.chance(timing_.stall);
    pins_.wready = !beats_.full() && !responses_.full() && !random_.chance(timing_.stall);
    if (pins_.bvalid || responses_.empty() || responses_.front().ready > now || random_.chance(timing_.stall)) return;
    pins_.bvalid = 1;
    pins_.bid = responses_.front().id;
    pins_.bresp = responses_.front().response;
    responses_.pop();
  }

  void step(uint64_t now) {
    address_check_.step(pins_.awvalid, pins_.awready, pins_.awaddr, pins_.awlen, pins_.awsize, pins_.awburst);
    check_data();
    if (pins_.awvalid && pins_.awready) bursts_.push({pins_.awaddr, pins_.awlen + 1u, pins_.awid, OKAY});
    if (pins_.wvalid && pins_.wready) {
      Beat beat;
      std::memcpy(beat.data, pins_.wdata, BEAT);
      beat.strobe = pins_.wstrb;
      beat.last = pins_.wlast;
      beats_.push(beat);
    }
    while (!bursts_.empty() && !beats_.empty() && !responses_.full()) store(now);
    taken_ = pins_.bvalid && pins_.bready;
  }
  void release() {
    if (taken_) pins_.bvalid = 0;
  }
  void reset() {
    bursts_.clear();
    beats_.clear();
    responses_.clear();
    pins_.bvalid = 0;
    waiting_ = false;
    address_check_.reset();
  }

 private:
  struct Burst {
    uint64_t address;
    uint32_t beats;
    uint8_t id;
    Response response;
  };
  struct Beat {
    uint32_t data[WORDS];
    uint64_t strobe;
    bool last;
  };
  struct Answer {
    uint64_t ready;
    uint8_t id;
    Response response;
  };

  void store(uint64_t now) {
    Burst& burst = bursts_.front();
    const Beat& beat = beats_.front();
    const Response response = memory_.write(burst.address, beat.data, beat.strobe, pins_.name);
    if (response > burst.response) burst.response = response;
    burst.address += BEAT;
    --burst.beats;
    if (beat.last != (burst.beats == 0)) notes_.add("%s sets wlast at a wrong beat", pins_.name);
    beats_.pop();
    if (burst.beats == 0) {
      responses_.push({now + timing_.write_latency, burst.id, burst.response});
      bursts_.pop();
    }
  }
  void check_data() {
    if (waiting_ && (!pins_.wvalid || pins_.wstrb != strobe_ || std::memcmp(pins_.wdata, data_, BEAT) != 0))
      notes_.add("%s takes back data that it offered", pins_.name);
    waiting_ = pins_.wvalid && !pins_.wready;
    if (!waiting_) return;
    strobe_ = pins_.wstrb;
    std::memcpy(data_, pins_.wdata, BEAT);
  }

  WriteSignals pins_;
  Memory& memory_;
  const Timing& timing_;
  Random& random_;
  Notes& notes_;
  AddressCheck address_check_;
  Ring<Burst, 64> bursts_;
  Ring<Beat, 64> beats_;
  Ring<Answer, 64> responses_;
  bool taken_ = false, waiting_ = false;
  uint64_t strobe_ = 0;
  uint32_t data_[WORDS] = {};
};

}  // namespace sliceflow_rtl
