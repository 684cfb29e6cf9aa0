"""cocotb tests of fifo.sv."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from tests.rtl.support.streams import reset, start


class _Ports:
    """The queue's ports have no stream prefix, so they are driven here."""

    def __init__(self, dut: Any, rng: random.Random) -> None:
        self.dut, self.rng = dut, rng
        self.width, self.depth = len(dut.data_i), int(dut.DEPTH.value)
        self.pushed: list[int] = []
        self.popped: list[int] = []
        dut.valid_i.value = 0
        dut.ready_i.value = 0
        dut.data_i.value = 0

    async def clock(self, push: bool, pop: bool) -> None:
        """Offer an item or not, be ready or not, for one clock."""
        dut = self.dut
        data = self.rng.getrandbits(self.width)
        dut.valid_i.value, dut.data_i.value, dut.ready_i.value = int(push), data, int(pop)
        await RisingEdge(dut.clk_i)
        if push and dut.ready_o.value == 1:
            self.pushed.append(data)
        if pop and dut.valid_o.value == 1:
            self.popped.append(int(dut.data_o.value))

    def check(self) -> None:
        """What came out is what went in, in order."""
        assert self.popped == self.pushed[: len(self.popped)]


@cocotb.test
async def random_traffic(dut: Any) -> None:
    """Items come out in order, whatever the rates; twice with a reset in the middle of it."""
    ports = _Ports(dut, random)
    await start(dut)
    for _ in range(3):
        ports.pushed.clear()
        ports.popped.clear()
        for push, pop in ((0.9, 0.2), (0.2, 0.9), (0.5, 0.5), (1.0, 1.0)):
            for _ in range(3 * ports.depth + 50):
                await ports.clock(random.random() < push, random.random() < pop)
                assert len(ports.pushed) - len(ports.popped) <= ports.depth + 1
        assert len(ports.popped) > ports.depth
        ports.check()
        dut.valid_i.value = 0
        await reset(dut)
        assert dut.valid_o.value == 0


@cocotb.test
async def holds_depth_items(dut: Any) -> None:
    """It takes DEPTH items before it refuses one, and gives all of them back."""
    ports = _Ports(dut, random)
    await start(dut)
    for _ in range(2 * ports.depth):
        await ports.clock(True, False)
    assert ports.depth <= len(ports.pushed) <= ports.depth + 1
    while len(ports.popped) < len(ports.pushed):
        await ports.clock(False, True)
    ports.check()
    await ports.clock(False, True)
    assert dut.valid_o.value == 0


@cocotb.test
async def item_each_clock(dut: Any) -> None:
    """An item a clock in and out, after a latency of at most two clocks."""
    ports = _Ports(dut, random)
    await start(dut)
    for _ in range(100):
        await ports.clock(True, True)
    assert len(ports.pushed) == 100
    assert len(ports.popped) >= 98
    ports.check()


@cocotb.test
async def flipped_bit(dut: Any) -> None:
    """One wrong bit on the way through is noticed."""
    ports = _Ports(dut, random)
    await start(dut)
    for _ in range(50):
        await ports.clock(True, True)
    ports.check()
    ports.pushed[10] ^= 1 << random.randrange(ports.width)
    with pytest.raises(AssertionError):
        ports.check()
