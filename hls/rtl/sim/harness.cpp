// SPDX-License-Identifier: Apache-2.0
// The Verilated kernel between a memory and a register master, as a shared library. It knows ports, not programs: the host
// maps buffers, writes registers, and waits, exactly as with a board.
#include <memory>

#include "Vkernel.h"
#include "axi.h"
#include "control.h"
#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
using Trace = VerilatedFstC;
#elif VM_TRACE
#include "verilated_vcd_c.h"
using Trace = VerilatedVcdC;
#endif

#define READ_SIGNALS(m, p)                                                                                       \
  {#p, m.p##_arvalid, m.p##_arready, m.p##_araddr, m.p##_arid, m.p##_arlen, m.p##_arsize, m.p##_arburst,         \
   m.p##_rvalid, m.p##_rready, m.p##_rdata.m_storage, m.p##_rid, m.p##_rresp, m.p##_rlast}
#define WRITE_SIGNALS(m, p)                                                                                      \
  {#p, m.p##_awvalid, m.p##_awready, m.p##_awaddr, m.p##_awid, m.p##_awlen, m.p##_awsize, m.p##_awburst,         \
   m.p##_wvalid, m.p##_wready, m.p##_wdata.m_storage, m.p##_wstrb, m.p##_wlast, m.p##_bvalid, m.p##_bready,      \
   m.p##_bid, m.p##_bresp}
#define CONTROL_SIGNALS(m, p)                                                                                    \
  {m.p##_awvalid, m.p##_awready, m.p##_awaddr, m.p##_wvalid, m.p##_wready, m.p##_wdata, m.p##_wstrb,             \
   m.p##_bvalid, m.p##_bready, m.p##_bresp, m.p##_arvalid, m.p##_arready, m.p##_araddr, m.p##_rvalid,            \
   m.p##_rready, m.p##_rdata, m.p##_rresp}

namespace sliceflow_rtl {
namespace {

constexpr unsigned RESET_CLOCKS = 16;
constexpr unsigned REGISTER_CLOCKS = 100000;  // a register access that takes longer has failed
constexpr uint64_t HALF_CLOCK = 5;            // time units of a trace

class Harness {
 public:
  Harness(const Timing& timing, uint64_t seed)
      : timing_(timing),
        random_(seed),
        control_(CONTROL_SIGNALS(model_, s_axi_control), timing_, random_),
        reads_{{{READ_SIGNALS(model_, m_axi_program), memory, timing_, random_, violation},
                {READ_SIGNALS(model_, m_axi_weights), memory, timing_, random_, violation},
                {READ_SIGNALS(model_, m_axi_in), memory, timing_, random_, violation},
                {READ_SIGNALS(model_, m_axi_add), memory, timing_, random_, violation}}},
        write_(WRITE_SIGNALS(model_, m_axi_out), memory, timing_, random_, violation) {
    reset();
  }
  ~Harness() {
    trace_stop();
    model_.final();
  }

  void reset() {
    model_.ap_rst_n = 0;
    for (unsigned n = 0; n < RESET_CLOCKS; ++n) {
      control_.reset();
      for (ReadPort& port : reads_) port.reset();
      write_.reset();
      edge(false);
      edge(true);
      ++clocks_;
    }
    model_.ap_rst_n = 1;
  }

  void clock() {
    control_.drive();
    for (ReadPort& port : reads_) port.drive(clocks_);
    write_.drive(clocks_);
    edge(false);
    control_.step();
    for (ReadPort& port : reads_) port.step(clocks_);
    write_.step(clocks_);
    edge(true);
    control_.release();
    for (ReadPort& port : reads_) port.release();
    write_.release();
    ++clocks_;
  }

  bool read_register(uint32_t offset, uint32_t* value) {
    control_.begin_read(offset);
    const bool done = finish_access(offset);
    *value = control_.value();
    return done;
  }
  bool write_register(uint32_t offset, uint32_t value) {
    control_.begin_write(offset, value);
    return finish_access(offset);
  }

  // Run until the kernel interrupts, at most so many clocks.
  bool wait(uint64_t limit) {
    const uint8_t& interrupt = model_.__SYM__interrupt;  // a port called `interrupt` in the sources, as Vitis wants it
    for (uint64_t n = 0; n < limit && !interrupt; ++n) clock();
    return interrupt;
  }

  bool trace_start(const char* path) {
#if VM_TRACE
    context_.traceEverOn(true);
    trace_ = std::make_unique<Trace>();
    model_.trace(trace_.get(), 99);
    trace_->open(path);
    return trace_->isOpen();
#else
    (void)path;
    return false;
#endif
  }
  void trace_stop() {
#if VM_TRACE
    if (trace_) trace_->close();
    trace_.reset();
#endif
  }
  uint64_t clocks() const { return clocks_; }

  Memory memory;
  Notes violation;  // the first thing that AXI forbids

 private:
  void edge(bool level) {
    model_.ap_clk = level;
    model_.eval();
#if VM_TRACE
    if (trace_) trace_->dump((2 * clocks_ + level) * HALF_CLOCK);
#endif
  }
  bool finish_access(uint32_t offset) {
    for (unsigned n = 0; control_.busy() && n < REGISTER_CLOCKS; ++n) clock();
    if (control_.busy()) violation.add("s_axi_control does not answer an access of register 0x%x", offset);
    if (control_.refused()) violation.add("s_axi_control answers an access of register 0x%x with an error", offset);
    const bool done = !control_.busy() && !control_.refused();
    if (!done) control_.reset();
    return done;
  }

  VerilatedContext context_;
  Vkernel model_{&context_};
  Timing timing_;
  Random random_;
  ControlPort control_;
  std::array<ReadPort, 4> reads_;
  WritePort write_;
  uint64_t clocks_ = 0;
#if VM_TRACE
  std::unique_ptr<Trace> trace_;
#endif
};

}  // namespace
}  // namespace sliceflow_rtl

#define EXPORT extern "C" __attribute__((visibility("default")))
using sliceflow_rtl::Harness;

EXPORT Harness* sliceflow_rtl_create(uint32_t read_latency, uint32_t write_latency, uint32_t stall, uint64_t seed) {
  return new Harness({read_latency, write_latency, stall}, seed);
}
EXPORT void sliceflow_rtl_destroy(Harness* harness) { delete harness; }
EXPORT void sliceflow_rtl_map(Harness* harness, uint64_t address, uint8_t* data, uint64_t size, int writable) {
  harness->memory.map(address, data, size, writable != 0);
}
EXPORT void sliceflow_rtl_fail(Harness* harness, uint64_t first, uint64_t last, uint32_t response) {
  harness->memory.fail(first, last, static_cast<sliceflow_rtl::Response>(response & 3));
}
EXPORT void sliceflow_rtl_reset(Harness* harness) { harness->reset(); }
EXPORT int sliceflow_rtl_read(Harness* harness, uint32_t offset, uint32_t* value) {
  return harness->read_register(offset, value);
}
EXPORT int sliceflow_rtl_write(Harness* harness, uint32_t offset, uint32_t value) {
  return harness->write_register(offset, value);
}
EXPORT int sliceflow_rtl_wait(Harness* harness, uint64_t clocks) { return harness->wait(clocks); }
EXPORT uint64_t sliceflow_rtl_clocks(Harness* harness) { return harness->clocks(); }
EXPORT int sliceflow_rtl_trace_start(Harness* harness, const char* path) { return harness->trace_start(path); }
EXPORT void sliceflow_rtl_trace_stop(Harness* harness) { harness->trace_stop(); }
// The first access outside the buffers, and the first breach of AXI; empty if there was none.
EXPORT const char* sliceflow_rtl_fault(Harness* harness) { return harness->memory.fault.text.c_str(); }
EXPORT const char* sliceflow_rtl_violation(Harness* harness) { return harness->violation.text.c_str(); }
// Forgets both, before the next launch.
EXPORT void sliceflow_rtl_forget(Harness* harness) {
  harness->memory.fault.text.clear();
  harness->violation.text.clear();
}
