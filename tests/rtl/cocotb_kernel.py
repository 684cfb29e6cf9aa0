"""cocotb tests of the whole kernel: programs, parts of them, and how they are launched."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles

from sliceflow.devices import registers
from tests.rtl.support.kernel_bench import DONE, IDLE, START, KernelBench, Loaded
from tests.rtl.support.kernel_cases import divisible, parts, small_program

WEATHER = ((0.0, 0), (0.3, 20), (0.7, 100), (0.05, 300))
"""Probability of an idle clock on each channel, and longest latency."""


async def started(dut: Any) -> KernelBench:
    """A bench whose seed is cocotb's."""
    bench = KernelBench(dut, random.Random(random.getrandbits(64)))
    await bench.reset()
    return bench


def change_weather(bench: KernelBench) -> None:
    bench.behaviour.idle, bench.behaviour.latency = bench.rng.choice(WEATHER)


async def run(bench: KernelBench, loaded: Loaded, **how: Any) -> None:
    """Launch a whole program, which must end well and leave what the reference leaves."""
    before = bytes(loaded.activations)
    expected = loaded.expected()
    assert await bench.launch(loaded, **how) == 0, loaded.case.describe()
    bench.check(loaded, expected)
    assert expected != before, f"the program does nothing\n{loaded.case.describe()}"


@cocotb.test
async def programs(dut: Any) -> None:
    """Several programs one after the other, under all kinds of memory, with interrupt and without."""
    bench = await started(dut)
    for number, (bench.behaviour.idle, bench.behaviour.latency) in enumerate(WEATHER):
        loaded = bench.load(small_program(bench.rng))
        dut._log.info("%s\n%s", bench.behaviour, loaded.case.describe())
        await run(bench, loaded, interrupt=bool(number % 2))


@cocotb.test
async def parts_of_a_list(dut: Any) -> None:
    """Launches of some of the descriptors do those, and nothing else."""
    bench = await started(dut)
    for _ in range(2):
        change_weather(bench)
        loaded = bench.load(small_program(bench.rng, layers=4))
        total = len(loaded.case.descriptors)
        for first, count in ((1, 2), (3, 1), (0, 0), (0, 1), (total, 0)):
            expected = loaded.expected(loaded.case.descriptors[first : first + count])
            assert await bench.launch(loaded, first, count) == 0
            bench.check(loaded, expected)


@cocotb.test
async def parts_of_layers(dut: Any) -> None:
    """Groups, strips and output groups of a layer, in any order, make the whole."""
    bench = await started(dut)
    for _ in range(3):
        change_weather(bench)
        whole = small_program(bench.rng, layers=1, limit=2000, wanted=divisible)
        case, first = parts(whole, bench.rng)
        loaded = bench.load(case, first)
        expected = loaded.expected(whole.descriptors)
        assert await bench.launch(loaded, interrupt=True) == 0
        bench.check(loaded, expected)


@cocotb.test
async def auto_restart(dut: Any) -> None:
    """With auto_restart the program runs again and again until the bit is cleared."""
    bench = await started(dut)
    bench.behaviour.idle = 0.1
    loaded = bench.load(small_program(bench.rng, layers=2, limit=2500))
    begin, layers = bytearray(loaded.activations), loaded.case.descriptors
    await bench.begin(loaded, 0, len(layers), restart=True)
    runs = 0
    for _ in range(10_000):
        control = await bench.read(registers.CONTROL)
        runs += bool(control & DONE)
        if runs == 3 and control & DONE:
            await bench.write(registers.CONTROL, 0)
        if control & (IDLE | START) == IDLE:
            break
    assert runs == 4, f"{runs} runs"  # one had begun when the bit was cleared
    bench.check(loaded, dataclasses.replace(loaded, activations=begin).expected(layers * runs))
    await ClockCycles(dut.ap_clk, 1000)
    assert await bench.read(registers.CONTROL) & (IDLE | START | DONE) == IDLE
    bench.behaviour.idle = 0.0
    await run(bench, bench.load(small_program(bench.rng)))
