"""cocotb tests of round_shift.sv against the reference's rounding."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from sliceflow.reference.numerics import MAX_SHIFT, round_half_even_shift

_LATENCY = 4


class _Line:
    """Pushes random sets through the pipeline, with bubbles, and compares what comes out."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.lanes, self.bits = int(dut.LANES.value), int(dut.BITS.value)
        self.stages: deque[list[int] | None] = deque([None] * _LATENCY)
        self.compared = 0
        self.inside = 0
        low, high = -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        self.limits = sorted(random.choice(((low, high), (random.randint(low, high), random.randint(low, high)))))
        self.zero = random.choice((0, low, high, random.randint(low, high)))
        dut.zero_i.value, dut.low_i.value, dut.high_i.value = self.zero, *self.limits

    def _case(self) -> tuple[int, int]:
        """A value and a shift: any, or a quotient in or near the range, often a tie or next to one."""
        shift = random.randint(0, MAX_SHIFT)
        if random.random() < 0.2:
            return random.randrange(-(1 << 63), 1 << 63), shift
        quotient = random.randint(-(1 << self.bits) - 2, (1 << self.bits) + 2)
        rest = random.choice(
            (0, 1, (1 << shift) >> 1, ((1 << shift) >> 1) - 1, ((1 << shift) >> 1) + 1, (1 << shift) - 1)
        )
        value = (quotient << shift) + rest
        return (value, shift) if -(1 << 63) <= value < 1 << 62 else (quotient, 0)

    async def clock(self, fill: float, flip: int = 0) -> None:
        """One clock: perhaps a set enters, perhaps one is compared; ``flip`` spoils the expected results."""
        dut = self.dut
        entering = random.random() < fill
        cases = [self._case() for _ in range(self.lanes)]
        dut.value_i.value = sum((value % (1 << 64)) << 64 * lane for lane, (value, _) in enumerate(cases))
        dut.shift_i.value = sum(shift << 6 * lane for lane, (_, shift) in enumerate(cases))
        held = [entering, *(stage is not None for stage in list(self.stages)[:-1])]
        dut.enable_i.value = sum(int(enable) << stage for stage, enable in enumerate(held))
        await RisingEdge(dut.clk_i)
        expected = self.stages.pop()
        self.stages.appendleft([self._result(*case) for case in cases] if entering else None)
        if expected is not None:
            results = int(dut.result_o.value)
            for lane, result in enumerate(expected):
                found = results >> lane * self.bits & (1 << self.bits) - 1
                assert found == (result ^ flip) % (1 << self.bits), f"lane {lane} is {found:#x}, not {result}"
            self.compared += 1

    def _result(self, value: int, shift: int) -> int:
        quotient = int(round_half_even_shift(np.array([value], np.int64), shift)[0]) + self.zero
        low, high = self.limits
        self.inside += low < quotient < high
        return min(max(quotient, low), high)


@cocotb.test
async def rounds(dut: Any) -> None:
    """Ties, neighbours of ties and extremes; several zero points and limits."""
    Clock(dut.clk_i, 4, unit="ns").start()
    inside = 0
    for _ in range(12):
        line = _Line(dut)
        for fill in (1.0, 0.3):
            for _ in range(150):
                await line.clock(fill)
        assert line.compared > 150
        inside += line.inside
    assert inside > 500


@cocotb.test
async def flipped_bit(dut: Any) -> None:
    """One wrong bit is noticed."""
    Clock(dut.clk_i, 4, unit="ns").start()
    line = _Line(dut)
    for _ in range(20):
        await line.clock(1.0)
    with pytest.raises(AssertionError):
        await line.clock(1.0, flip=1 << random.randrange(line.bits))
