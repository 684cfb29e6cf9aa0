"""cocotb tests of read_port.sv, and of read_weights.sv, which is one with a sequence of runs before it."""

from __future__ import annotations

import itertools
import random
from typing import Any

import cocotb
import pytest
from cocotb.triggers import ClockCycles, RisingEdge

from tests.rtl.support.axi_memory import BEAT, Memory, ReadMemory
from tests.rtl.support.streams import Sink, Source, reset, start, until

PORTS = ("address", "beats")


def _parts(dut: Any, idle: float, *, latency: int = 0) -> tuple[Memory, ReadMemory, Source, Sink]:
    memory = Memory(random.getrandbits(32))
    slave = ReadMemory(dut, memory, random, longest=int(dut.BURST.value), latency=latency)
    slave.idle = idle
    dut.abort_i.value = 0
    return memory, slave, Source(dut, "cmd", PORTS, random, idle), Sink(dut, "beat", random, idle)


def _expected(memory: Memory, runs: list[tuple[int, int]]) -> list[int]:
    return [int.from_bytes(memory.beat(address + n * BEAT), "little") for address, count in runs for n in range(count)]


def _bursts(runs: list[tuple[int, int]], longest: int) -> list[tuple[int, int]]:
    """The runs, cut at multiples of the longest burst."""
    bursts = []
    for address, beats in runs:
        first, end = address // BEAT, address // BEAT + beats
        cuts = [first, *range(first - first % longest + longest, end, longest), end]
        bursts += [(a * BEAT, b - a) for a, b in itertools.pairwise(cuts)]
    return bursts


def _runs(count: int, longest: int) -> list[tuple[int, int]]:
    """Random runs: short and long ones, at addresses of all 64 bits."""
    runs = []
    for _ in range(count):
        beats = random.choice((1, 2, random.randint(1, 20), random.randint(1, longest)))
        runs.append((random.getrandbits(random.choice((12, 20, 57))) * BEAT, beats))
    return runs


@cocotb.test
async def random_runs(dut: Any) -> None:
    """Runs of any place and length, without a reset between, under idle and back-pressure on every channel."""
    memory, slave, source, sink = _parts(dut, 0.0)
    await start(dut)
    for idle in (0.0, 0.3, 0.7):
        slave.idle = source.idle = sink.idle = idle
        slave.latency = random.randint(0, 40)
        sink.clear()
        slave.bursts.clear()
        runs = _runs(25, 90)
        for address, beats in runs:
            source.send(address=address, beats=beats)
        expected = _expected(memory, runs)
        await until(dut, lambda expected=expected: len(sink.items) == len(expected), what="end of the runs")
        assert sink.items == expected
        assert slave.bursts == _bursts(runs, int(dut.BURST.value))
        assert dut.quiet_o.value == 1
        assert dut.error_o.value == 0


@cocotb.test
async def beat_each_clock(dut: Any) -> None:
    """A beat a clock at a latency of 100 clocks (less if DEPTH is small), also across runs and commands."""
    depth, burst = int(dut.DEPTH.value), int(dut.BURST.value)
    memory, _, source, sink = _parts(dut, 0.0, latency=min(100, depth - burst - 20))
    await start(dut)
    runs = [(n * 4096 + random.randrange(64) * BEAT, random.randint(burst, 3 * burst)) for n in range(12)]
    runs += [((100 + n) * 4096, 1) for n in range(60)]
    for address, beats in runs:
        source.send(address=address, beats=beats)
    expected = _expected(memory, runs)
    await until(dut, lambda: len(sink.items) == len(expected), what="end of the runs")
    assert sink.items == expected
    clocks = sink.clocks[-1] - sink.clocks[0] + 1
    assert clocks <= len(expected) + 2, f"{clocks} clocks for {len(expected)} beats"


@cocotb.test
async def never_more_than_it_has_room_for(dut: Any) -> None:
    """If nobody takes beats, it asks for at most DEPTH, and goes on afterwards."""
    memory, slave, source, sink = _parts(dut, 0.0)
    sink.idle = 1.0
    await start(dut)
    runs = [(0, 3 * int(dut.DEPTH.value)), (1 << 40, 5)]
    for address, beats in runs:
        source.send(address=address, beats=beats)
    await ClockCycles(dut.clk_i, 4 * int(dut.DEPTH.value))
    assert sum(length for _, length in slave.bursts) <= int(dut.DEPTH.value)
    sink.idle = 0.2
    expected = _expected(memory, runs)
    await until(dut, lambda: len(sink.items) == len(expected))
    assert sink.items == expected


@cocotb.test
async def abort_and_reset(dut: Any) -> None:
    """After abort no burst follows but the one on offer; what arrives is thrown away; a reset makes it work again."""
    memory, slave, source, sink = _parts(dut, 0.3, latency=30)
    await start(dut)
    for _ in range(8):
        sink.clear()
        slave.sent = 0
        source.send(address=random.getrandbits(30) * BEAT, beats=200)
        await ClockCycles(dut.clk_i, random.randint(1, 150))
        dut.abort_i.value = 1
        await RisingEdge(dut.clk_i)
        taken, offered, sent = len(slave.bursts), int(dut.arvalid_o.value), slave.sent
        await until(dut, lambda: dut.quiet_o.value == 1, clocks=2000, what="quiet")
        assert slave.open == 0
        assert len(slave.bursts) <= taken + 1 + offered
        assert dut.arvalid_o.value == 0
        await ClockCycles(dut.clk_i, 2 * int(dut.DEPTH.value))
        assert dut.quiet_o.value == 1
        assert len(sink.items) <= sent, "beats that came after the abort were not thrown away"
        source.clear()
        await reset(dut)
        dut.abort_i.value = 0
        sink.clear()
        runs = _runs(3, 30)
        for address, beats in runs:
            source.send(address=address, beats=beats)
        expected = _expected(memory, runs)
        await until(dut, lambda expected=expected: len(sink.items) == len(expected))
        assert sink.items == expected
        await until(dut, lambda: dut.quiet_o.value == 1, clocks=10)


@cocotb.test
async def error_response(dut: Any) -> None:
    """An error response is told, in a pulse for each beat; none without one."""
    _, slave, source, _ = _parts(dut, 0.2)
    await start(dut)
    pulses = 0
    slave.errors = {105, 131, 132}
    source.send(address=100 * BEAT, beats=40)
    for _ in range(400):
        await RisingEdge(dut.clk_i)
        pulses += int(dut.error_o.value)
    assert pulses == 3


@cocotb.test
async def flipped_bit(dut: Any) -> None:
    """One wrong bit in memory is noticed."""
    memory, _, source, sink = _parts(dut, 0.1)
    await start(dut)
    source.send(address=0x1000, beats=20)
    expected = _expected(memory, [(0x1000, 20)])
    at = 0x1000 // BEAT + 7
    flipped = bytearray(memory.beat(at * BEAT))
    flipped[random.randrange(BEAT)] ^= 1 << random.randrange(8)
    memory.beats[at] = bytes(flipped)
    await until(dut, lambda: len(sink.items) == 20)
    with pytest.raises(AssertionError):
        assert sink.items == expected
    assert sum(got != want for got, want in zip(sink.items, expected, strict=True)) == 1
