"""cocotb tests of read_lanes.sv."""

from __future__ import annotations

import random
import struct
from typing import Any

import cocotb
import pytest
from cocotb.triggers import ClockCycles, RisingEdge

from tests.rtl.support.axi_memory import BEAT, Memory, ReadMemory
from tests.rtl.support.streams import Sink, Source, reset, start, until

PORTS = (
    "address",
    "run_beats",
    "group_stride",
    "group_count",
    "strip_count",
    "table",
    "table_address",
    "scale_beats",
    "scales_address",
)


def _record(record: bytes) -> tuple[int, int]:
    """A lane's item in both streams, from the record of docs/program.md."""
    bias, multiplier, shift, main_left, other_left, right, _ = struct.unpack("<IIBBBBI", record)
    return bias, multiplier | shift << 32 | main_left << 40 | other_left << 48 | right << 56


class _Bench:
    """The reader, its memory, and what it should deliver and write."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.cpo = int(dut.CPO.value)
        self.block = -(-self.cpo * 16 // BEAT)
        self.memory = Memory(random.getrandbits(32))
        self.slave = ReadMemory(dut, self.memory, random, longest=16)
        self.commands = Source(dut, "cmd", PORTS, random)
        self.bias, self.lanes = Sink(dut, "bias", random), Sink(dut, "lanes", random)
        self.expected: tuple[list[int], list[int]] = ([], [])
        self.writes: list[tuple[str, int, int]] = []
        self.expected_writes: list[tuple[str, int, int]] = []
        dut.abort_i.value = 0
        dut.tables_free_i.value = 1
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        while True:
            await RisingEdge(self.dut.clk_i)
            for name in ("table", "scales"):
                if getattr(self.dut, f"{name}_write_o").value == 1 and self.dut.rst_i.value == 0:
                    assert self.dut.tables_free_i.value == 1, f"{name} is written while it is in use"
                    index, data = getattr(self.dut, f"{name}_index_o"), getattr(self.dut, f"{name}_data_o")
                    self.writes.append((name, int(index.value), int(data.value)))

    def send(self, *, outs: int, groups: int, strips: int, table: bool = False, scales: int = 0) -> None:
        """Queue a layer."""
        run = outs * self.block
        address, table_address, scales_address = (random.getrandbits(40) * BEAT for _ in range(3))
        stride = run + self.block * random.randint(0, 2)
        self.commands.send(
            address=address,
            run_beats=run,
            group_stride=stride,
            group_count=groups,
            strip_count=strips,
            table=int(table),
            table_address=table_address,
            scale_beats=scales,
            scales_address=scales_address,
        )
        for name, at, count in (("table", table_address, 4 * table), ("scales", scales_address, scales)):
            for n in range(count):
                beat = int.from_bytes(self.memory.beat(at + n * BEAT), "little")
                self.expected_writes.append((name, n, beat))
        for group in range(groups):
            items = [self._item(address + (group * stride + out * self.block) * BEAT) for out in range(outs)]
            for _ in range(strips):
                for bias, lanes in items:
                    self.expected[0].append(bias)
                    self.expected[1].append(lanes)

    def _item(self, address: int) -> tuple[int, int]:
        records = [_record(self.memory.read(address + 16 * lane, 16)) for lane in range(self.cpo)]
        bias = sum(record[0] << 32 * lane for lane, record in enumerate(records))
        return bias, sum(record[1] << 64 * lane for lane, record in enumerate(records))

    def done(self) -> bool:
        counts = len(self.bias.items), len(self.lanes.items), len(self.writes)
        return counts == (len(self.expected[0]), len(self.expected[1]), len(self.expected_writes))

    async def finish(self) -> None:
        await until(self.dut, self.done, what="last item")
        self.check()

    def check(self) -> None:
        assert self.writes == self.expected_writes
        assert self.bias.items == self.expected[0]
        assert self.lanes.items == self.expected[1]

    def clear(self) -> None:
        for items in (self.bias, self.lanes, *self.expected, self.writes, self.expected_writes):
            items.clear()


def _layer() -> dict[str, Any]:
    return {
        "outs": random.randint(1, 9),
        "groups": random.choice((1, random.randint(1, 8))),
        "strips": random.randint(1, 3),
        "table": random.random() < 0.5,
        "scales": random.choice((0, 1, random.randint(2, 25))),
    }


@cocotb.test
async def random_layers(dut: Any) -> None:
    """Layers with and without tables, without a reset between, under idle and back-pressure on every channel."""
    bench = _Bench(dut)
    await start(dut)
    for idle in (0.0, 0.3, 0.7):
        bench.slave.idle = bench.commands.idle = bench.bias.idle = bench.lanes.idle = idle
        bench.slave.latency = random.randint(0, 50)
        for _ in range(8):
            bench.send(**_layer())
        await bench.finish()
        await until(dut, lambda: dut.quiet_o.value == 1, clocks=10)
        assert dut.error_o.value == 0


@cocotb.test
async def tables_wait(dut: Any) -> None:
    """Tables are written only when they are free. What comes before them is delivered, no further layer is taken."""
    bench = _Bench(dut)
    await start(dut)
    for _ in range(5):
        bench.clear()
        dut.tables_free_i.value = 1
        bench.send(outs=5, groups=2, strips=1, table=True)
        await bench.finish()
        dut.tables_free_i.value = 0
        bench.send(outs=3, groups=1, strips=1)
        bench.send(outs=2, groups=2, strips=2, table=True, scales=3)
        bench.send(outs=1, groups=1, strips=1)
        await ClockCycles(dut.clk_i, 300)
        assert len(bench.bias.items) == len(bench.lanes.items) == 13
        assert len(bench.writes) == 4
        assert len(bench.commands.queue) == 1
        dut.tables_free_i.value = 1
        await bench.finish()


@cocotb.test
async def two_items_ahead(dut: Any) -> None:
    """Each stream holds two items; the other one does not run further ahead."""
    bench = _Bench(dut)
    bench.lanes.idle = 1.0
    await start(dut)
    bench.send(outs=9, groups=1, strips=1)
    await ClockCycles(dut.clk_i, 400)
    assert len(bench.bias.items) == 2
    bench.lanes.idle = 0.0
    await bench.finish()


@cocotb.test
async def block_rate(dut: Any) -> None:
    """A beat a clock in long runs at a latency of 30 clocks."""
    bench = _Bench(dut)
    bench.slave.latency = 30
    await start(dut)
    bench.send(outs=120, groups=2, strips=1)
    await bench.finish()
    clocks = bench.lanes.clocks[-1] - bench.lanes.clocks[0] + 1
    assert clocks <= 1.1 * 240 * bench.block + 5


@cocotb.test
async def abort_and_reset(dut: Any) -> None:
    """An abort in the middle of a layer ends in quiet; a reset makes it work again."""
    bench = _Bench(dut)
    await start(dut)
    bench.slave.idle = 0.3
    for _ in range(6):
        bench.slave.latency = random.randint(0, 30)
        bench.send(**(_layer() | {"groups": 20, "table": True}))
        await ClockCycles(dut.clk_i, random.randint(1, 150))
        dut.abort_i.value = 1
        await RisingEdge(dut.clk_i)
        await until(dut, lambda: dut.quiet_o.value == 1, clocks=3000, what="quiet")
        assert bench.slave.open == 0
        bench.commands.clear()
        await reset(dut)
        dut.abort_i.value = 0
        bench.clear()
        bench.send(**_layer())
        await bench.finish()


@cocotb.test
async def flipped_bit(dut: Any) -> None:
    """One wrong bit in a lane record is noticed."""
    bench = _Bench(dut)
    await start(dut)
    bench.send(outs=3, groups=1, strips=1, table=True)
    at = bench.commands.queue[0]["address"] + bench.block * BEAT  # second item
    place = 16 * random.randrange(bench.cpo) + random.randrange(12)
    address = at + place - place % BEAT
    beat = bytearray(bench.memory.beat(address))
    beat[place % BEAT] ^= 1 << random.randrange(8)
    bench.memory.write(address, bytes(beat), (1 << BEAT) - 1)
    await until(dut, bench.done)
    with pytest.raises(AssertionError):
        bench.check()
