"""cocotb tests of load.sv, banks.sv, pad.sv and cvt.sv together (frames.sv): from input rows in memory to frames."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, Timer

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import Descriptor, Op
from tests.csim.support import profile_of
from tests.rtl.support.axi_memory import BEAT, Memory, ReadMemory
from tests.rtl.support.kernel_commands import Bases, Strip, shape
from tests.rtl.support.packed import pack
from tests.rtl.support.streams import Source, reset, start
from tests.support.random_program import Case, random_layer

_CREDITS = 8
_SPACING = 3
"""Clocks between the first frames of two passes that the accumulators need."""


def _frames(case: Case, strip: int, group: int) -> Iterator[tuple[dict[str, int], int]]:
    """Flags and content of every frame of a strip, by docs/program.md."""
    layer = case.descriptor
    rows = range(*geometry.array_rows(layer, strip))
    pixels = list(itertools.product(rows, range(layer.conv_width)))
    passes = list(
        itertools.product(
            range(layer.weight_planes), range(geometry.steps(layer)), range(layer.windows_y), range(layer.windows_x)
        )
    )
    for out in range(layer.out_count):
        for number, (_, step, window_y, window_x) in enumerate(passes):
            for index, (y, x) in enumerate(pixels):
                flags = {
                    "first_frame": index == 0,
                    "last_frame": index == len(pixels) - 1,
                    "first_pass": number == 0,
                    "last_pass": number == len(passes) - 1,
                }
                ends = flags["last_frame"] and flags["last_pass"] and out == layer.out_count - 1
                yield {**flags, "last_of_strip": ends}, _frame(case, group, step, (window_y, window_x), y, x)


def _frame(case: Case, group: int, step: int, window: tuple[int, int], y: int, x: int) -> int:
    layer = case.descriptor
    words = []
    for tap in range(9):
        ky, kx = divmod(tap, 3)
        row = y * layer.stride_y - layer.pad_top + window[0] * layer.window_step_y
        column = x * layer.stride_x - layer.pad_left + window[1] * layer.window_step_x
        if layer.op == Op.POINTWISE:
            number, used = 9 * step + tap, 9 * step + tap < layer.in_slices
        else:
            number, used = step, ky < layer.taps_y and kx < layer.taps_x
            row, column = row + ky * layer.dilation_y, column + kx * layer.dilation_x
        words.append(_word(case, group * layer.in_slices + number, row, column) if used else 0)
    width = 8 * case.profile.word_bytes
    return sum(word << width * tap for tap, word in enumerate(words))


def _word(case: Case, number: int, row: int, column: int) -> int:
    layer, profile = case.descriptor, case.profile
    if 0 <= row < layer.in_height and 0 <= column < layer.in_width:
        at = layer.in_base + (number * layer.in_height + row) * layer.in_width + column
        data = case.activations[at * profile.word_bytes :][: profile.word_bytes]
        return int.from_bytes(data.tobytes(), "little")
    bits = profile.activation_bits
    return sum((layer.pad_value & ((1 << bits) - 1)) << bits * lane for lane in range(profile.cpi))


class _Bench:
    """The four units between a memory, a source of strips, and an array that takes frames at random."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.memory = Memory(random.getrandbits(32))
        self.slave = ReadMemory(dut, self.memory, random, longest=16)
        self.loads, self.pads = (Source(dut, name, ("cmd",), random) for name in ("load", "pad"))
        self.wanted: Iterator[tuple[dict[str, int], int]] = iter(())
        self.expected: tuple[dict[str, int], int] | None = None
        self.ready = {"block": 0, "bias": 0}
        self.owed = 0  # credits
        self.stall = 0.0
        dut.abort_i.value = dut.credit_i.value = dut.block_ready_i.value = dut.bias_ready_i.value = 0
        self.since = _SPACING
        self.frames = 0
        self.note = ""

    def load(self, case: Case) -> None:
        """A layer; the one before must have ended."""
        layer, dut = case.descriptor, self.dut
        base = random.getrandbits(40) * BEAT
        self.note, self.frames = case.describe(), 0
        data = case.activations.tobytes()
        data += bytes(-len(data) % BEAT)
        for n in range(0, len(data), BEAT):
            self.memory.write(base + n, data[n : n + BEAT], (1 << BEAT) - 1)
        dut.layer_i.value = int.from_bytes(layer.encode(), "little")
        dut.shape_i.value = pack("shape_t", shape(layer))
        strips = list(itertools.product(range(layer.groups), range(layer.strips)))
        for group, strip in strips:
            commands = Strip(layer, case.profile, Bases(base, 0, 0), group, strip).commands()
            empty = dict.fromkeys(("address", "plane", "bytes", "band_bytes", "band_rows", "slices"), 1)
            empty |= dict.fromkeys(("width", "slice_words", "row_words", "pointwise", "one_run"), 1)
            self.loads.send(cmd=pack("load_cmd_t", empty | commands["load"]))
            self.pads.send(cmd=pack("pad_cmd_t", commands["pad"]))
        self.wanted = itertools.chain.from_iterable(_frames(case, strip, group) for group, strip in strips)
        self.expected = next(self.wanted, None)

    async def clock(self) -> None:
        """Random inputs, then what comes of them."""
        dut = self.dut
        credit = int(self.owed > 0 and random.random() >= self.stall)
        dut.credit_i.value = credit
        self.owed -= credit
        for name, ready in self.ready.items():
            self.ready[name] = int(ready or random.random() >= self.stall)
            getattr(dut, f"{name}_ready_i").value = self.ready[name]
        await Timer(1, "ns")  # the takes follow the inputs
        for name in self.ready:
            if int(getattr(dut, f"take_{name}_o").value):
                assert self.ready[name], f"{name} taken before it was there"
                self.ready[name] = 0
        await FallingEdge(dut.clk_i)
        self._check()

    def _check(self) -> None:
        """The frame that stands at the outputs."""
        dut = self.dut
        self.since += 1
        if not int(dut.frame_valid_o.value):
            return
        assert self.expected is not None, "a frame too many"
        flags, data = self.expected
        assert int(dut.frame_flags_o.value) == pack("frame_flags_t", flags), (self.frames, flags)
        shown = int(dut.frame_o.value)
        assert shown == data, f"frame {self.frames}: {shown:x} not {data:x}\n{self.note}"
        if flags["first_frame"]:
            assert self.since >= _SPACING, "two passes follow each other too closely"
            self.since = 0
        self.owed += flags["last_pass"]
        assert self.owed <= _CREDITS, "more sums than have room"
        self.frames += 1
        self.expected = next(self.wanted, None)


