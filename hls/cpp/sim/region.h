// SPDX-License-Identifier: Apache-2.0
// Dataflow regions in simulation: every process is a fiber; a region ends when all have returned, or fails when none can go on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "fiber.h"

namespace sliceflow_sim {

// The part of a stream that does not depend on its type.
class Channel {
 public:
  const char* name() const { return name_; }
  bool is_empty() const { return put_ == taken_; }
  bool is_full() const { return put_ - taken_ == capacity_; }
  uint32_t used() const { return put_ - taken_; }
  uint32_t limit() const { return capacity_; }

 protected:
  Channel(const char* name, uint32_t capacity) : name_(name), capacity_(capacity) {}
  ~Channel() {
    if (__builtin_expect(!is_empty(), 0)) report_left_over();
  }
  void wait_for_data();
  void wait_for_room();

#ifdef SLICEFLOW_CHECK_STREAMS
  void note_reader() { note(reader_, "reads"); }
  void note_writer() { note(writer_, "writes"); }
#else
  void note_reader() {}
  void note_writer() {}
#endif

  const char* name_;
  uint32_t capacity_;
  uint32_t put_ = 0;
  uint32_t taken_ = 0;

 private:
  void report_left_over() const;
  void note(int& owner, const char* verb);
  int reader_ = -1;
  int writer_ = -1;
};

// What went wrong in this thread's simulation; "" if nothing. It stays until cleared, and regions do nothing meanwhile.
const char* failure();
void clear_failure();
void fail(const char* what);  // keeps the first one

// The descriptor that this thread executes, for reports.
uint32_t layer();
void begin_layer(uint32_t index);

class Region {
 public:
  explicit Region(const char* name);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  // Adds a process. The callable must outlive run().
  template <class F>
  void add(const char* label, F& process) {
    add_process(label, [](void* body) { (*static_cast<F*>(body))(); }, &process);
  }
  void run();

 private:
  void add_process(const char* label, void (*entry)(void*), void* body);
  const char* name_;
  int count_ = 0;
};

// On-chip memory: too large for a stack, kept by each thread from call to call, never cleared.
template <class T>
class Memory {
  struct Holder {
    T value;
  };

 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { delete holder_; }
  T& get() {
    if (!holder_) holder_ = new Holder;
    return holder_->value;
  }

 private:
  Holder* holder_ = nullptr;
};

}  // namespace sliceflow_sim

#define SLICEFLOW_JOIN_(a, b) a##b
#define SLICEFLOW_JOIN(a, b) SLICEFLOW_JOIN_(a, b)
#define SLICEFLOW_REGION_BEGIN(name) sliceflow_sim::Region sliceflow_region(name)
#define SLICEFLOW_PROCESS(label, function, ...)                                \
  auto SLICEFLOW_JOIN(process_, __LINE__) = [&]() { function(__VA_ARGS__); }; \
  sliceflow_region.add(label, SLICEFLOW_JOIN(process_, __LINE__))
#define SLICEFLOW_REGION_END sliceflow_region.run()
#define SLICEFLOW_LAYER(index) sliceflow_sim::begin_layer(index)
#define SLICEFLOW_MEMORY(type, name)                            \
  static thread_local sliceflow_sim::Memory<type> name##_memory; \
  type& name = name##_memory.get()
