"""cocotb tests of s_axi_control.sv, through the AXI4-Lite master of cocotbext-axi."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import pytest
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from tests.rtl.support.axi_ports import AxiPorts
from tests.rtl.support.streams import reset, start

CONTROL, GLOBAL_ENABLE, ENABLE, INTERRUPTS, STATUS, STATUS_VALID, DEBUG, LOG = 0, 4, 8, 12, 0x5C, 0x60, 0x70, 0x4000
START, DONE, IDLE, READY, RESTART, INTERRUPT = 1, 2, 4, 8, 0x80, 0x200
ARGUMENTS = {
    "program": 0x10,
    "weights": 0x1C,
    "act_in": 0x28,
    "act_add": 0x34,
    "act_out": 0x40,
    "first": 0x4C,
    "count": 0x54,
}


def _pauses(rate: float) -> Any:
    rng = random.Random(random.getrandbits(32))
    while True:
        yield rng.random() < rate


class _Host:
    """The master, and the kernel behind the registers."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.master = AxiLiteMaster(AxiLiteBus.from_entity(AxiPorts(dut)), dut.clk_i, dut.rst_i)
        self.starts = 0
        for name in ("done_i", "status_i", "log_write_i", "log_index_i", "log_data_i", "debug_i"):
            getattr(dut, name).value = 0
        dut.idle_i.value = 1
        cocotb.start_soon(self._count())

    async def begin(self, rate: float = 0.0) -> None:
        write, read = self.master.write_if, self.master.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            channel.set_pause_generator(_pauses(rate))
        await start(self.dut)

    async def read(self, address: int) -> int:
        response = await self.master.read(address, 4)
        assert response.resp == AxiResp.OKAY
        return int.from_bytes(response.data, "little")

    async def write(self, address: int, value: int, size: int = 4) -> None:
        response = await self.master.write(address, value.to_bytes(size, "little"))
        assert response.resp == AxiResp.OKAY

    async def done(self, status: int = 0) -> None:
        """The kernel ends."""
        self.dut.status_i.value, self.dut.done_i.value = status, 1
        await RisingEdge(self.dut.clk_i)
        self.dut.status_i.value, self.dut.done_i.value = random.getrandbits(32), 0
        await ClockCycles(self.dut.clk_i, 2)

    async def _count(self) -> None:
        while True:
            await RisingEdge(self.dut.clk_i)
            if self.dut.rst_i.value == 0:
                self.starts += int(self.dut.start_o.value)


@cocotb.test
async def arguments(dut: Any) -> None:
    """Arguments are written by byte, word and in pairs, read back, and keep away from each other."""
    host = _Host(dut)
    await host.begin(0.3)
    for _ in range(2):
        values = {name: 0 for name in ARGUMENTS}
        for _ in range(60):
            name = random.choice(list(ARGUMENTS))
            size = 4 if name in ("first", "count") else 8
            offset = random.randrange(size)
            data = random.randbytes(random.randint(1, size - offset))
            await host.master.write(ARGUMENTS[name] + offset, data)
            old = values[name].to_bytes(size, "little")
            values[name] = int.from_bytes(old[:offset] + data + old[offset + len(data) :], "little")
            for other, value in values.items():
                assert int(getattr(dut, f"{other}_o").value) == value, other
        for name, value in values.items():
            read = (await host.master.read(ARGUMENTS[name], 4 if name in ("first", "count") else 8)).data
            assert int.from_bytes(read, "little") == value
            with pytest.raises(AssertionError):
                assert int.from_bytes(read, "little") == value ^ 1 << random.randrange(32)
        for hole in (0x18, 0x24, 0x50, 0x58, 0x64, 0x80, 0x3FFC):
            await host.write(hole, 0xFFFFFFFF)
            assert await host.read(hole) == 0
        await reset(dut)


@cocotb.test
async def handshake(dut: Any) -> None:
    """Start, done, idle and ready as Vitis' ap_ctrl has them; the status with its valid bit."""
    host = _Host(dut)
    await host.begin(0.2)
    for _ in range(3):
        starts = host.starts
        assert await host.read(CONTROL) == IDLE
        assert await host.read(STATUS_VALID) == 0
        await host.write(CONTROL, START)
        dut.idle_i.value = 0
        await ClockCycles(dut.clk_i, 5)
        assert host.starts == starts + 1
        assert await host.read(CONTROL) == START
        await host.write(CONTROL, START)  # while it runs: nothing
        status = random.getrandbits(32)
        await host.done(status)
        dut.idle_i.value = 1
        await ClockCycles(dut.clk_i, 20)
        assert host.starts == starts + 1
        assert await host.read(CONTROL) == DONE | IDLE | READY
        assert await host.read(CONTROL) == IDLE
        assert await host.read(STATUS) == status
        assert await host.read(STATUS_VALID) == 1
        assert await host.read(STATUS_VALID) == 0
        assert await host.read(STATUS) == status


@cocotb.test
async def auto_restart(dut: Any) -> None:
    """With auto_restart it starts again after done, until the bit is cleared."""
    host = _Host(dut)
    await host.begin()
    await host.write(CONTROL, START | RESTART)
    for n in range(3):
        await ClockCycles(dut.clk_i, 5)
        assert host.starts == n + 1
        await host.done()
    await host.write(CONTROL, 0)
    await host.done()
    await ClockCycles(dut.clk_i, 5)
    assert host.starts == 4
    assert await host.read(CONTROL) == DONE | IDLE | READY


@cocotb.test
async def interrupts(dut: Any) -> None:
    """An interrupt for done and for ready, each with its enable bit; the status bits toggle on writing."""
    host = _Host(dut)
    await host.begin(0.2)
    for enable in (0, 1, 2, 3):
        for enabled in (0, 1):
            await host.write(GLOBAL_ENABLE, enabled)
            await host.write(ENABLE, enable)
            await host.write(CONTROL, START)
            assert dut.interrupt_o.value == 0
            await host.done()
            assert await host.read(INTERRUPTS) == enable
            assert int(dut.interrupt_o.value) == int(enabled and enable != 0)
            assert bool(await host.read(CONTROL) & INTERRUPT) == bool(enabled and enable)
            await host.write(INTERRUPTS, enable)
            assert await host.read(INTERRUPTS) == 0
            assert dut.interrupt_o.value == 0
    await host.write(INTERRUPTS, 2)  # toggling sets it, too
    assert await host.read(INTERRUPTS) == 2


@cocotb.test
async def clock_log(dut: Any) -> None:
    """What the kernel writes into the log is read at its place, also while it writes further entries."""
    host = _Host(dut)
    await host.begin(0.2)
    entries = {}
    for _ in range(2):
        for index in (0, 1023, *(random.randrange(1024) for _ in range(20))):
            entries[index] = random.getrandbits(128)
            dut.log_write_i.value, dut.log_index_i.value, dut.log_data_i.value = 1, index, entries[index]
            await RisingEdge(dut.clk_i)
        dut.log_write_i.value = 0
        for index, value in entries.items():
            data = (await host.master.read(LOG + 16 * index, 16)).data
            assert int.from_bytes(data, "little") == value
    debug = random.getrandbits(128)
    dut.debug_i.value = debug
    assert int.from_bytes((await host.master.read(DEBUG, 16)).data, "little") == debug
