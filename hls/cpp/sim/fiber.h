// SPDX-License-Identifier: Apache-2.0
// Cooperative fibers: a stack each, and a switch that costs a few nanoseconds.
#pragma once

#include <cstddef>

namespace sliceflow_sim {

class Fiber {
 public:
  Fiber() = default;
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Prepares the fiber to call entry(argument) when it is switched to. The entry must not return.
  void start(void (*entry)(void*), void* argument);

 private:
  friend void switch_fiber(Fiber& from, Fiber& to, bool from_is_done);
  friend void fiber_main(Fiber* self);
  void allocate();

  void* context_ = nullptr;         // saved stack pointer, or ucontext_t
  unsigned char* memory_ = nullptr;  // guard page and stack; none for the thread's own fiber
  size_t size_ = 0;
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  const void* bottom_ = nullptr;  // address sanitizer: the stack of this fiber
  size_t length_ = 0;
  void* shadow_ = nullptr;
};

// Leaves `from` and continues `to`. `from_is_done`: nobody will come back.
void switch_fiber(Fiber& from, Fiber& to, bool from_is_done);

// A defect of the simulator or of the kernel that cannot be reported through a region.
[[noreturn]] void abort_simulation(const char* message);

}  // namespace sliceflow_sim
