"""cocotb tests of multiply.sv."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge


class _Line:
    """Pushes random sets through the pipeline, with bubbles, and compares what comes out."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.lanes, self.latency = int(dut.LANES.value), int(dut.LATENCY.value)
        self.bits = int(dut.A_BITS.value), int(dut.B_BITS.value)
        self.shared = bool(int(dut.SHARED_A.value))
        self.stages: deque[list[int] | None] = deque([None] * self.latency)
        self.compared = 0

    def _operand(self, bits: int) -> int:
        extremes = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1, -1, 0, 1)
        return random.choice((*extremes, *(random.randrange(-(1 << (bits - 1)), 1 << (bits - 1)) for _ in range(5))))

    async def clock(self, fill: float, flip: int = 0) -> None:
        """One clock: perhaps a set enters, perhaps one is compared; ``flip`` spoils the expected products."""
        dut, (a_bits, b_bits) = self.dut, self.bits
        entering = random.random() < fill
        a = [self._operand(a_bits) for _ in range(1 if self.shared else self.lanes)]
        b = [self._operand(b_bits) for _ in range(self.lanes)]
        dut.a_i.value = sum((value % (1 << a_bits)) << a_bits * lane for lane, value in enumerate(a))
        dut.b_i.value = sum((value % (1 << b_bits)) << b_bits * lane for lane, value in enumerate(b))
        held = [entering, *(stage is not None for stage in list(self.stages)[:-1])]
        dut.enable_i.value = sum(int(enable) << stage for stage, enable in enumerate(held))
        await RisingEdge(dut.clk_i)
        expected = self.stages.pop()
        self.stages.appendleft(
            [a[0 if self.shared else lane] * b[lane] for lane in range(self.lanes)] if entering else None
        )
        if expected is not None:
            width = a_bits + b_bits
            products = int(dut.product_o.value)
            for lane, product in enumerate(expected):
                assert products >> lane * width & (1 << width) - 1 == (product ^ flip) % (1 << width)
            self.compared += 1


@cocotb.test
async def products(dut: Any) -> None:
    """Every product, at full rate and with bubbles."""
    Clock(dut.clk_i, 4, unit="ns").start()
    line = _Line(dut)
    for fill in (1.0, 0.3, 1.0):
        for _ in range(300):
            await line.clock(fill)
    assert line.compared > 600


@cocotb.test
async def flipped_bit(dut: Any) -> None:
    """One wrong bit is noticed."""
    Clock(dut.clk_i, 4, unit="ns").start()
    line = _Line(dut)
    for _ in range(20):
        await line.clock(1.0)
    with pytest.raises(AssertionError):
        await line.clock(1.0, flip=1 << random.randrange(sum(line.bits)))
