"""cocotb tests of mul.sv with both of its arrays (mul_pair.sv)."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from tests.rtl.support.streams import start

_TAPS = 9


class _Array:
    """Drives the array and expects partial sums, in order, after the same number of clocks for each frame."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.cpi, self.cpo = int(dut.CPI.value), int(dut.CPO.value)
        self.bits = {"frame": int(dut.ACTIVATION_BITS.value), "block": int(dut.WEIGHT_BITS.value)}
        self.weights = np.zeros((_TAPS * self.cpi, self.cpo), np.int64)
        self.due: list[tuple[int, int, int]] = []  # clock of the frame, flags, packed sums
        self.latencies: set[int] = set()
        self.clock = 0
        self.early = (0, 0)
        for name in ("take_block", "block", "frame_valid", "frame_flags", "frame"):
            getattr(dut, f"{name}_i").value = 0

    def random(self, kind: str, size: int) -> np.ndarray:
        """Values over the whole range; often only its ends, where sums are largest."""
        low = -(1 << (self.bits[kind] - 1))
        if random.random() < 0.5:
            choice = random.choice([[low], [low, -low - 1], [-low - 1], [-1, 0, 1]])
            return np.array(random.choices(choice, k=size), np.int64)
        return np.array([random.randrange(low, -low) for _ in range(size)], np.int64)

    def pack(self, kind: str, values: np.ndarray) -> int:
        bits = self.bits[kind]
        return sum((int(value) & ((1 << bits) - 1)) << bits * n for n, value in enumerate(values.ravel()))

    async def step(self, *, take: bool, frame: bool) -> None:
        """One clock: perhaps new weights for the frames behind it, perhaps a frame."""
        dut = self.dut
        dut.take_block_i.value = int(take)
        dut.frame_valid_i.value = int(frame)
        if frame:
            values, flags = self.random("frame", _TAPS * self.cpi), random.getrandbits(5)
            dut.frame_i.value, dut.frame_flags_i.value = self.pack("frame", values), flags
            self.due.append((self.clock, flags, self._sums(values @ self.weights)))
        if take:
            self.weights = self.random("block", _TAPS * self.cpi * self.cpo).reshape(-1, self.cpo)
            dut.block_i.value = self.pack("block", self.weights)
        await FallingEdge(dut.clk_i)
        self.clock += 1
        self._check()

    def _sums(self, sums: np.ndarray) -> int:
        width = len(self.dut.partial_o) // self.cpo
        assert np.abs(sums).max() < 1 << (width - 1), "the partial sums are too narrow"
        return sum((int(value) & ((1 << width) - 1)) << width * lane for lane, value in enumerate(sums))

    def _check(self) -> None:
        dut = self.dut
        valid = int(dut.partial_valid_o.value)
        assert valid == self.early[0], "early_valid_o must be a clock before partial_valid_o"
        if valid:
            begin, flags, sums = self.due.pop(0)
            self.latencies.add(self.clock - begin)
            assert int(dut.partial_flags_o.value) == flags == self.early[1]
            assert int(dut.partial_o.value) == sums, "mul"
            assert int(dut.tree_partial_o.value) == sums, "mul_tree"
        self.early = (int(dut.early_valid_o.value), int(dut.early_flags_o.value))


@cocotb.test
async def equal_to_the_matrix_product(dut: Any) -> None:
    """Both arrays give frame x weights, with one latency, for any mixture of frames, gaps and new weights."""
    array = _Array(dut)
    await start(dut)
    await FallingEdge(dut.clk_i)
    await array.step(take=True, frame=False)
    for density in (1.0, 0.5, 0.1):
        for _ in range(150):
            await array.step(take=random.random() < 0.1, frame=random.random() < density)
    for _ in range(20):
        await array.step(take=False, frame=False)
    assert not array.due
    assert len(array.latencies) == 1, array.latencies
