"""cocotb tests of the whole kernel when something is wrong: resets, memory errors, wrong descriptors, flipped bits."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import cocotb
import pytest
from cocotb.triggers import ClockCycles

from sliceflow.devices.status import MEMORY, TOO_BIG
from sliceflow.graph.descriptor import BYTES
from tests.rtl.cocotb_kernel import change_weather, run, started
from tests.rtl.support.kernel_cases import (
    clocks,
    later_strip,
    observable_flip,
    refused,
    relist,
    small_program,
    stretched,
    uses_every_port,
)
from tests.rtl.support.kernel_ports import DECERR, SLVERR


@cocotb.test
async def reset_while_running(dut: Any) -> None:
    """A reset at any moment of a program leaves a kernel that computes the next one."""
    bench = await started(dut)
    for part in (0.05, 0.2, 0.5, 0.8, 0.95):
        change_weather(bench)
        case = small_program(bench.rng, limit=2500)
        loaded = bench.load(case)
        await bench.begin(loaded, 0, len(case.descriptors), interrupt=True)
        await ClockCycles(dut.ap_clk, 1 + int(part * clocks(case)))
        await bench.reset(clocks=bench.rng.randint(1, 20))
        assert not int(dut.interrupt.value)
        await run(bench, bench.load(small_program(bench.rng, limit=2500)), interrupt=True)


@cocotb.test
async def memory_errors(dut: Any) -> None:
    """An error response on any port ends the launch with status 4; the next launch, without a reset, is right."""
    bench = await started(dut)
    for port in (*bench.readers, "out"):
        side = bench.readers.get(port, bench.writer)
        for response in (SLVERR, DECERR):
            change_weather(bench)
            case = small_program(bench.rng, layers=2, limit=2500, wanted=uses_every_port)
            case, first = relist(case, case.descriptors)
            bench.clear()
            loaded = bench.load(case, first)
            expected = loaded.expected()
            assert await bench.launch(loaded) == 0
            bench.check(loaded, expected)
            total = side.beats
            bench.clear()
            side.fail_at, side.response = bench.rng.randrange(total), response
            status = await bench.launch(bench.load(case, first), interrupt=True)
            note = f"{port}, beat {side.fail_at} of {total}, status {status:#x}\n{case.describe()}"
            assert status & 0xFF == MEMORY, note
            assert status >> 8 in (first, first + 1), note
            bench.clear()
            await run(bench, bench.load(case, first))


@cocotb.test
async def memory_error_names_the_layer(dut: Any) -> None:
    """The status has the number of the descriptor that was at work."""
    bench = await started(dut)
    case = small_program(bench.rng, layers=3, limit=2500)
    for layer in range(3):
        for port in ("program", "in", "out"):
            change_weather(bench)
            bench.clear()
            side = bench.readers.get(port, bench.writer)
            side.fail_at = 0
            status = await bench.launch(bench.load(case), layer, 1)
            wanted = layer << 8 | MEMORY if side.beats else 0  # a layer may see nothing but padding
            assert status == wanted, f"layer {layer}, {port}: {status:#x}\n{case.describe()}"
    bench.clear()
    await run(bench, bench.load(case))


@cocotb.test
async def wrong_descriptors(dut: Any) -> None:
    """A descriptor that the kernel must refuse ends the launch with its number; the layers before it are complete."""
    bench = await started(dut)
    good = small_program(bench.rng, layers=2, limit=1500)
    after = good.descriptors[1]
    for name, layer, raw, code in refused(good, bench.rng):
        change_weather(bench)
        before = good.descriptors[: bench.rng.choice((0, 1, 1, 2))]
        layers = (*before, layer, after)
        case, first = relist(good, layers, [*(one.encode() for one in before), raw, after.encode()])
        loaded = bench.load(case, first)
        expected = loaded.expected(before)
        status = await bench.launch(loaded, interrupt=True)
        assert status == (first + len(before)) << 8 | code, f"{name}: status {status:#x}, not code {code}"
        bench.check(loaded, expected)
    await run(bench, bench.load(small_program(bench.rng)))


@cocotb.test
async def later_strip_too_big(dut: Any) -> None:
    """A strip in the middle that does not fit: the layer's own output aside, memory is what the layers before left."""
    bench = await started(dut)
    for _ in range(2):
        change_weather(bench)
        good = small_program(bench.rng, layers=2, limit=1500)
        roomy, layer = stretched(good, later_strip(good.profile)[0], bench.rng)
        case, first = relist(roomy, (*good.descriptors, layer, good.descriptors[0]))
        loaded = bench.load(case, first)
        expected = bytearray(loaded.expected(good.descriptors))
        assert await bench.launch(loaded) == (first + 2) << 8 | TOO_BIG
        start = layer.out_base * case.profile.word_bytes
        end = start + layer.pool_height * layer.pool_width * case.profile.word_bytes
        expected[start:end] = loaded.activations[start:end]
        bench.check(loaded, bytes(expected))
        await run(bench, bench.load(good))


@cocotb.test
async def flipped_bits(dut: Any) -> None:
    """A bit flipped in weights, descriptors, lane parameters or the expected output does not go unnoticed."""
    bench = await started(dut)
    case = small_program(bench.rng, layers=2, limit=2500, wanted=uses_every_port)
    listed = len(case.descriptors) * BYTES
    for memory, low, high in (
        ("weights", 0, case.weights.size),
        ("program", 0, listed),
        ("program", listed, case.program.size),
    ):
        change_weather(bench)
        flipped = observable_flip(case, bench.rng, memory, low, high)
        loaded = bench.load(flipped)
        wrong, right = loaded.expected(), dataclasses.replace(loaded, case=case).expected()
        assert await bench.launch(loaded) == 0
        bench.check(loaded, wrong)
        for differs in (right, _flip(wrong, bench.rng)):
            with pytest.raises(AssertionError, match="bytes differ"):
                bench.check(loaded, differs)


def _flip(data: bytes, rng: random.Random) -> bytes:
    flipped = bytearray(data)
    flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(flipped)
