"""cocotb tests of post.sv: random layers behind the accumulators against the reference."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from tests.csim.support import profile_of
from tests.rtl.support.post_case import PostCase, pack, unpack
from tests.rtl.support.streams import Sink, Source, start, until
from tests.support.random_program import random_layer

_PROFILE = profile_of(os.environ["POST_PROFILE"])
_LAYERS = int(os.environ.get("POST_LAYERS", "20"))
_COMMAND = ("map_first", "map_rows", "pooled_first", "pooled_rows", "first_strip")


class _Bench:
    """The streams around post."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.rng = rng = random.Random(random.getrandbits(31))
        self.sums = Source(dut, "sums", ("first", "last", "data"), rng)
        self.lanes = Source(dut, "lanes", ("data",), rng)
        self.addends = Source(dut, "addend", ("data",), rng)
        self.commands = Source(dut, "pool_cmd", _COMMAND, rng)
        self.pixels = Sink(dut, "pixel", rng)
        self.sources = (self.sums, self.lanes, self.addends, self.commands)
        dut.layer_i.value = 0
        for name in ("table", "scales"):
            getattr(dut, f"{name}_write_i").value = 0
            getattr(dut, f"{name}_index_i").value = 0
            getattr(dut, f"{name}_data_i").value = 0

    def idle(self, *, busy: bool) -> None:
        """Choose how often each stream pauses."""
        for stream in (*self.sources, self.pixels):
            stream.idle = 0.0 if busy else self.rng.choice((0.0, 0.0, 0.2, 0.8))

    async def run(self, case: PostCase) -> int:
        """Send a layer and wait for its pixels. Returns the clocks from the first sum to the last pixel."""
        dut = self.dut
        self.pixels.clear()
        dut.layer_i.value = int.from_bytes(case.layer.encode(), "little")
        await RisingEdge(dut.clk_i)
        await self._write("table", case.table)
        await self._write("scales", case.scales)
        for command in case.commands:
            self.commands.send(**command)
        for vector in case.lanes:
            self.lanes.send(data=vector)
        for addend in case.addends:
            self.addends.send(data=pack(addend, case.profile.activation_bits))
        for first, last, sums in case.sums:
            self.sums.send(first=int(first), last=int(last), data=pack(sums, 32))

        def done() -> bool:
            sent = not any(source.queue for source in self.sources)
            return sent and len(self.pixels.items) >= len(case.pixels) and dut.idle_o.value == 1

        return await until(dut, done, clocks=40 * case.pooled_clocks + 2000, what="end of the layer")

    async def _write(self, name: str, beats: list[int]) -> None:
        dut = self.dut
        for index, beat in enumerate(beats):
            getattr(dut, f"{name}_write_i").value = 1
            getattr(dut, f"{name}_index_i").value = index
            getattr(dut, f"{name}_data_i").value = beat
            await RisingEdge(dut.clk_i)
        getattr(dut, f"{name}_write_i").value = 0

    def check(self, case: PostCase) -> None:
        """Exactly the expected pixels came, in their order."""
        bits, cpo = case.profile.activation_bits, case.profile.cpo
        assert len(self.pixels.items) == len(case.pixels), case.describe()
        for n, (item, expected) in enumerate(zip(self.pixels.items, case.pixels, strict=True)):
            values = unpack(item, cpo, bits)[: len(expected.values)]
            assert np.array_equal(values, expected.values), (
                f"pixel {n} is {values}, not {expected.values}\n{case.describe()}"
            )


def _random_case() -> PostCase:
    layer = random_layer(random.getrandbits(31), _PROFILE)
    while layer.descriptor.conv_height * layer.descriptor.conv_width > 400:
        layer = random_layer(random.getrandbits(31), _PROFILE)
    return PostCase(layer, random.Random(random.getrandbits(31)), divide=random.random() < 0.4)


@cocotb.test
async def random_layers(dut: Any) -> None:
    """Layers one behind the other without a reset, with idle and back-pressure; an idle unit is empty."""
    bench = _Bench(dut)
    await start(dut)
    for n in range(_LAYERS):
        case = _random_case()
        bench.idle(busy=n % 4 == 0)
        await bench.run(case)
        bench.check(case)


@cocotb.test
async def pixel_each_clock(dut: Any) -> None:
    """Without idle clocks a layer takes a clock for each pixel, plus the cells of windows that hang over the map."""
    bench = _Bench(dut)
    await start(dut)
    for _ in range(_LAYERS // 2):
        case = _random_case()
        bench.idle(busy=True)
        clocks = await bench.run(case)
        bench.check(case)
        # The drivers need up to two clocks an item after an idle clock, the pipeline 60, a table 70.
        assert clocks <= case.pooled_clocks + 140, f"{clocks} clocks, not {case.pooled_clocks}\n{case.describe()}"


@cocotb.test
async def reset_midway(dut: Any) -> None:
    """A reset in the middle of a layer leaves nothing behind."""
    bench = _Bench(dut)
    await start(dut)
    for _ in range(3):
        case = _random_case()
        task = cocotb.start_soon(bench.run(case))
        for _ in range(random.randrange(10, 20 + len(case.sums))):
            await RisingEdge(dut.clk_i)
        task.cancel()
        dut.rst_i.value = 1
        await RisingEdge(dut.clk_i)
        for source in bench.sources:
            source.clear()
        for name in ("table", "scales"):
            getattr(dut, f"{name}_write_i").value = 0
        for _ in range(3):
            await RisingEdge(dut.clk_i)
        dut.rst_i.value = 0
        await RisingEdge(dut.clk_i)
        case = _random_case()
        await bench.run(case)
        bench.check(case)


@cocotb.test
async def flipped_bit(dut: Any) -> None:
    """One wrong bit of what comes out is noticed, and so is a pixel too few."""
    bench = _Bench(dut)
    await start(dut)
    case = _random_case()
    await bench.run(case)
    bench.check(case)
    at = random.randrange(len(case.pixels))
    lane = random.randrange(len(case.pixels[at].values))
    bench.pixels.items[at] ^= 1 << (
        lane * case.profile.activation_bits + random.randrange(case.profile.activation_bits)
    )
    with pytest.raises(AssertionError):
        bench.check(case)
    bench.pixels.items.pop()
    with pytest.raises(AssertionError):
        bench.check(case)
