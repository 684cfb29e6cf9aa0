"""cocotb tests of weight_block.sv: from beats of weights to the block of a pass."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, Timer

from sliceflow.graph.descriptor import Op
from tests.rtl.support.streams import Source, reset, start

_TAPS, _BEAT_BITS = 9, 512


class _Bench:
    """Commands, beats and an array that takes blocks at random; one call a clock."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.cpi, self.cpo, self.bits = (int(getattr(dut, name).value) for name in ("CPI", "CPO", "WEIGHT_BITS"))
        self.commands = Source(dut, "cmd", ("op", "blocks"), random)
        self.beats: deque[int] = deque()
        self.blocks: deque[int] = deque()
        self.idle = self.slow = 0.0
        self._valid = 0
        dut.take_i.value = dut.beat_valid_i.value = 0

    def send(self, op: Op, count: int) -> None:
        """Queue a layer."""
        self.commands.send(op=int(op), blocks=count)
        for _ in range(count):
            self.blocks.append(self._packed(self._matrix(op)))

    def _matrix(self, op: Op) -> np.ndarray:
        """Random weights as beats; returns what each tap's matrix [CPI][CPO] must be."""
        matrix = np.zeros((_TAPS, self.cpi, self.cpo), object)
        lanes = range(self.cpi)
        if op == Op.PASS:
            matrix[0, lanes, lanes] = 1
            return matrix
        dense = op in (Op.CONV, Op.POINTWISE)
        shape = (_TAPS, self.cpi, self.cpo) if dense else (_TAPS, self.cpi)
        weights = np.array([random.getrandbits(self.bits) for _ in range(int(np.prod(shape)))], object)
        count = -(-weights.size * self.bits // _BEAT_BITS)
        rest = count * _BEAT_BITS - weights.size * self.bits  # what fills the last beat means nothing
        packed = self._packed(weights) | random.getrandbits(rest + 1) >> 1 << weights.size * self.bits
        self.beats.extend(packed >> _BEAT_BITS * n & ((1 << _BEAT_BITS) - 1) for n in range(count))
        if dense:
            return weights.reshape(shape)
        matrix[:, lanes, lanes] = weights.reshape(shape)
        return matrix

    def _packed(self, weights: np.ndarray) -> int:
        return sum(int(value) << self.bits * n for n, value in enumerate(weights.ravel()))

    async def clock(self) -> None:
        dut = self.dut
        self._valid = int(bool(self.beats) and (self._valid or random.random() >= self.idle))
        dut.beat_valid_i.value = self._valid
        if self._valid:
            dut.beat_i.value = self.beats[0]
        take = int(bool(int(dut.block_valid_o.value)) and random.random() >= self.slow)
        dut.take_i.value = take
        await Timer(1, "ns")  # ready follows take
        if take:
            assert int(dut.block_o.value) == self.blocks.popleft()
        if self._valid and int(dut.beat_ready_o.value):
            self.beats.popleft()
            self._valid = 0
        await FallingEdge(dut.clk_i)


@cocotb.test
async def random_layers(dut: Any) -> None:
    """Blocks of every operation in turns, at every speed, and again after a reset in the middle."""
    bench = _Bench(dut)
    await start(dut)
    await FallingEdge(dut.clk_i)
    for bench.idle, bench.slow in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.8), (0.3, 0.3)):
        for _ in range(12):
            bench.send(random.choice(list(Op)), random.choice((1, 2, 5)))
        for _ in range(20_000):
            if not bench.blocks:
                break
            await bench.clock()
        assert not bench.blocks
        assert not bench.beats
        bench.send(Op.CONV, 5)
        for _ in range(random.randrange(8)):
            await bench.clock()
        bench.commands.clear()
        bench.beats.clear()
        bench.blocks.clear()
        dut.take_i.value = dut.beat_valid_i.value = 0
        await reset(dut)
        await FallingEdge(dut.clk_i)
        assert not int(dut.block_valid_o.value)


@cocotb.test
async def full_speed(dut: Any) -> None:
    """A beat a clock: the array waits for no block longer than its beats take."""
    bench = _Bench(dut)
    await start(dut)
    await FallingEdge(dut.clk_i)
    bench.send(Op.CONV, 10)
    total = len(bench.beats)
    clocks = 0
    while bench.blocks and clocks < 10 * total:
        await bench.clock()
        clocks += 1
    assert clocks <= total + 4
