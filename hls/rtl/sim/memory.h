// SPDX-License-Identifier: Apache-2.0
// What the memory ports of the simulation share: buffers at device addresses, failures, random idle clocks.
#pragma once

#include <array>
#include <cinttypes>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace sliceflow_rtl {

constexpr unsigned BEAT = 64;        // bytes that a port moves in a clock
constexpr uint64_t PAGE = 4096;      // no AXI burst crosses a multiple of it
constexpr unsigned WORDS = BEAT / 4; // of a port as Verilator sees it

enum Response : uint8_t { OKAY = 0, SLVERR = 2, DECERR = 3 };

// xorshift64: fast, and the same on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 0x2545F4914F6CDD1Du) {
    if (state_ == 0) state_ = 1;
  }
  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  // True in `per_mille` of 1000 cases; does not draw for 0.
  bool chance(uint32_t per_mille) { return per_mille != 0 && (next() >> 20) % 1000 < per_mille; }

 private:
  uint64_t state_;
};

// A ring of at most SIZE elements (a power of two), without allocation.
template <typename T, unsigned SIZE>
class Ring {
 public:
  bool empty() const { return first_ == last_; }
  bool full() const { return last_ - first_ == SIZE; }
  T& front() { return items_[first_ % SIZE]; }
  void push(const T& item) { items_[last_++ % SIZE] = item; }
  void pop() { ++first_; }
  void clear() { first_ = last_ = 0; }

 private:
  std::array<T, SIZE> items_{};
  unsigned first_ = 0, last_ = 0;
};

// The first thing that went wrong, as text for the host.
class Notes {
 public:
  void add(const char* format, ...) __attribute__((format(printf, 2, 3))) {
    if (!text.empty()) return;
    char line[256];
    va_list values;
    va_start(values, format);
    std::vsnprintf(line, sizeof line, format, values);
    va_end(values);
    text = line;
  }
  std::string text;
};

struct Timing {
  uint32_t read_latency = 100;  // clocks from the accepted read address to the first beat
  uint32_t write_latency = 100; // clocks from the last beat written to its response
  uint32_t stall = 0;           // of 1000 clocks, those in which a channel idles or is not ready, at random
};

// Buffers of the host, at device addresses.
class Memory {
 public:
  // Bytes from `address` on are the host's `data`. A beat counts as inside if its first byte is.
  void map(uint64_t address, uint8_t* data, uint64_t size, bool writable) {
    buffers_.push_back({address, size, data, writable});
  }
  // Accesses in first..last answer with `response`.
  void fail(uint64_t first, uint64_t last, Response response) {
    fail_first_ = first;
    fail_last_ = last;
    fail_response_ = response;
  }
  Response read(uint64_t address, uint32_t* beat, const char* port) {
    const Response response = check(address);
    const Buffer* buffer = response == OKAY ? find(address) : nullptr;
    if (buffer == nullptr) {
      std::memset(beat, 0xA5, BEAT);
      if (response == OKAY) fault.add("%s reads 0x%" PRIx64 ", which is in no buffer", port, address);
      return response == OKAY ? DECERR : response;
    }
    const uint64_t offset = address - buffer->address;
    const uint64_t size = buffer->size - offset;
    if (size < BEAT) std::memset(beat, 0xA5, BEAT);
    std::memcpy(beat, buffer->data + offset, size < BEAT ? size : BEAT);
    return OKAY;
  }
  Response write(uint64_t address, const uint32_t* beat, uint64_t strobe, const char* port) {
    if (strobe == 0) return OKAY;
    const Response response = check(address);
    if (response != OKAY) return response;
    const Buffer* buffer = find(address);
    const uint64_t offset = buffer == nullptr ? 0 : address - buffer->address;
    const bool inside = buffer != nullptr && buffer->writable &&
                        offset + (64 - static_cast<unsigned>(__builtin_clzll(strobe))) <= buffer->size;
    if (!inside) {
      fault.add("%s writes 0x%" PRIx64 ", which is in no buffer that may be written", port, address);
      return DECERR;
    }
    uint8_t* to = buffer->data + offset;
    const auto* from = reinterpret_cast<const uint8_t*>(beat);
    if (strobe == ~uint64_t{0}) {
      std::memcpy(to, from, BEAT);
    } else {
      for (unsigned n = 0; n < BEAT; ++n)
        if (strobe >> n & 1) to[n] = from[n];
    }
    return OKAY;
  }

  Notes fault;  // the first access outside the buffers

 private:
  struct Buffer {
    uint64_t address, size;
    uint8_t* data;
    bool writable;
  };
  Response check(uint64_t address) const {
    return address >= fail_first_ && address <= fail_last_ ? fail_response_ : OKAY;
  }
  const Buffer* find(uint64_t address) const {
    for (const Buffer& buffer : buffers_)
      if (address - buffer.address < buffer.size) return &buffer;
    return nullptr;
  }

  std::vector<Buffer> buffers_;
  uint64_t fail_first_ = 1, fail_last_ = 0;
  Response fail_response_ = OKAY;
};

}  // namespace sliceflow_rtl
