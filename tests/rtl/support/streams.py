"""Drivers and collectors for the kernel's valid/ready streams, clock and reset, for cocotb tests."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

Item = Mapping[str, int]
"""The data ports of one transfer, by name."""


async def start(dut: Any, *, clocks: int = 3) -> None:
    """Start the clock and reset the module."""
    cocotb.start_soon(Clock(dut.clk_i, 4, unit="ns").start())
    await reset(dut, clocks=clocks)


async def reset(dut: Any, *, clocks: int = 3) -> None:
    """Hold ``rst_i`` for some clocks."""
    dut.rst_i.value = 1
    for _ in range(clocks):
        await RisingEdge(dut.clk_i)
    dut.rst_i.value = 0
    await RisingEdge(dut.clk_i)


async def until(dut: Any, condition: Callable[[], bool], *, clocks: int = 100_000, what: str = "condition") -> int:
    """Wait for a condition. Returns the clocks it took; fails after ``clocks``."""
    for clock in range(clocks):
        if condition():
            return clock
        await RisingEdge(dut.clk_i)
    raise AssertionError(f"no {what} within {clocks} clocks")


class Source:
    """Sends items on the stream ``NAME_valid_i``, ``NAME_ready_o`` with random idle clocks.

    Args:
        dut: the module.
        name: prefix of the stream's ports.
        ports: data ports without prefix and ``_i``.
        rng: decides about idle clocks.
        idle: probability of an idle clock before an item.
    """

    def __init__(self, dut: Any, name: str, ports: Iterable[str], rng: random.Random, idle: float = 0.0) -> None:
        self.idle = idle
        self.queue: deque[Item] = deque()
        self.sent = 0
        self._dut, self._rng = dut, rng
        self._valid, self._ready = getattr(dut, f"{name}_valid_i"), getattr(dut, f"{name}_ready_o")
        self._ports = {port: getattr(dut, f"{name}_{port}_i") for port in ports}
        self._valid.value = 0
        for port in self._ports.values():
            port.value = 0
        self._task = cocotb.start_soon(self._run())

    def send(self, **item: int) -> None:
        """Queue an item."""
        self.queue.append(item)

    def clear(self) -> None:
        """Forget what has not been sent. For use while the module is in reset."""
        self.queue.clear()
        self._valid.value = 0
        self._task.cancel()
        self._task = cocotb.start_soon(self._run())

    async def _run(self) -> None:
        offered = False
        while True:
            await RisingEdge(self._dut.clk_i)
            if offered and self._ready.value == 1 and self._dut.rst_i.value == 0:
                self.queue.popleft()
                self.sent += 1
                offered = False
                self._valid.value = 0
            if not offered and self.queue and self._rng.random() >= self.idle:
                for port, value in self.queue[0].items():
                    self._ports[port].value = value
                self._valid.value = 1
                offered = True


class Sink:
    """Collects the items of the stream ``NAME_valid_o``, ``NAME_ready_i`` with random back-pressure.

    Fails if an item that was not taken is withdrawn or changed.

    Attributes:
        items: ``data`` of every transfer.
        clocks: the clock of every transfer.
    """

    def __init__(self, dut: Any, name: str, rng: random.Random, idle: float = 0.0) -> None:
        self.idle = idle
        self.items: list[int] = []
        self.clocks: list[int] = []
        self._dut, self._rng, self._name = dut, rng, name
        self._valid, self._ready = getattr(dut, f"{name}_valid_o"), getattr(dut, f"{name}_ready_i")
        self._data = getattr(dut, f"{name}_data_o")
        self._ready.value = 0
        cocotb.start_soon(self._run())

    def clear(self) -> None:
        """Forget what has come."""
        self.items.clear()
        self.clocks.clear()

    async def _run(self) -> None:
        ready, clock, waiting = 0, 0, None
        while True:
            await RisingEdge(self._dut.clk_i)
            clock += 1
            valid = self._valid.value == 1 and self._dut.rst_i.value == 0
            data = int(self._data.value) if valid else None
            if waiting is not None and self._dut.rst_i.value == 0:
                assert data == waiting, f"stream {self._name} changed an item that was not taken"
            if valid and ready:
                self.items.append(data)
                self.clocks.append(clock)
            waiting = data if valid and not ready else None
            following = int(self.idle < 1 and self._rng.random() >= self.idle)
            if following != ready:
                ready = following
                self._ready.value = ready
