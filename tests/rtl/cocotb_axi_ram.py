"""cocotb tests of the read port and the writer against cocotbext-axi's memory: a second opinion on the protocol.

Each test is for the module of its name.
"""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiRamRead, AxiRamWrite, AxiReadBus, AxiWriteBus

from tests.rtl.support.axi_ports import AxiPorts
from tests.rtl.support.streams import Sink, Source, start, until

SIZE = 1 << 16
"""Bytes of the memory."""


def _pauses(rate: float) -> Any:
    rng = random.Random(random.getrandbits(32))
    while True:
        yield rng.random() < rate


@cocotb.test
async def read_port(dut: Any) -> None:
    """Runs of any place and length are what the memory holds."""
    dut.abort_i.value = 0
    ram = AxiRamRead(AxiReadBus.from_entity(AxiPorts(dut)), dut.clk_i, dut.rst_i, size=SIZE)
    content = random.randbytes(SIZE)
    ram.write(0, content)
    source, sink = Source(dut, "cmd", ("address", "beats"), random, 0.2), Sink(dut, "beat", random, 0.2)
    await start(dut)
    for rate in (0.0, 0.5):
        ram.ar_channel.set_pause_generator(_pauses(rate))
        ram.r_channel.set_pause_generator(_pauses(rate))
        expected = []
        sink.clear()
        for _ in range(20):
            beats = random.randint(1, 150)
            first = random.randrange(SIZE // 64 - beats)
            source.send(address=64 * first, beats=beats)
            expected += [int.from_bytes(content[64 * n :][:64], "little") for n in range(first, first + beats)]
        await until(dut, lambda expected=expected: len(sink.items) >= len(expected), what="last beat")
        assert sink.items == expected


@cocotb.test
async def write(dut: Any) -> None:
    """A strip of several slices changes its bytes in the memory, and no other ones."""
    dut.abort_i.value = 0
    ram = AxiRamWrite(AxiWriteBus.from_entity(AxiPorts(dut)), dut.clk_i, dut.rst_i, size=SIZE)
    expected = bytearray(random.randbytes(SIZE))
    ram.write(0, bytes(expected))
    names = ("address", "plane", "rows", "width", "row", "repeat_y", "repeat_x", "outs", "slices")
    commands, pixels = Source(dut, "cmd", names, random, 0.2), Source(dut, "pixel", ("data",), random, 0.2)
    cpi, ratio = int(dut.CPI.value), int(dut.CPO.value) // int(dut.CPI.value)
    word = cpi * int(dut.ACTIVATION_BITS.value) // 8
    await start(dut)
    for rate in (0.0, 0.5):
        for channel in (ram.aw_channel, ram.w_channel, ram.b_channel):
            channel.set_pause_generator(_pauses(rate))
        for _ in range(5):
            rows, width, slices = random.randint(1, 5), random.randint(1, 30), random.randint(1, 2 * ratio)
            plane, outs = rows * width * word, -(-slices // ratio)
            address = random.randrange((SIZE - slices * plane) // word) * word
            values = (address, plane, rows, width, width * word, 1, 1, outs, slices)
            commands.send(**dict(zip(names, values, strict=True)))
            for out in range(outs):
                for n in range(rows * width):
                    pixel = random.randbytes(word * ratio)
                    pixels.send(data=int.from_bytes(pixel, "little"))
                    for part in range(min(ratio, slices - out * ratio)):
                        at = address + (out * ratio + part) * plane + n * word
                        expected[at : at + word] = pixel[part * word :][:word]
        await until(dut, lambda: not (commands.queue or pixels.queue), what="intake")
        await ClockCycles(dut.clk_i, 2)
        await until(dut, lambda: dut.idle_o.value == 1, what="idle")
        assert ram.read(0, SIZE) == bytes(expected)
