// SPDX-License-Identifier: Apache-2.0
#include "region.h"
#include "clocks.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace sliceflow_sim {
namespace {

constexpr int MAX_PROCESSES = 24;
enum Wait { READY, FOR_DATA, FOR_ROOM, DONE };

struct Process {
  const char* label;
  void (*entry)(void*);
  void* body;
  Wait wait;
  const Channel* channel;
#ifdef SLICEFLOW_CLOCKS
  uint64_t clock;
  uint64_t pipeline;
#endif
};

// A thread simulates one region at a time; its fibers' stacks are kept for the next.
struct Scheduler {
  Process processes[MAX_PROCESSES];
  Fiber fibers[MAX_PROCESSES];
  Fiber main;
  int current = -1;
  bool active = false;
  uint32_t layer = 0;
#ifdef SLICEFLOW_CLOCKS
  uint64_t clock = 0;  // between regions
  uint64_t memory_latency = 0;
  uint64_t* ends = nullptr;
  uint32_t first = 0;
#endif
  char failure[2048] = "";
};

thread_local Scheduler scheduler;

bool can_go_on(const Process& process) {
  switch (process.wait) {
    case READY:
      return true;
    case FOR_DATA:
      return !process.channel->is_empty();
    case FOR_ROOM:
      return !process.channel->is_full();
    default:
      return false;
  }
}

void append_failure(const char* format, ...) {
  char* text = scheduler.failure;
  const size_t used = strlen(text);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text + used, sizeof scheduler.failure - used, format, arguments);
  va_end(arguments);
}

// Body of every fiber.
void run_process(void* argument) {
  Process& process = *static_cast<Process*>(argument);
  process.entry(process.body);
  process.wait = DONE;
  const int self = scheduler.current;
  switch_fiber(scheduler.fibers[self], scheduler.main, true);
}

void block(Wait wait, const Channel* channel) {
  const int self = scheduler.current;
  if (self < 0) {  // not inside a process: nobody could ever help
    append_failure("stream '%s' is used outside a dataflow region in a way that blocks", channel->name());
    abort_simulation(scheduler.failure);
  }
  scheduler.processes[self].wait = wait;
  scheduler.processes[self].channel = channel;
  switch_fiber(scheduler.fibers[self], scheduler.main, false);
}

void report_deadlock(const char* region, int count) {
  append_failure("deadlock in %s:", region);
  for (int k = 0; k < count; ++k) {
    const Process& process = scheduler.processes[k];
    if (process.wait == DONE) continue;
    append_failure("\n  %s waits to %s '%s' (%u of %u elements)", process.label,
                   process.wait == FOR_DATA ? "read" : "write", process.channel->name(), process.channel->used(),
                   process.channel->limit());
  }
}

#ifdef SLICEFLOW_CLOCKS
// Stages of each process' pipeline, from its reads to its writes.
uint64_t pipeline_of(const char* label) {
  static const struct {
    const char* label;
    uint64_t clocks;
  } stages[] = {{"schedule", 12}, {"pad", 12}, {"cvt", 6}, {"mul", 6}, {"add", 4}, {"post", 24}, {"pool", 16}, {"pack", 6}};
  for (const auto& stage : stages) {
    if (!strcmp(stage.label, label)) return stage.clocks;
  }
  return 3;
}

void start_clocks(int count) {
  scheduler.clock += SETUP_CLOCKS + REGION_CLOCKS;
  for (int k = 0; k < count; ++k) {
    Process& process = scheduler.processes[k];
    process.clock = scheduler.clock;
    process.pipeline = pipeline_of(process.label);
  }
}

// A layer ends when its last process does.
void end_clocks(int count) {
  for (int k = 0; k < count; ++k) {
    const Process& process = scheduler.processes[k];
    if (process.clock + process.pipeline > scheduler.clock) scheduler.clock = process.clock + process.pipeline;
  }
  scheduler.clock += REGION_CLOCKS;
  if (scheduler.ends) scheduler.ends[scheduler.layer - scheduler.first] = scheduler.clock;
}
#else
void start_clocks(int) {}
void end_clocks(int) {}
#endif

}  // namespace

#ifdef SLICEFLOW_CLOCKS
uint64_t& clock() { return scheduler.current < 0 ? scheduler.clock : scheduler.processes[scheduler.current].clock; }
uint64_t pipeline() { return scheduler.current < 0 ? 0 : scheduler.processes[scheduler.current].pipeline; }
uint64_t memory_latency() { return scheduler.memory_latency; }
void set_memory_latency(uint64_t clocks) { scheduler.memory_latency = clocks; }
void start_log(uint64_t* ends, uint32_t first) {
  scheduler.clock = 0;
  scheduler.ends = ends;
  scheduler.first = first;
}
#endif

const char* failure() { return scheduler.failure; }
void clear_failure() { scheduler.failure[0] = 0; }
void fail(const char* what) {
  if (!scheduler.failure[0]) append_failure("%s", what);
}
uint32_t layer() { return scheduler.layer; }
void begin_layer(uint32_t index) {
  if (!scheduler.failure[0]) scheduler.layer = index;
}

void Channel::wait_for_data() {
  do block(FOR_DATA, this);
  while (is_empty());
}

void Channel::wait_for_room() {
  do block(FOR_ROOM, this);
  while (is_full());
}

void Channel::report_left_over() const {
  if (!scheduler.failure[0]) append_failure("stream '%s' still holds %u elements at the end", name_, used());
}

void Channel::note(int& owner, const char* verb) {
  if (owner < 0) owner = scheduler.current;
  if (owner != scheduler.current && !scheduler.failure[0]) {
    append_failure("a second process, %s, %s stream '%s'", scheduler.processes[scheduler.current].label, verb, name_);
  }
}

Region::Region(const char* name) : name_(name) {
  if (scheduler.active) abort_simulation("a dataflow region inside a process is not simulated");
  scheduler.active = true;
}

Region::~Region() { scheduler.active = false; }

void Region::add_process(const char* label, void (*entry)(void*), void* body) {
  if (count_ == MAX_PROCESSES) abort_simulation("too many processes in a dataflow region");
  Process& process = scheduler.processes[count_++];
  process.label = label;
  process.entry = entry;
  process.body = body;
  process.wait = READY;
  process.channel = nullptr;
}

void Region::run() {
  if (scheduler.failure[0]) return;
  start_clocks(count_);
  for (int k = 0; k < count_; ++k) scheduler.fibers[k].start(run_process, &scheduler.processes[k]);
  int done = 0;
  for (bool moved = true; moved && done < count_;) {
    moved = false;
    for (int k = 0; k < count_; ++k) {
      Process& process = scheduler.processes[k];
      if (!can_go_on(process)) continue;
      process.wait = READY;
      scheduler.current = k;
      switch_fiber(scheduler.main, scheduler.fibers[k], false);
      scheduler.current = -1;
      moved = true;
      done += process.wait == DONE;
    }
  }
  end_clocks(count_);
  if (done < count_) report_deadlock(name_, count_);
}

}  // namespace sliceflow_sim
