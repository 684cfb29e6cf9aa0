"""cocotb tests of the counter in test_simulation.py, which tries out the runner itself."""

from __future__ import annotations

import os

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Timer


@cocotb.test()
async def counts(dut) -> None:
    cocotb.start_soon(Clock(dut.clk_i, 10, "ns").start())
    dut.rst_i.value = 1
    await ClockCycles(dut.clk_i, 3)
    dut.rst_i.value = 0
    await ClockCycles(dut.clk_i, 11)
    count = int(dut.count_o.value)
    assert count == int(os.environ["EXPECTED"]), f"counted {count}"


@cocotb.test()
async def waits_for_ever(dut) -> None:
    cocotb.start_soon(Clock(dut.clk_i, 10, "ns").start())
    await Timer(10**9, "ms")
