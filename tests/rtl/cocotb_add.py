"""cocotb tests of add.sv (add_streams.sv): the accumulators of a strip."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge

from tests.rtl.support.packed import pack
from tests.rtl.support.streams import Sink, Source, reset, start

_SPACING = 3
"""Least clocks between two passes' first frames, which cvt keeps."""
_MASK = (1 << 32) - 1


class _Bench:
    """Passes of partial sums in, sums out; keeps to the credits and to the spacing as cvt does."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.lanes, self.width = int(dut.CPO.value), int(dut.PARTIAL.value)
        self.biases = Source(dut, "bias", ("data",), random)
        self.sums = Sink(dut, "sums", random)
        self.expected: list[int] = []
        self.credits = int(dut.CREDITS.value)
        self.since = _SPACING
        self.idle = 0.0
        dut.frame_valid_i.value = dut.take_bias_i.value = 0

    def _pack(self, values: list[int], bits: int) -> int:
        return sum((value & ((1 << bits) - 1)) << bits * lane for lane, value in enumerate(values))

    async def clock(self) -> None:
        self.credits += int(self.dut.credit_o.value)
        await FallingEdge(self.dut.clk_i)
        self.since += 1

    async def group(self, pixels: int, passes: int) -> None:
        """An output group: its bias, and every pass over a strip's pixels."""
        bias = [random.getrandbits(32) for _ in range(self.lanes)]
        self.biases.send(data=self._pack(bias, 32))
        totals = [list(bias) for _ in range(pixels)]
        for number in range(passes):
            for pixel, total in enumerate(totals):
                flags = {
                    "first_frame": pixel == 0,
                    "last_frame": pixel == pixels - 1,
                    "first_pass": number == 0,
                    "last_pass": number == passes - 1,
                    "last_of_strip": random.getrandbits(1),
                }
                partial = self._partial()
                total[:] = [(one + other) & _MASK for one, other in zip(total, partial, strict=True)]
                if flags["last_pass"]:
                    ends = int(flags["first_frame"]) << 1 | int(flags["last_frame"])
                    self.expected.append(ends << 32 * self.lanes | self._pack(total, 32))
                await self._frame(flags, partial)

    def _partial(self) -> list[int]:
        """Any values; often the largest, so that accumulators wrap."""
        limit = 1 << (self.width - 1)
        if random.random() < 0.3:
            return [random.choice((-limit, limit - 1)) for _ in range(self.lanes)]
        return [random.randrange(-limit, limit) for _ in range(self.lanes)]

    async def _frame(self, flags: dict[str, int], partial: list[int]) -> None:
        dut, begins = self.dut, flags["first_frame"]
        waited = 0
        while (
            random.random() < self.idle
            or (flags["last_pass"] and self.credits == 0)
            or (begins and self.since < _SPACING)
            or (begins and flags["first_pass"] and not int(dut.bias_ready_for_frame_o.value))
        ):
            waited += 1
            assert waited < 5000, "no credit or no bias"
            await self.clock()
        if begins:
            self.since = 0
        self.credits -= int(flags["last_pass"])
        dut.take_bias_i.value = int(begins and flags["first_pass"])
        dut.frame_valid_i.value = 1
        dut.frame_flags_i.value = pack("frame_flags_t", flags)
        dut.frame_partial_i.value = self._pack(partial, self.width)
        await self.clock()
        dut.frame_valid_i.value = dut.take_bias_i.value = 0


@cocotb.test
async def random_strips(dut: Any) -> None:
    """Strips of every size up to all accumulators, at every speed, and again after a reset in the middle."""
    bench = _Bench(dut)
    await start(dut)
    await FallingEdge(dut.clk_i)
    most = int(dut.ACCUMULATOR_PIXELS.value)
    for bench.idle, bench.sums.idle, bench.biases.idle in (
        (0.0, 0.0, 0.0),
        (0.3, 0.0, 0.5),
        (0.0, 0.9, 0.0),
        (0.2, 0.4, 0.9),
    ):
        for pixels in (1, 2, 3, most, random.randint(1, most), 1):
            for _ in range(random.randint(1, 3)):
                await bench.group(pixels, random.choice((1, 2, 3, 6)))
        for _ in range(5000):
            if len(bench.sums.items) == len(bench.expected):
                break
            await bench.clock()
        assert bench.sums.items == bench.expected
        await bench.group(5, 1)
        await reset(dut)
        bench.biases.clear()
        await FallingEdge(dut.clk_i)
        bench.sums.clear()
        bench.expected.clear()
        bench.credits, bench.since = int(dut.CREDITS.value), _SPACING
