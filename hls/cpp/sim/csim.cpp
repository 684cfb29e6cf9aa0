// SPDX-License-Identifier: Apache-2.0
// The C simulation as a shared library: the kernel's top function on the host's memory. With several threads, each calls it for
// its share of every layer. Reentrant: callers on several threads may run at once on different activation memories.
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../kernel.h"
#include "share.h"

namespace {

using sliceflow::Beat;
using sliceflow::Config;
using sliceflow::LayerDescriptor;

constexpr int RANGES_BYTE = 68 * 4;  // group_first and what follows it in a descriptor
enum : uint32_t { STATUS_SIMULATION = 255 };  // beside sliceflow::Status: a deadlock or a stream misused

struct Memories {
  Beat* program;
  size_t program_beats;
  Beat* weights;
  Beat* activations;
};

// Calls the kernel. Returns its status, or that of the simulation.
uint32_t launch(const Memories& memories, Beat* program, uint32_t first, uint32_t count) {
  uint32_t status = sliceflow::STATUS_OK;
  sliceflow_sim::clear_failure();
  sliceflow_kernel(program, memories.weights, memories.activations, memories.activations, memories.activations, first,
                   count, &status);
  return sliceflow_sim::failure()[0] ? sliceflow_sim::layer() << 8 | STATUS_SIMULATION : status;
}

class Barrier {
 public:
  explicit Barrier(uint32_t parts) : parts_(parts) {}
  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    const uint64_t round = round_;
    if (++arrived_ == parts_) {
      arrived_ = 0;
      ++round_;
      all_here_.notify_all();
    } else {
      all_here_.wait(lock, [&] { return round != round_; });
    }
  }

 private:
  const uint32_t parts_;
  uint32_t arrived_ = 0;
  uint64_t round_ = 0;
  std::mutex mutex_;
  std::condition_variable all_here_;
};

// A launch that several threads share, layer by layer.
class SharedLaunch {
 public:
  SharedLaunch(const Memories& memories, uint32_t first, uint32_t count, uint32_t threads)
      : memories_(memories), first_(first), count_(count), threads_(threads), barrier_(threads) {}

  uint32_t run(char* message, size_t message_bytes) {
    std::vector<std::thread> helpers;
    for (uint32_t k = 1; k < threads_; ++k) helpers.emplace_back([this, k] { work(k); });
    work(0);
    for (std::thread& helper : helpers) helper.join();
    if (message_bytes) std::snprintf(message, message_bytes, "%s", message_.c_str());
    return status_;
  }

 private:
  // Every thread takes its share of each layer; the next layer waits for all. A thread has its own program memory, in whose
  // descriptors it writes its ranges.
  void work(uint32_t self) {
    std::vector<unsigned char> copy(memories_.program_beats * sizeof(Beat));
    std::memcpy(copy.data(), memories_.program, copy.size());
    Beat* program = reinterpret_cast<Beat*>(copy.data());
    for (uint32_t index = first_; index < first_ + count_; ++index) {
      execute(self, index, program);
      barrier_.wait();
      const bool failed = status_ != sliceflow::STATUS_OK;
      barrier_.wait();  // nobody reports the next layer's problem before all have seen this one's
      if (failed) return;
    }
  }

  void execute(uint32_t self, uint32_t index, Beat* program) {
    hls::burst_maxi<Beat> port(program);
    const LayerDescriptor whole = sliceflow::read_descriptor(port, index);
    if (sliceflow::check_layer<Config>(whole) == sliceflow::STATUS_OK) {
      const LayerDescriptor share = sliceflow_sim::share_of(whole, self, threads_);
      if (share.group_count == 0) return;
      const uint32_t ranges[] = {share.group_first, share.group_count, share.strip_first,
                                 share.strip_count, share.out_first,   share.out_count};
      std::memcpy(reinterpret_cast<unsigned char*>(program) + index * sliceflow::DESCRIPTOR_BYTES + RANGES_BYTE, ranges,
                  sizeof ranges);
    }
    report(launch(memories_, program, index, 1));
  }

  // Keeps the first problem.
  void report(uint32_t status) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (status == sliceflow::STATUS_OK || status_ != sliceflow::STATUS_OK) return;
    status_ = status;
    message_ = sliceflow_sim::failure();
  }

  const Memories memories_;
  const uint32_t first_;
  const uint32_t count_;
  const uint32_t threads_;
  Barrier barrier_;
  std::mutex mutex_;
  std::atomic<uint32_t> status_{sliceflow::STATUS_OK};
  std::string message_;
};

}  // namespace

// Executes descriptors first .. first + count on three memories of whole beats. Returns 0, or the failing descriptor's index times 256 plus a code;
// `message` then tells about a failed simulation.
extern "C" __attribute__((visibility("default"))) uint32_t sliceflow_csim_run(void* program, size_t program_bytes,
                                                                              void* weights, void* activations,
                                                                              uint32_t first, uint32_t count,
                                                                              uint32_t threads, char* message,
                                                                              size_t message_bytes) {
  const Memories memories = {static_cast<Beat*>(program), program_bytes / sizeof(Beat), static_cast<Beat*>(weights),
                             static_cast<Beat*>(activations)};
  if (message_bytes) message[0] = 0;
  if (threads > 1) return SharedLaunch(memories, first, count, threads).run(message, message_bytes);
  const uint32_t status = launch(memories, memories.program, first, count);
  if (message_bytes) std::snprintf(message, message_bytes, "%s", sliceflow_sim::failure());
  return status;
}

#ifdef SLICEFLOW_CLOCKS
// The same on one thread, with clocks: `ends` gets the end of each layer, in clocks since the launch began.
extern "C" __attribute__((visibility("default"))) uint32_t sliceflow_csim_clocks(void* program, void* weights,
                                                                                 void* activations, uint32_t first,
                                                                                 uint32_t count, uint32_t memory_latency,
                                                                                 uint64_t* ends, char* message,
                                                                                 size_t message_bytes) {
  sliceflow_sim::set_memory_latency(memory_latency);
  sliceflow_sim::start_log(ends, first);
  const uint32_t status = sliceflow_csim_run(program, 0, weights, activations, first, count, 1, message, message_bytes);
  sliceflow_sim::start_log(nullptr, 0);
  return status;
}
#endif
