// SPDX-License-Identifier: Apache-2.0
#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#define SLICEFLOW_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLICEFLOW_ASAN 1
#endif
#endif
#ifdef SLICEFLOW_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(SLICEFLOW_FIBER_UCONTEXT) && !(defined(__ELF__) && (defined(__x86_64__) || defined(__aarch64__)))
#define SLICEFLOW_FIBER_UCONTEXT
#endif
#ifdef SLICEFLOW_FIBER_UCONTEXT
#include <ucontext.h>
#endif

namespace sliceflow_sim {

void abort_simulation(const char* message) {
  fprintf(stderr, "sliceflow simulation: %s\n", message);
  abort();
}

void fiber_main(Fiber* self);

#ifndef SLICEFLOW_FIBER_UCONTEXT

// Saves the registers that a call preserves on the current stack, stores the stack pointer in *save, and takes all of them
// from `load`. Floating-point control words are never changed by the kernel.
extern "C" void sliceflow_switch_stack(void** save, void* load);
extern "C" void sliceflow_enter_fiber();
extern "C" __attribute__((used, visibility("hidden"))) void sliceflow_fiber_main(Fiber* self) { fiber_main(self); }

#if defined(__x86_64__)
asm(R"(
.text
.p2align 4
.hidden sliceflow_switch_stack
.globl sliceflow_switch_stack
.type sliceflow_switch_stack, @function
sliceflow_switch_stack:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size sliceflow_switch_stack, .-sliceflow_switch_stack
.p2align 4
.hidden sliceflow_enter_fiber
.globl sliceflow_enter_fiber
.type sliceflow_enter_fiber, @function
sliceflow_enter_fiber:
  mov %r12, %rdi
  xor %ebp, %ebp
  call sliceflow_fiber_main
  ud2
.size sliceflow_enter_fiber, .-sliceflow_enter_fiber
)");
constexpr int SAVED = 7;      // six registers and the return address
constexpr int ARGUMENT = 3;   // place of r12
constexpr int CONTINUE = 6;   // place of the return address
constexpr int FRAME = 9;      // words; leaves the stack aligned to 16 bytes at the call
#else
asm(R"(
.text
.p2align 4
.hidden sliceflow_switch_stack
.globl sliceflow_switch_stack
.type sliceflow_switch_stack, %function
sliceflow_switch_stack:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size sliceflow_switch_stack, .-sliceflow_switch_stack
.p2align 4
.hidden sliceflow_enter_fiber
.globl sliceflow_enter_fiber
.type sliceflow_enter_fiber, %function
sliceflow_enter_fiber:
  mov x0, x19
  mov x29, xzr
  bl sliceflow_fiber_main
  brk #1
.size sliceflow_enter_fiber, .-sliceflow_enter_fiber
)");
constexpr int SAVED = 20;
constexpr int ARGUMENT = 0;   // x19
constexpr int CONTINUE = 11;  // x30
constexpr int FRAME = 20;
#endif

void Fiber::start(void (*entry)(void*), void* argument) {
  allocate();
  entry_ = entry;
  argument_ = argument;
  uintptr_t* frame = reinterpret_cast<uintptr_t*>(memory_ + size_) - FRAME;
  for (int k = 0; k < SAVED; ++k) frame[k] = 0;
  frame[ARGUMENT] = reinterpret_cast<uintptr_t>(this);
  frame[CONTINUE] = reinterpret_cast<uintptr_t>(&sliceflow_enter_fiber);
  context_ = frame;
}

static void switch_context(void*& from, void*& to) { sliceflow_switch_stack(&from, to); }

#else  // ucontext: slow (it saves the signal mask), but everywhere

static void enter_ucontext(unsigned low, unsigned high) {
  fiber_main(reinterpret_cast<Fiber*>(static_cast<uintptr_t>(low) | static_cast<uintptr_t>(high) << 16 << 16));
}

void Fiber::start(void (*entry)(void*), void* argument) {
  allocate();
  entry_ = entry;
  argument_ = argument;
  if (!context_) context_ = new ucontext_t;
  ucontext_t* context = static_cast<ucontext_t*>(context_);
  getcontext(context);
  context->uc_stack.ss_sp = memory_;
  context->uc_stack.ss_size = size_;
  context->uc_link = nullptr;
  const uintptr_t self = reinterpret_cast<uintptr_t>(this);
  makecontext(context, reinterpret_cast<void (*)()>(enter_ucontext), 2, static_cast<unsigned>(self),
              static_cast<unsigned>(self >> 16 >> 16));
}

static void switch_context(void*& from, void*& to) {
  if (!from) from = new ucontext_t;
  swapcontext(static_cast<ucontext_t*>(from), static_cast<ucontext_t*>(to));
}

#endif

constexpr size_t STACK_BYTES = size_t(2) << 20;  // address space; pages are used as they are touched

void Fiber::allocate() {
  if (memory_) return;
  const size_t guard = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  size_ = STACK_BYTES + guard;
  void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) abort_simulation("no memory for the stack of a process");
  mprotect(memory, guard, PROT_NONE);
  memory_ = static_cast<unsigned char*>(memory);
  bottom_ = memory_;
  length_ = size_;
}

Fiber::~Fiber() {
  if (memory_) munmap(memory_, size_);
#ifdef SLICEFLOW_FIBER_UCONTEXT
  delete static_cast<ucontext_t*>(context_);
#endif
}

#ifdef SLICEFLOW_ASAN
static thread_local Fiber* left;  // the fiber that switched last
#endif

void switch_fiber(Fiber& from, Fiber& to, bool from_is_done) {
#ifdef SLICEFLOW_ASAN
  left = &from;
  __sanitizer_start_switch_fiber(from_is_done ? nullptr : &from.shadow_, to.bottom_, to.length_);
  switch_context(from.context_, to.context_);
  __sanitizer_finish_switch_fiber(from.shadow_, &left->bottom_, &left->length_);
#else
  (void)from_is_done;
  switch_context(from.context_, to.context_);
#endif
}

// First code on a fiber's stack.
void fiber_main(Fiber* self) {
#ifdef SLICEFLOW_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &left->bottom_, &left->length_);
#endif
  self->entry_(self->argument_);
  abort_simulation("a process returned from its fiber");
}

}  // namespace sliceflow_sim