def _layer(op: Op) -> Case:
    """A layer whose frames can all be compared."""
    while True:
        case = random_layer(random.getrandbits(30), profile_of(os.environ["FRAMES_PROFILE"]), op=op)
        if _count(case.descriptor) <= 1500:
            return case


def _count(layer: Descriptor) -> int:
    return layer.groups * layer.out_count * geometry.passes(layer) * layer.conv_height * layer.conv_width


@cocotb.test
async def random_layers(dut: Any) -> None:
    """Every frame of many layers, for memories and arrays of every speed; a reset on the way changes nothing."""
    bench = _Bench(dut)
    await start(dut)
    for number, (idle, latency, stall) in enumerate(((0.0, 0, 0.0), (0.4, 30, 0.3), (0.0, 100, 0.0), (0.1, 10, 0.8))):
        bench.slave.idle = bench.loads.idle = bench.pads.idle = idle
        bench.slave.latency, bench.stall = latency, stall
        await FallingEdge(dut.clk_i)
        for op in (*Op, Op.CONV, Op.POINTWISE):
            await _run(bench, _layer(op))
        assert not bench.slave.open
        if number == 1:
            bench.load(_layer(Op.CONV))
            for _ in range(100):
                await bench.clock()
            await _reset(bench)


async def _run(bench: _Bench, case: Case) -> None:
    bench.load(case)
    for _ in range(60_000):
        if bench.expected is None and not bench.loads.queue and not bench.pads.queue:
            break
        await bench.clock()
    assert bench.expected is None, f"frame {bench.frames} is missing\n{case.describe()}"
    for _ in range(40):  # nothing comes behind the last frame
        await bench.clock()
    assert int(bench.dut.quiet_o.value)
    assert not int(bench.dut.error_o.value)


async def _reset(bench: _Bench) -> None:
    """Stop in the middle of a strip, as the scheduler does: no new reads, what is open comes to its end, reset."""
    dut = bench.dut
    dut.credit_i.value = 0  # none that would count behind the reset
    dut.abort_i.value = 1
    while not int(dut.quiet_o.value):
        await FallingEdge(dut.clk_i)
    for source in (bench.loads, bench.pads):
        source.clear()
    await reset(dut)
    dut.abort_i.value = 0
    bench.expected, bench.wanted, bench.owed, bench.since = None, iter(()), 0, _SPACING
    await FallingEdge(dut.clk_i)
