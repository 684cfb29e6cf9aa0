"""cocotb tests of read_addend.sv."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import pytest
from cocotb.triggers import ClockCycles, RisingEdge

from tests.rtl.support.axi_memory import BEAT, Memory, ReadMemory
from tests.rtl.support.streams import Sink, Source, reset, start, until

PORTS = ("address", "plane", "pixels", "outs", "slices")


class _Bench:
    """The reader, its memory, and the pixels that it should deliver."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        cpi = int(dut.CPI.value)
        self.word = cpi * int(dut.ACTIVATION_BITS.value) // 8
        self.ratio = int(dut.CPO.value) // cpi
        self.memory = Memory(random.getrandbits(32))
        self.slave = ReadMemory(dut, self.memory, random, longest=16)
        self.commands = Source(dut, "cmd", PORTS, random)
        self.pixels = Sink(dut, "addend", random)
        self.expected: list[int] = []
        dut.abort_i.value = 0

    def idle(self, idle: float) -> None:
        self.slave.idle = self.commands.idle = self.pixels.idle = idle

    def send(self, *, pixels: int, slices: int, spare: int | None = None) -> None:
        """Queue a strip of a map that has ``spare`` words more."""
        word, outs = self.word, -(-slices // self.ratio)
        plane = (pixels + (random.randint(0, 40) if spare is None else spare)) * word
        address = random.getrandbits(random.choice((16, 40, 57))) * word
        self.commands.send(address=address, plane=plane, pixels=pixels, outs=outs, slices=slices)
        for out in range(outs):
            parts = [out * self.ratio + part for part in range(self.ratio)]
            planes = [self.memory.read(address + n * plane, pixels * word) if n < slices else None for n in parts]
            for n in range(pixels):
                words = [data[n * word :][:word] if data is not None else bytes(word) for data in planes]
                self.expected.append(int.from_bytes(b"".join(words), "little"))

    async def finish(self, clocks: int = 100_000) -> None:
        await until(self.dut, lambda: len(self.pixels.items) >= len(self.expected), clocks=clocks, what="last pixel")
        self.check()
        await ClockCycles(self.dut.clk_i, 30)
        assert len(self.pixels.items) == len(self.expected), "pixels that nobody asked for"
        assert self.dut.quiet_o.value == 1

    def check(self) -> None:
        assert self.pixels.items == self.expected

    def clear(self) -> None:
        self.pixels.clear()
        self.expected.clear()


def _shape(ratio: int) -> dict[str, int]:
    pixels = random.choice((1, 2, random.randint(1, 60), random.randint(1, 400)))
    return {"pixels": pixels, "slices": random.randint(1, 3 * ratio)}


@cocotb.test
async def random_strips(dut: Any) -> None:
    """Strips of any place and size, without a reset between, under idle and back-pressure on every channel."""
    bench = _Bench(dut)
    await start(dut)
    for idle in (0.0, 0.3, 0.7):
        bench.idle(idle)
        bench.slave.latency = random.randint(0, 60)
        for _ in range(8):
            bench.send(**_shape(bench.ratio))
        await bench.finish()
        assert dut.error_o.value == 0
        bench.clear()


@cocotb.test
async def pixel_each_clock(dut: Any) -> None:
    """A pixel a clock at a latency of 100 clocks, also from strip to strip."""
    bench = _Bench(dut)
    bench.slave.latency = 100
    await start(dut)
    for _ in range(4):
        bench.send(pixels=1000, slices=bench.ratio)
    await bench.finish()
    clocks = bench.pixels.clocks[-1] - bench.pixels.clocks[0] + 1
    beats = sum(length for _, length in bench.slave.bursts)
    assert clocks <= max(len(bench.expected), beats) * 1.03, f"{clocks} clocks, {len(bench.expected)} pixels"
    assert len(bench.slave.bursts) <= beats / min(16, 64 // bench.ratio) + 8 * bench.ratio


@cocotb.test
async def nothing_to_read(dut: Any) -> None:
    """A strip without pixels is taken and forgotten."""
    bench = _Bench(dut)
    await start(dut)
    bench.send(pixels=0, slices=1)
    bench.send(pixels=5, slices=bench.ratio)
    bench.send(pixels=0, slices=1)
    await bench.finish()


@cocotb.test
async def stalled_reader(dut: Any) -> None:
    """Nobody takes pixels for a while: no deadlock between the parts."""
    bench = _Bench(dut)
    await start(dut)
    for spare in (0, 1, 7, 31):
        bench.send(pixels=600, slices=2 * bench.ratio, spare=spare)
    for _ in range(10):
        bench.pixels.idle = random.choice((1.0, 0.0, 0.9))
        await ClockCycles(dut.clk_i, 300)
    bench.pixels.idle = 0.0
    await bench.finish()


@cocotb.test
async def abort_and_reset(dut: Any) -> None:
    """An abort in the middle of a strip ends in quiet; a reset makes it work again."""
    bench = _Bench(dut)
    bench.idle(0.3)
    bench.slave.latency = 20
    await start(dut)
    for _ in range(6):
        bench.send(pixels=500, slices=2 * bench.ratio)
        await ClockCycles(dut.clk_i, random.randint(1, 300))
        dut.abort_i.value = 1
        await RisingEdge(dut.clk_i)
        await until(dut, lambda: dut.quiet_o.value == 1, clocks=3000, what="quiet")
        assert bench.slave.open == 0
        bench.commands.clear()
        await reset(dut)
        dut.abort_i.value = 0
        bench.clear()
        bench.send(**_shape(bench.ratio))
        await bench.finish()
        bench.clear()


@cocotb.test
async def error_response(dut: Any) -> None:
    """Every beat with an error response is told."""
    bench = _Bench(dut)
    await start(dut)
    bench.send(pixels=40, slices=1, spare=0)
    at = bench.commands.queue[0]["address"] // BEAT
    bench.slave.errors = {at}
    pulses = 0
    for _ in range(300):
        await RisingEdge(dut.clk_i)
        pulses += int(dut.error_o.value)
    assert pulses == 1


@cocotb.test
async def flipped_bit(dut: Any) -> None:
    """One wrong bit in memory is noticed."""
    bench = _Bench(dut)
    await start(dut)
    bench.send(pixels=30, slices=1)
    at = bench.commands.queue[0]["address"] + random.randrange(30 * bench.word)
    beat = bytearray(bench.memory.beat(at))
    beat[at % BEAT] ^= 1 << random.randrange(8)
    bench.memory.beats[at // BEAT] = bytes(beat)
    await until(dut, lambda: len(bench.pixels.items) == 30)
    with pytest.raises(AssertionError):
        bench.check()
