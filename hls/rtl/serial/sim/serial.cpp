// SPDX-License-Identifier: Apache-2.0
// The Verilated system at the end of a serial line, as a shared library. It knows bits on two wires, nothing else.
#include <cstdint>
#include <deque>
#include <memory>

#include "Vserial.h"
#include "verilated.h"

namespace {

constexpr unsigned RESET_CLOCKS = 16;

// One direction of the line: bytes to levels, a start bit (0), eight data bits, a stop bit (1).
class Sender {
 public:
  explicit Sender(unsigned divisor) : divisor_(divisor) {}
  void put(uint8_t byte) { bytes_.push_back(byte); }
  bool idle() const { return bytes_.empty() && left_ == 0; }
  // The level in the next clock.
  bool level() {
    if (left_ == 0) {
      if (bytes_.empty()) return true;
      bits_ = static_cast<uint16_t>(bytes_.front() << 1 | 0x200);
      bytes_.pop_front();
      left_ = 10 * divisor_;
    }
    const bool now = bits_ >> (10 - (left_ + divisor_ - 1) / divisor_) & 1;
    --left_;
    return now;
  }

 private:
  unsigned divisor_, left_ = 0;
  uint16_t bits_ = 0;
  std::deque<uint8_t> bytes_;
};

class Receiver {
 public:
  explicit Receiver(unsigned divisor) : divisor_(divisor) {}
  void level(bool line) {
    if (clock_ < 0) {
      if (!line) clock_ = 0, byte_ = 0;
      return;
    }
    ++clock_;
    if (clock_ % static_cast<int>(divisor_) != static_cast<int>(divisor_ / 2)) return;
    const int bit = clock_ / static_cast<int>(divisor_);
    if (bit >= 1 && bit <= 8) byte_ |= static_cast<uint8_t>(line << (bit - 1));
    if (bit == 9) {
      if (line) bytes_.push_back(byte_);
      clock_ = -1;
    }
  }
  bool take(uint8_t& byte) {
    if (bytes_.empty()) return false;
    byte = bytes_.front();
    bytes_.pop_front();
    return true;
  }

 private:
  unsigned divisor_;
  int clock_ = -1;
  uint8_t byte_ = 0;
  std::deque<uint8_t> bytes_;
};

class System {
 public:
  explicit System(unsigned divisor) : to_(divisor), from_(divisor) {
    model_.rst_n_i = 0;
    model_.line_i = 1;
    for (unsigned n = 0; n < RESET_CLOCKS; ++n) edge();
    model_.rst_n_i = 1;
    for (unsigned n = 0; n < RESET_CLOCKS; ++n) edge();  // it ends some clocks later
  }
  ~System() { model_.final(); }
  void clock() {
    model_.line_i = to_.level();
    edge();
    from_.level(model_.line_o);
    ++clocks_;
  }
  Sender to_;
  Receiver from_;
  uint64_t clocks_ = 0;

 private:
  void edge() {
    model_.clk_i = 0;
    model_.eval();
    model_.clk_i = 1;
    model_.eval();
  }
  VerilatedContext context_;
  Vserial model_{&context_};
};

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void* sliceflow_serial_create(uint32_t divisor) { return new System(divisor); }
EXPORT void sliceflow_serial_destroy(void* system) { delete static_cast<System*>(system); }
EXPORT uint64_t sliceflow_serial_clocks(void* system) { return static_cast<System*>(system)->clocks_; }
EXPORT void sliceflow_serial_send(void* system, const uint8_t* bytes, uint64_t count) {
  for (uint64_t n = 0; n < count; ++n) static_cast<System*>(system)->to_.put(bytes[n]);
}
// Up to `count` bytes; waits until they are there, at most `limit` clocks behind the last byte in either direction.
EXPORT uint64_t sliceflow_serial_receive(void* handle, uint8_t* bytes, uint64_t count, uint64_t limit) {
  System& system = *static_cast<System*>(handle);
  uint64_t found = 0;
  for (uint64_t quiet = 0; found < count && quiet < limit; ++quiet) {
    while (found < count && system.from_.take(bytes[found])) ++found, quiet = 0;
    if (found == count) break;
    if (!system.to_.idle()) quiet = 0;
    system.clock();
  }
  return found;
}
EXPORT void sliceflow_serial_run(void* handle, uint64_t clocks) {
  for (uint64_t n = 0; n < clocks; ++n) static_cast<System*>(handle)->clock();
}
