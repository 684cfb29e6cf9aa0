"""The whole kernel in cocotb: memory ports, registers, interrupt; programs launched and compared with the reference."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, First, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster
from numpy.typing import NDArray

from sliceflow.devices import registers
from sliceflow.graph.descriptor import Descriptor
from sliceflow.reference.machine import execute
from tests.rtl.support.kernel_ports import CLOCK_NS, Behaviour, Memory, ReadSide, WriteSide, port_name
from tests.support.random_program import Case

READERS = ("program", "weights", "in", "add")
START, DONE, IDLE, READY, RESTART = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 7
_BEAT = 64
_LIMIT = 100_000
"""Clocks after which a launch hangs. The programs of these tests take some thousand."""


@dataclasses.dataclass
class Loaded:
    """A case in the bench's memory.

    Attributes:
        first: number of the case's first descriptor in the program memory.
        pointers: addresses of program, weights and activations.
        activations: what the kernel reads and writes, and a margin of random bytes behind it.
    """

    case: Case
    first: int
    pointers: tuple[int, int, int]
    program: bytearray
    weights: bytearray
    activations: bytearray

    def expected(self, layers: Sequence[Descriptor] | None = None) -> bytes:
        """The activation memory, margin included, that the reference leaves after some layers; all if omitted."""
        case, data = self.case, np.frombuffer(self.activations, np.uint8).copy()
        memory: NDArray[np.uint8] = data[: case.activations.size]
        for layer in case.descriptors if layers is None else layers:
            execute(layer, case.profile, case.program, case.weights, memory)
        return data.tobytes()


class KernelBench:
    """One kernel. Use ``start`` first.

    Args:
        dut: the top module, with the ports that Vitis gives a kernel.
        rng: decides about everything random.

    Attributes:
        behaviour: how the memory ports and the register bus behave; may be changed at any time.
        readers: the read side of ``program``, ``weights``, ``in``, ``add``.
        writer: the write side of ``out``.
    """

    def __init__(self, dut: Any, rng: random.Random) -> None:
        self.dut, self.rng = dut, rng
        self.behaviour = Behaviour()
        self.memory = Memory()
        dut.ap_rst_n.value = 0
        cocotb.start_soon(Clock(dut.ap_clk, CLOCK_NS, unit="ns").start())
        _tie_unused_inputs(dut)
        names = {port: port_name(dut, port) for port in (*READERS, "out")}
        self.readers = {port: ReadSide(dut, names[port], self.memory, rng, self.behaviour) for port in READERS}
        self.writer = WriteSide(dut, names["out"], self.memory, rng, self.behaviour)
        self._control = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi_control"), dut.ap_clk, dut.ap_rst_n, False)
        self._quiet()
        self._control_channels = [
            getattr(side, f"{channel}_channel")
            for side, channels in ((self._control.write_if, ("aw", "w", "b")), (self._control.read_if, ("ar", "r")))
            for channel in channels
        ]
        for channel in self._control_channels:
            channel.set_pause_generator(self._idle())

    def _idle(self) -> Any:
        while True:
            yield self.rng.random() < self.behaviour.idle

    def _quiet(self) -> None:
        for side in (self._control.write_if, self._control.read_if):
            side.log.setLevel("WARNING")

    async def reset(self, clocks: int = 8) -> None:
        """Reset the kernel and forget every transfer under way."""
        self.dut.ap_rst_n.value = 0
        await ClockCycles(self.dut.ap_clk, 2)
        for side in (*self.readers.values(), self.writer):
            side.restart()
        await ClockCycles(self.dut.ap_clk, clocks)
        self.dut.ap_rst_n.value = 1
        await ClockCycles(self.dut.ap_clk, 2)

    def clear(self) -> None:
        """Forget the ports' counts and the errors to come."""
        for side in (*self.readers.values(), self.writer):
            side.clear()

    # --- Memory. ---
    def load(self, case: Case, first: int = 0) -> Loaded:
        """Replace the memory by a case's buffers, at random addresses."""
        rng = self.rng
        self.memory.clear()
        tops = rng.sample(range(1, 1 << 12), 3)
        pointers = tuple((top << 40) + _BEAT * rng.randrange(1 << 20) for top in tops)
        loaded = Loaded(
            case=case,
            first=first,
            pointers=(pointers[0], pointers[1], pointers[2]),
            program=bytearray(case.program.tobytes()),
            weights=bytearray(case.weights.tobytes()),
            activations=bytearray(case.activations.tobytes()),
        )
        for address, data, writable in zip(
            loaded.pointers, (loaded.program, loaded.weights, loaded.activations), (False, False, True), strict=True
        ):
            data += rng.randbytes(-len(data) % _BEAT + _BEAT * 2 * writable)
            self.memory.map(address, data, writable=writable)
        return loaded

    # --- Registers. ---
    async def read(self, offset: int) -> int:
        """A register."""
        return int(await self._control.read_dword(offset))

    async def write(self, offset: int, value: int) -> None:
        """Write a register."""
        await self._control.write_dword(offset, value)

    async def begin(
        self, loaded: Loaded, first: int, count: int, *, interrupt: bool = False, restart: bool = False
    ) -> None:
        """Write the arguments and start."""
        program, weights, activations = loaded.pointers
        values = {"program": program, "weights": weights}
        for name, offset in registers.POINTERS.items():
            address = values.get(name, activations)
            await self.write(offset, address & 0xFFFF_FFFF)
            await self.write(offset + 4, address >> 32)
        await self.write(registers.FIRST, first)
        await self.write(registers.COUNT, count)
        await self.write(registers.INTERRUPT_ENABLE, int(interrupt))
        await self.write(registers.INTERRUPT_GLOBAL, int(interrupt))
        await self.write(registers.CONTROL, START | RESTART * restart)

    async def finish(self, *, interrupt: bool = False, limit: int = _LIMIT) -> int:
        """Wait for the end; returns the status word. Fails after ``limit`` clocks."""
        dut = self.dut
        deadline = ClockCycles(dut.ap_clk, limit)
        if interrupt:
            if not int(dut.interrupt.value):
                risen = RisingEdge(dut.interrupt)
                assert await First(risen, deadline) is risen, f"no interrupt within {limit} clocks"
            assert await self.read(registers.CONTROL) & DONE
            assert await self.read(registers.INTERRUPT_STATUS) == 1
            await self.write(registers.INTERRUPT_STATUS, 1)
            await ClockCycles(dut.ap_clk, 1)
            assert not int(dut.interrupt.value)
        else:
            late = cocotb.start_soon(_wait(deadline))
            while not await self.read(registers.CONTROL) & DONE:
                assert not late.done(), f"not done within {limit} clocks"
                await ClockCycles(dut.ap_clk, 50)
            late.cancel()
        return await self.read(registers.STATUS)

    async def launch(
        self, loaded: Loaded, first: int | None = None, count: int | None = None, *, interrupt: bool = False
    ) -> int:
        """Execute descriptors ``first .. first + count``, all of the case if omitted; returns the status word."""
        first = loaded.first if first is None else first
        count = len(loaded.case.descriptors) if count is None else count
        await self.begin(loaded, first, count, interrupt=interrupt)
        status = await self.finish(interrupt=interrupt)
        assert await self.read(registers.CONTROL) & (IDLE | START) == IDLE, "done, but not idle"
        return status

    def check(self, loaded: Loaded, expected: bytes) -> None:
        """Compare the whole memory; nothing outside it may have been touched.

        Raises:
            AssertionError: with the first different bytes and the program.
        """
        case = loaded.case
        assert not self.memory.faults, f"{self.memory.faults[0]}\n{case.describe()}"
        if bytes(loaded.activations) != expected:
            raise AssertionError(f"{differences(loaded.activations, expected, case)}\n{case.describe()}")


def differences(actual: bytes | bytearray, expected: bytes, case: Case) -> str:
    """How many bytes differ, and where the first of them lie."""
    wrong = [n for n, pair in enumerate(zip(actual, expected, strict=True)) if pair[0] != pair[1]]
    word = case.profile.word_bytes
    places = ", ".join(f"word {n // word} byte {n % word}: {actual[n]} not {expected[n]}" for n in wrong[:6])
    return f"{len(wrong)} of {len(expected)} bytes differ: {places}"


async def _wait(trigger: Any) -> None:
    await trigger


def _tie_unused_inputs(dut: Any) -> None:
    """Inputs of directions that a port does not use, and what Vitis HLS adds: all zero."""
    for name in dir(dut):
        lower = name.lower()
        inputs = ("arready", "awready", "wready", "bvalid", "bid", "bresp", "buser", "rvalid", "rid", "rresp", "rlast")
        if lower.startswith("m_axi_") and lower.endswith((*(f"_{port}" for port in inputs), "_rdata", "_ruser")):
            getattr(dut, name).value = 0
