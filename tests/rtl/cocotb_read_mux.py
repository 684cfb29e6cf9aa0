"""cocotb tests of read_mux.sv."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from tests.rtl.support.streams import reset, start


class _Masters:
    """Two masters with random offers and a slave that checks them; one call a clock."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.offers: list[deque[tuple[int, int]]] = [deque(), deque()]
        self.valid = [0, 0]
        self.ready = 0
        self.taken: list[list[tuple[int, int]]] = [[], []]
        self.order: list[int] = []
        self._waiting: tuple[int, int, int] | None = None
        for name in ("arvalid_i", "araddr_i", "arlen_i", "arready_i", "rvalid_i", "rready_i", "rid_i"):
            getattr(dut, name).value = 0

    async def clock(self, *, idle: float, busy: float) -> None:
        dut = self.dut
        for port in (0, 1):
            if not self.valid[port] and self.offers[port] and random.random() >= idle:
                self.valid[port] = 1
        heads = [offers[0] if offers else (0, 0) for offers in self.offers]
        self.ready = int(random.random() >= busy)
        dut.arvalid_i.value = self.valid[0] | self.valid[1] << 1
        dut.araddr_i.value = heads[0][0] | heads[1][0] << 64
        dut.arlen_i.value = heads[0][1] | heads[1][1] << 8
        dut.arready_i.value = self.ready
        rid, rvalid, rready = random.getrandbits(1), random.getrandbits(1), random.getrandbits(2)
        dut.rid_i.value, dut.rvalid_i.value, dut.rready_i.value = rid, rvalid, rready
        await RisingEdge(dut.clk_i)
        assert int(dut.rvalid_o.value) == rvalid << rid
        assert int(dut.rready_o.value) == rready >> rid & 1
        self._address(heads)

    def _address(self, heads: list[tuple[int, int]]) -> None:
        dut = self.dut
        assert int(dut.arvalid_o.value) == (self.valid[0] | self.valid[1])
        grants = int(dut.arready_o.value) & (self.valid[0] | self.valid[1] << 1)
        if not int(dut.arvalid_o.value):
            return
        port = int(dut.arid_o.value)
        offer = (port, int(dut.araddr_o.value), int(dut.arlen_o.value))
        assert self.valid[port]
        assert offer[1:] == heads[port]
        assert self._waiting in (None, offer), "an offered address changed"
        assert grants == (self.ready << port)
        self._waiting = None if self.ready else offer
        if self.ready:
            self.taken[port].append(self.offers[port].popleft())
            self.valid[port] = 0
            self.order.append(port)


@cocotb.test
async def both_in_turns(dut: Any) -> None:
    """Every address of both masters goes through once, in its order; neither waits for more than one of the other."""
    masters = _Masters(dut)
    await start(dut)
    for idle, busy in ((0.0, 0.0), (0.5, 0.2), (0.1, 0.8)):
        wanted: list[list[tuple[int, int]]] = [[], []]
        for port in (0, 1):
            wanted[port] = [(random.getrandbits(64), random.getrandbits(8)) for _ in range(60)]
            masters.offers[port].extend(wanted[port])
            masters.taken[port].clear()
        masters.order.clear()
        for _ in range(2000):
            await masters.clock(idle=idle, busy=busy)
            if not any(masters.offers):
                break
        assert masters.taken == wanted
        if idle == 0.0:
            assert all(a != b for a, b in zip(masters.order[:100], masters.order[1:100], strict=False))
        await reset(dut)


@cocotb.test
async def alone(dut: Any) -> None:
    """One master alone gets an address a clock."""
    masters = _Masters(dut)
    await start(dut)
    for port in (0, 1):
        masters.offers[port].extend((random.getrandbits(64), random.getrandbits(8)) for _ in range(20))
        for _ in range(20):
            await masters.clock(idle=0.0, busy=0.0)
        assert not masters.offers[port]
