// SPDX-License-Identifier: Apache-2.0
// The C simulation as a shared library: the kernel's layers on the host's memory, shared among threads. Reentrant: callers on
// several threads may run at once on different activation memories.
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

#include "../kernel.h"
#include "share.h"

namespace {

using sliceflow::Config;

enum : uint32_t { STATUS_SIMULATION = 255 };  // beside sliceflow::Status: a deadlock or a stream misused

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

// One call of sliceflow_csim_run.
struct Run {
  Run(const sliceflow::Ports<Config>& memory, uint32_t thread_count)
      : ports(memory), threads(thread_count), barrier(thread_count), status(sliceflow::STATUS_OK) {}

  const sliceflow::Ports<Config> ports;
  const uint32_t threads;
  uint32_t first = 0;
  uint32_t count = 0;
  char* message = nullptr;
  size_t message_bytes = 0;
  Barrier barrier;
  std::mutex mutex;
  std::atomic<uint32_t> status;

  // Keeps the first problem.
  void fail(uint32_t index, uint32_t code, const char* text) {
    std::lock_guard<std::mutex> lock(mutex);
    if (status != sliceflow::STATUS_OK) return;
    status = index << 8 | code;
    if (message_bytes) std::snprintf(message, message_bytes, "%s", text);
  }
};

// Every thread takes its share of each layer; the next layer waits for all.
void work(Run& run, uint32_t self) {
  sliceflow_sim::clear_failure();
  for (uint32_t n = 0; n < run.count; ++n) {
    const uint32_t index = run.first + n;
    const sliceflow::LayerDescriptor whole = sliceflow::read_descriptor(run.ports.program, index);
    uint32_t problem = sliceflow::check_layer<Config>(whole);
    if (problem == sliceflow::STATUS_OK) {
      const sliceflow::LayerDescriptor share =
          run.threads == 1 ? whole : sliceflow_sim::share_of(whole, self, run.threads);
      problem = sliceflow::execute_layer<Config>(share, run.ports);
    }
    if (problem != sliceflow::STATUS_OK) run.fail(index, problem, "");
    if (sliceflow_sim::failure()[0]) run.fail(index, STATUS_SIMULATION, sliceflow_sim::failure());
    if (run.threads > 1) run.barrier.wait();
    const bool failed = run.status != sliceflow::STATUS_OK;
    if (run.threads > 1) run.barrier.wait();  // nobody reports the next layer's problem before all have seen this one's
    if (failed) return;
  }
}

}  // namespace

// Executes descriptors first .. first + count on three memories. Returns 0, or the failing descriptor's index times 256 plus a code;
// `message` then tells about a failed simulation.
extern "C" __attribute__((visibility("default"))) uint32_t sliceflow_csim_run(const void* program, const void* weights,
                                                                              void* activations, uint32_t first,
                                                                              uint32_t count, uint32_t threads,
                                                                              char* message, size_t message_bytes) {
  sliceflow::Word<Config>* words = static_cast<sliceflow::Word<Config>*>(activations);
  const sliceflow::Ports<Config> ports = {static_cast<const sliceflow::Beat*>(program),
                                          static_cast<const sliceflow::Beat*>(weights), words, words, words};
  if (threads == 0) threads = 1;
  if (message_bytes) message[0] = 0;
  Run run(ports, threads);
  run.first = first;
  run.count = count;
  run.message = message;
  run.message_bytes = message_bytes;
  std::vector<std::thread> helpers;
  for (uint32_t k = 1; k < threads; ++k) helpers.emplace_back(work, std::ref(run), k);
  work(run, 0);
  for (std::thread& helper : helpers) helper.join();
  return run.status;
}
