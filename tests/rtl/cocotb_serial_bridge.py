"""cocotb tests of serial_bridge.sv: the host's requests, good and bad, against a model of what lies behind."""

from __future__ import annotations

import random
from binascii import crc_hqx
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from tests.rtl.support.streams import reset, start

REGISTERS = 1 << 23
OK, BAD = 0x4B, 0x45
TOGGLE = 0x20


def message(opcode: int, address: int, words: int, data: bytes = b"") -> bytes:
    parts = [bytes([opcode, words - 1]) + address.to_bytes(3, "little"), *([data] if data else [])]
    return b"".join(part + crc_hqx(part, 0xFFFF).to_bytes(2, "big") for part in parts)


class _Line:
    """Bytes in and out, and words behind the bridge, where each access takes some clocks."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.words: dict[int, int] = {}
        self.register_writes: list[tuple[int, int]] = []
        self.answer = bytearray()
        self.random = random.Random(random.getrandbits(32))
        for name in ("received_i", "byte_i", "sent_i", "done_i", "data_i"):
            getattr(dut, name).value = 0

    async def begin(self) -> None:
        await start(self.dut)
        cocotb.start_soon(self._serve())
        cocotb.start_soon(self._collect())

    async def ask(self, request: bytes, *, gap: int = 12) -> bytes:
        """Send bytes and wait until the bridge has nothing more to say."""
        self.answer.clear()
        for byte in request:
            self.dut.received_i.value, self.dut.byte_i.value = 1, byte
            await RisingEdge(self.dut.clk_i)
            self.dut.received_i.value = 0
            await ClockCycles(self.dut.clk_i, gap)
        quiet = 0
        while quiet < 40:
            before = len(self.answer)
            await ClockCycles(self.dut.clk_i, 1)
            quiet = quiet + 1 if len(self.answer) == before else 0
        return bytes(self.answer)

    async def _serve(self) -> None:
        dut = self.dut
        while True:
            await RisingEdge(dut.clk_i)
            if not dut.access_o.value:
                continue
            address, writes, data = int(dut.address_o.value), int(dut.write_o.value), int(dut.data_o.value)
            await ClockCycles(dut.clk_i, self.random.randint(1, 6))
            if writes:
                self.words[address] = data
                if address & REGISTERS:
                    self.register_writes.append((address, data))
            dut.data_i.value, dut.done_i.value = self.words.get(address, 0), 1
            await RisingEdge(dut.clk_i)
            dut.done_i.value = 0
            await RisingEdge(dut.clk_i)

    async def _collect(self) -> None:
        dut = self.dut
        while True:
            dut.sent_i.value = 0
            await RisingEdge(dut.clk_i)
            if dut.send_o.value and self.random.random() < 0.3:
                byte = int(dut.byte_o.value)
                dut.sent_i.value = 1
                await RisingEdge(dut.clk_i)
                self.answer.append(byte)


def answer(data: bytes = b"") -> bytes:
    body = bytes([OK]) + data
    return body + crc_hqx(body, 0xFFFF).to_bytes(2, "big")


@cocotb.test()
async def words_are_written_and_read(dut: Any) -> None:
    line = _Line(dut)
    await line.begin()
    memory: dict[int, int] = {}
    for _ in range(25):
        words, address = line.random.choice([1, 2, 3, 17]), 4 * line.random.randrange(64)
        places = [address + 4 * n for n in range(words)]
        if line.random.random() < 0.5:
            values = [line.random.getrandbits(32) for _ in places]
            memory |= zip(places, values, strict=True)
            data = b"".join(value.to_bytes(4, "little") for value in values)
            assert await line.ask(message(ord("W"), address, words, data)) == answer()
        else:
            data = b"".join(memory.get(place, 0).to_bytes(4, "little") for place in places)
            assert await line.ask(message(ord("R"), address, words)) == answer(data)
    assert line.words == memory


@cocotb.test()
async def a_damaged_request_changes_nothing_but_its_own_place(dut: Any) -> None:
    line = _Line(dut)
    await line.begin()
    toggle = 0
    for number in range(40):
        base, words = ((REGISTERS + 0x10, 1), (0x40, 3))[number % 2]
        toggle ^= TOGGLE if base & REGISTERS else 0
        data = line.random.randbytes(4 * words)
        good = message(ord("W") | toggle, base, words, data)
        bit = line.random.randrange(8 * len(good))
        bad = bytes(byte ^ (1 << bit % 8 if n == bit // 8 else 0) for n, byte in enumerate(good))
        places = {base + 4 * n for n in range(words)}
        before, written = dict(line.words), list(line.register_writes)
        found = await line.ask(bad)
        # Without its opcode a request is none, unless there is one among its other bytes.
        assert found == bytes([BAD]) or (found == b"" and bit < 8), (bit, found)
        assert {place for place in line.words if line.words[place] != before.get(place)} <= places - {REGISTERS + 0x10}
        assert line.register_writes == written
        await ClockCycles(dut.clk_i, 300)  # longer than SILENCE
        assert await line.ask(good) == answer()
        assert await line.ask(message(ord("R"), base, words)) == answer(data)


@cocotb.test()
async def a_repeated_register_write_happens_once(dut: Any) -> None:
    line = _Line(dut)
    await line.begin()
    for number, toggle in enumerate((TOGGLE, 0, TOGGLE, 0), 1):
        request = message(ord("W") | toggle, REGISTERS, 1, number.to_bytes(4, "little"))
        for _ in range(3):  # as if the first two answers were lost
            assert await line.ask(request) == answer()
        assert line.register_writes == [(REGISTERS, n + 1) for n in range(number)]
        assert int(dut.toggle_o.value) == (toggle != 0)


@cocotb.test()
async def what_is_cut_off_or_no_request_is_forgotten(dut: Any) -> None:
    line = _Line(dut)
    await line.begin()
    for _ in range(12):
        request = message(ord("W"), 0x40, 2, line.random.randbytes(8))
        assert await line.ask(request[: line.random.randrange(1, len(request))]) == b""  # waits for the rest
        await ClockCycles(dut.clk_i, 300)  # longer than SILENCE
        assert not dut.active_o.value
        assert await line.ask(bytes([0, 0xFF, ord("x"), ord("K")])) == b""
        assert await line.ask(request) == answer()
        assert await line.ask(message(ord("R"), 0x40, 2)) == answer(request[7:15])


@cocotb.test()
async def a_reset_in_between_leaves_nothing(dut: Any) -> None:
    line = _Line(dut)
    await line.begin()
    request = message(ord("W"), 0x80, 3, line.random.randbytes(12))
    await line.ask(request[:9])
    await reset(dut)
    assert not dut.active_o.value
    assert await line.ask(request) == answer()
