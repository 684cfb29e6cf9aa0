"""cocotb tests of write.sv."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import cocotb
import pytest
from cocotb.triggers import ClockCycles, RisingEdge

from tests.rtl.support.axi_memory import BEAT, Memory, WriteMemory
from tests.rtl.support.streams import Source, reset, start, until

PORTS = ("address", "plane", "rows", "width", "row", "repeat_y", "repeat_x", "outs", "slices")


@dataclasses.dataclass
class _Strip:
    """One command, and the pixels that belong to it."""

    command: dict[str, int]
    pixels: list[bytes]


class _Bench:
    """The writer, its memory, and what the memory should hold."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.cpi, self.cpo = int(dut.CPI.value), int(dut.CPO.value)
        self.word = self.cpi * int(dut.ACTIVATION_BITS.value) // 8
        self.ratio = self.cpo // self.cpi
        self.memory = Memory(random.getrandbits(32))
        self.slave = WriteMemory(dut, self.memory, random, longest=16)
        self.commands = Source(dut, "cmd", PORTS, random)
        self.pixels = Source(dut, "pixel", ("data",), random)
        self.expected: dict[int, int] = {}
        dut.abort_i.value = 0

    def idle(self, idle: float) -> None:
        self.slave.idle = self.commands.idle = self.pixels.idle = idle

    def strip(self, *, rows: int, width: int, repeat: tuple[int, int] = (1, 1), slices: int = 1) -> _Strip:
        """A strip at a random place of a map that has a few rows more."""
        repeat_y, repeat_x = repeat
        row = width * repeat_x * self.word
        plane = row * (rows * repeat_y + random.randint(0, 3))
        outs = -(-slices // self.ratio)
        span = plane * slices
        address = random.getrandbits(random.choice((16, 40, 57))) * self.word
        while any(at in self.expected for at in range(address, address + span, self.word)):
            address += span
        command = {
            "address": address,
            "plane": plane,
            "rows": rows,
            "width": width,
            "row": row,
            "repeat_y": repeat_y,
            "repeat_x": repeat_x,
            "outs": outs,
            "slices": slices,
        }
        return _Strip(command, [random.randbytes(self.word * self.ratio) for _ in range(outs * rows * width)])

    def send(self, strip: _Strip) -> int:
        """Queue a strip, and note what it should write, word by word as docs/program.md says. Returns its copies."""
        c, word, copies = strip.command, self.word, 0
        self.commands.send(**c)
        pixels = iter(strip.pixels)
        for out in range(c["outs"]):
            for y in range(c["rows"]):
                for x in range(c["width"]):
                    pixel = next(pixels)
                    for dy in range(c["repeat_y"]):
                        for dx in range(c["repeat_x"]):
                            self.pixels.send(data=int.from_bytes(pixel, "little"))
                            copies += 1
                            place = (y * c["repeat_y"] + dy) * c["row"] + (x * c["repeat_x"] + dx) * word
                            for part in range(min(self.ratio, c["slices"] - out * self.ratio)):
                                slice_ = out * self.ratio + part
                                at = c["address"] + slice_ * c["plane"] + place
                                for n in range(word):
                                    self.expected[at + n] = pixel[part * word + n]
        return copies

    async def idle_again(self, clocks: int = 200_000) -> int:
        """Wait until everything is in memory."""
        dut = self.dut
        # A command is taken some clocks after it was queued.
        taken = await until(
            dut, lambda: not self.commands.queue and not self.pixels.queue, clocks=clocks, what="intake"
        )
        await ClockCycles(dut.clk_i, 2)
        return taken + await until(dut, lambda: dut.idle_o.value == 1, clocks=clocks, what="idle")

    def check(self) -> None:
        """Every byte is written once, with its value, and no other one is."""
        assert self.slave.open == 0
        assert set(self.slave.written) == set(self.expected)
        assert set(self.slave.written.values()) <= {1}
        for at, value in self.expected.items():
            assert self.memory.read(at, 1)[0] == value, f"byte {at:#x}"


def _shape(bench: _Bench) -> dict[str, Any]:
    """A random small shape: single pixels, small and odd maps, upsampled ones, missing slices."""
    kind = random.choice(("pixel", "small", "wide", "upsample"))
    slices = random.randint(1, 3 * bench.ratio)
    if kind == "pixel":
        return {"rows": 1, "width": 1, "slices": slices}
    if kind == "upsample":
        repeat = (random.randint(1, 3), random.randint(1, 3))
        return {"rows": random.randint(1, 3), "width": random.randint(1, 9), "repeat": repeat, "slices": slices}
    if kind == "small":
        return {"rows": random.randint(1, 7), "width": random.randint(1, 9), "slices": slices}
    return {"rows": random.randint(1, 3), "width": random.randint(20, 200), "slices": random.randint(1, bench.ratio)}


@cocotb.test
async def random_strips(dut: Any) -> None:
    """Strips of any place and shape, without a reset between, under idle and back-pressure on every channel."""
    bench = _Bench(dut)
    await start(dut)
    for idle in (0.0, 0.3, 0.7):
        bench.idle(idle)
        bench.slave.latency = random.randint(0, 60)
        for _ in range(8):
            bench.send(bench.strip(**_shape(bench)))
        await bench.idle_again()
        bench.check()
        assert dut.quiet_o.value == 1
    assert max(length for _, length in bench.slave.bursts) <= 16


@cocotb.test
async def nothing_comes(dut: Any) -> None:
    """A strip without rows is taken and forgotten."""
    bench = _Bench(dut)
    await start(dut)
    empty = bench.strip(rows=1, width=4)
    empty.command["rows"] = 0
    empty.pixels = []
    for strip in (empty, bench.strip(rows=2, width=3), empty):
        bench.send(strip)
    await bench.idle_again()
    bench.check()


@cocotb.test
async def pixel_each_clock(dut: Any) -> None:
    """A pixel a clock in large and in small maps; a beat a clock where that is more."""
    bench = _Bench(dut)
    bench.slave.latency = 100
    await start(dut)
    full = bench.ratio
    for shape in (
        {"rows": 8, "width": 97, "slices": 2 * full},
        {"rows": 1, "width": 1, "slices": 300 * full},
        {"rows": 7, "width": 7, "slices": 20 * full},
    ):
        bench.slave.bursts.clear()
        copies = bench.send(bench.strip(**shape))
        clocks = await bench.idle_again()
        beats = sum(length for _, length in bench.slave.bursts)
        # At the end, up to 64 beats wait for their turn, and the last response for its latency.
        assert clocks <= max(copies, beats) + 64 + bench.slave.latency + 20, f"{shape}: {clocks} clocks"
        assert beats <= 1.25 * max(copies, 300 * full), f"{shape}: {beats} beats"
    bench.check()


@cocotb.test
async def abort_and_reset(dut: Any) -> None:
    """After abort, announced bursts are finished and no further one comes; a reset makes it work again."""
    bench = _Bench(dut)
    await start(dut)
    for _ in range(6):
        bench.idle(0.4)
        bench.slave.latency = 20
        bench.send(bench.strip(rows=3, width=150, slices=2 * bench.ratio))
        await ClockCycles(dut.clk_i, random.randint(1, 400))
        dut.abort_i.value = 1
        await RisingEdge(dut.clk_i)
        taken, offered = len(bench.slave.bursts), int(dut.awvalid_o.value)
        await until(dut, lambda: dut.quiet_o.value == 1, clocks=3000, what="quiet")
        await ClockCycles(dut.clk_i, 50)
        assert bench.slave.open == 0
        assert len(bench.slave.bursts) <= taken + 1 + offered
        assert dut.awvalid_o.value == 0
        assert dut.wvalid_o.value == 0
        assert bench.slave.written.items() <= {at: 1 for at in bench.expected}.items()
        bench.commands.clear()
        bench.pixels.clear()
        await reset(dut)
        dut.abort_i.value = 0
        bench.expected.clear()
        bench.slave.written.clear()
        bench.send(bench.strip(**_shape(bench)))
        await bench.idle_again()
        bench.check()
        bench.expected.clear()
        bench.slave.written.clear()


@cocotb.test
async def error_response(dut: Any) -> None:
    """An error response is told, in a pulse for each burst; none without one."""
    bench = _Bench(dut)
    await start(dut)
    strip = bench.strip(rows=2, width=300)
    bench.slave.errors = {strip.command["address"] // BEAT}
    bench.send(strip)
    pulses = 0
    for _ in range(1500):
        await RisingEdge(dut.clk_i)
        pulses += int(dut.error_o.value)
    assert pulses == 1
    assert dut.idle_o.value == 1


@cocotb.test
async def flipped_bit(dut: Any) -> None:
    """One wrong bit in a pixel is noticed."""
    bench = _Bench(dut)
    await start(dut)
    bench.send(bench.strip(rows=2, width=9, slices=bench.ratio))
    item = bench.pixels.queue[7]
    bench.pixels.queue[7] = {"data": item["data"] ^ 1 << random.randrange(8 * bench.word)}
    await bench.idle_again()
    with pytest.raises(AssertionError, match="byte"):
        bench.check()
