"""cocotb tests of read_weights.sv."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import pytest

from tests.rtl.support.axi_memory import BEAT, Memory, ReadMemory
from tests.rtl.support.streams import Sink, Source, reset, start, until

PORTS = ("address", "run_beats", "group_stride", "group_count", "strip_count")


class _Bench:
    """The reader, its memory, and the beats that it should deliver."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.memory = Memory(random.getrandbits(32))
        self.slave = ReadMemory(dut, self.memory, random, longest=64)
        self.commands = Source(dut, "cmd", PORTS, random)
        self.beats = Sink(dut, "beat", random)
        self.expected: list[int] = []
        dut.abort_i.value = 0

    def send(self, *, run: int, groups: int, strips: int) -> None:
        """Queue a layer."""
        address, stride = random.getrandbits(40) * BEAT, run + random.randint(0, 5)
        self.commands.send(address=address, run_beats=run, group_stride=stride, group_count=groups, strip_count=strips)
        for group in range(groups):
            for _ in range(strips):
                for n in range(run):
                    beat = self.memory.beat(address + (group * stride + n) * BEAT)
                    self.expected.append(int.from_bytes(beat, "little"))

    async def finish(self) -> None:
        await until(
            self.dut,
            lambda: not self.commands.queue and len(self.beats.items) >= len(self.expected),
            what="last beat",
        )
        self.check()

    def check(self) -> None:
        assert self.beats.items == self.expected


@cocotb.test
async def random_layers(dut: Any) -> None:
    """Layers of any shape, some without weights, twice with a reset between."""
    bench = _Bench(dut)
    await start(dut)
    for idle in (0.0, 0.5):
        bench.slave.idle = bench.commands.idle = bench.beats.idle = idle
        bench.slave.latency = random.randint(0, 50)
        for _ in range(12):
            run = random.choice((0, 1, random.randint(1, 30), random.randint(1, 200)))
            bench.send(run=run, groups=random.randint(1, 4), strips=random.randint(1, 3))
        await bench.finish()
        await until(dut, lambda: dut.quiet_o.value == 1, clocks=10)
        await reset(dut)


@cocotb.test
async def beat_each_clock(dut: Any) -> None:
    """A beat a clock at a latency of 100 clocks, across groups, strips and layers."""
    bench = _Bench(dut)
    bench.slave.latency = 100
    await start(dut)
    bench.send(run=2, groups=100, strips=1)
    bench.send(run=9, groups=20, strips=2)
    bench.send(run=0, groups=1, strips=1)
    bench.send(run=300, groups=1, strips=3)
    await bench.finish()
    clocks = bench.beats.clocks[-1] - bench.beats.clocks[0] + 1
    assert clocks <= len(bench.expected) + 3, f"{clocks} clocks for {len(bench.expected)} beats"


@cocotb.test
async def flipped_bit(dut: Any) -> None:
    """One wrong bit in the weights is noticed."""
    bench = _Bench(dut)
    await start(dut)
    bench.send(run=20, groups=2, strips=2)
    at = bench.commands.queue[0]["address"] + random.randrange(20) * BEAT
    bench.memory.write(at, bytes(byte ^ 4 for byte in bench.memory.beat(at)), 1 << random.randrange(BEAT))
    await until(dut, lambda: len(bench.beats.items) == len(bench.expected))
    with pytest.raises(AssertionError):
        bench.check()
    assert sum(got != want for got, want in zip(bench.beats.items, bench.expected, strict=True)) == 2
