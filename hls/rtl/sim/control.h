// SPDX-License-Identifier: Apache-2.0
// The host's side of the kernel's AXI4-Lite port: one register access at a time, as a processor makes them.
#pragma once

#include "memory.h"

namespace sliceflow_rtl {

struct ControlSignals {
  uint8_t& awvalid;
  uint8_t& awready;
  uint16_t& awaddr;
  uint8_t& wvalid;
  uint8_t& wready;
  uint32_t& wdata;
  uint8_t& wstrb;
  uint8_t& bvalid;
  uint8_t& bready;
  uint8_t& bresp;
  uint8_t& arvalid;
  uint8_t& arready;
  uint16_t& araddr;
  uint8_t& rvalid;
  uint8_t& rready;
  uint32_t& rdata;
  uint8_t& rresp;
};

class ControlPort {
 public:
  ControlPort(const ControlSignals& signals, const Timing& timing, Random& random)
      : pins_(signals), timing_(timing), random_(random) {
    pins_.wstrb = 0xF;
    reset();
  }

  void begin_write(uint32_t offset, uint32_t value) {
    pins_.awaddr = static_cast<uint16_t>(offset);
    pins_.wdata = value;
    to_send_address_ = to_send_data_ = true;
    busy_ = true;
  }
  void begin_read(uint32_t offset) {
    pins_.araddr = static_cast<uint16_t>(offset);
    to_send_read_ = true;
    busy_ = true;
  }
  bool busy() const { return busy_; }
  uint32_t value() const { return value_; }
  bool refused() const { return refused_; }

  void drive() {
    // Once offered, a channel stays; with random idle clocks the address and the data of a write come in any order.
    if (to_send_address_ && !random_.chance(timing_.stall)) pins_.awvalid = 1;
    if (to_send_data_ && !random_.chance(timing_.stall)) pins_.wvalid = 1;
    if (to_send_read_ && !random_.chance(timing_.stall)) pins_.arvalid = 1;
    pins_.bready = !random_.chance(timing_.stall);
    pins_.rready = !random_.chance(timing_.stall);
  }
  void step() {
    address_taken_ = pins_.awvalid && pins_.awready;
    data_taken_ = pins_.wvalid && pins_.wready;
    read_taken_ = pins_.arvalid && pins_.arready;
    const bool written = pins_.bvalid && pins_.bready, read = pins_.rvalid && pins_.rready;
    if (read) value_ = pins_.rdata;
    if (written || read) {
      refused_ = (written ? pins_.bresp : pins_.rresp) != OKAY;
      busy_ = false;
    }
  }
  void release() {
    if (address_taken_) pins_.awvalid = to_send_address_ = false;
    if (data_taken_) pins_.wvalid = to_send_data_ = false;
    if (read_taken_) pins_.arvalid = to_send_read_ = false;
  }
  void reset() {
    pins_.awvalid = pins_.wvalid = pins_.arvalid = pins_.bready = pins_.rready = 0;
    to_send_address_ = to_send_data_ = to_send_read_ = busy_ = refused_ = false;
  }

 private:
  ControlSignals pins_;
  const Timing& timing_;
  Random& random_;
  bool to_send_address_ = false, to_send_data_ = false, to_send_read_ = false, busy_ = false, refused_ = false;
  bool address_taken_ = false, data_taken_ = false, read_taken_ = false;
  uint32_t value_ = 0;
};

}  // namespace sliceflow_rtl
