"""AXI4 memories for cocotb tests of single modules: a set latency, random idle, errors, and the protocol's rules.

They watch the ports ``arvalid_o``, ``rvalid_i`` ... of a module; addresses are bytes, a beat has 64.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

BEAT = 64
OKAY, SLVERR, DECERR = 0, 2, 3


class Memory:
    """Bytes that are written or random: every address reads as the same value again."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.beats: dict[int, bytes] = {}

    def beat(self, address: int) -> bytes:
        """The beat of 64 bytes around a byte address."""
        index = address // BEAT
        if index not in self.beats:
            self.beats[index] = random.Random(f"{self.seed} {index}").randbytes(BEAT)
        return self.beats[index]

    def read(self, address: int, count: int) -> bytes:
        """Any run of bytes."""
        first, end = address // BEAT, -(-(address + count) // BEAT)
        data = b"".join(self.beat(index * BEAT) for index in range(first, end))
        return data[address % BEAT :][:count]

    def write(self, address: int, data: bytes, strobe: int) -> None:
        """One beat, bytes whose strobe bit is set."""
        old = self.beat(address)
        self.beats[address // BEAT] = bytes(
            new if strobe >> n & 1 else before for n, (before, new) in enumerate(zip(old, data, strict=True))
        )


def _check_burst(address: int, length: int, longest: int) -> None:
    assert address % BEAT == 0, f"burst at {address:#x}: not a multiple of a beat"
    assert 1 <= length <= longest, f"burst of {length} beats; the longest has {longest}"
    assert address // 4096 == (address + length * BEAT - 1) // 4096, f"burst at {address:#x} crosses 4 KiB"


class _Offer:
    """Holds a channel to AXI's rule: what is offered stays until it is taken."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: tuple[int, ...] | None = None

    def forget(self) -> None:
        """The module is in reset."""
        self._waiting = None

    def check(self, valid: bool, ready: bool, payload: tuple[int, ...]) -> None:
        if self._waiting is not None:
            assert valid, f"{self._name} was withdrawn"
            assert payload == self._waiting, f"{self._name} changed while it was offered"
        self._waiting = payload if valid and not ready else None


class ReadMemory:
    """The slave of a module's read channels.

    Attributes:
        idle: probability of a clock without ``arready``, and of one without ``rvalid``.
        latency: clocks from an address to its first beat.
        errors: beats (address / 64) that answer with an error.
        bursts: (address, beats) of every burst.
        sent: beats sent.
        open: bursts taken whose last beat has not been sent.
    """

    def __init__(self, dut: Any, memory: Memory, rng: random.Random, *, longest: int, latency: int = 0) -> None:
        self.memory, self.latency, self.longest = memory, latency, longest
        self.idle = 0.0
        self.errors: set[int] = set()
        self.bursts: list[tuple[int, int]] = []
        self.sent = 0
        self._dut, self._rng = dut, rng
        self._beats: deque[tuple[int, int, bool]] = deque()  # clock, address, last
        dut.arready_i.value = 0
        dut.rvalid_i.value = 0
        dut.rlast_i.value = 0
        dut.rresp_i.value = 0
        dut.rdata_i.value = 0
        cocotb.start_soon(self._run())

    @property
    def open(self) -> int:
        return sum(last for _, _, last in self._beats)

    async def _run(self) -> None:
        dut, clock, ready, offer = self._dut, 0, 0, _Offer("an address")
        while True:
            await RisingEdge(dut.clk_i)
            clock += 1
            if dut.rst_i.value == 1:
                offer.forget()
                continue
            valid = dut.arvalid_o.value == 1
            if valid:
                address, length = int(dut.araddr_o.value), int(dut.arlen_o.value) + 1
                offer.check(True, bool(ready), (address, length))
                if ready:
                    self._accept(address, length, clock)
            else:
                offer.check(False, bool(ready), ())
            following = int(self._rng.random() >= self.idle)
            if following != ready:
                ready = following
                dut.arready_i.value = ready
            assert dut.rready_o.value == 1, "rready must always be up"
            self._drive(clock)

    def _accept(self, address: int, length: int, clock: int) -> None:
        _check_burst(address, length, self.longest)
        self.bursts.append((address, length))
        for n in range(length):
            self._beats.append((clock + self.latency, address + n * BEAT, n == length - 1))

    def _drive(self, clock: int) -> None:
        dut = self._dut
        if self._beats and self._beats[0][0] <= clock and self._rng.random() >= self.idle:
            _, address, last = self._beats.popleft()
            self.sent += 1
            wrong = address // BEAT in self.errors
            dut.rvalid_i.value = 1
            dut.rlast_i.value = int(last)
            dut.rresp_i.value = self._rng.choice((SLVERR, DECERR)) if wrong else OKAY
            dut.rdata_i.value = int.from_bytes(self.memory.beat(address), "little")
        else:
            dut.rvalid_i.value = 0


class WriteMemory:
    """The slave of a module's write channels.

    Attributes:
        idle: probability of a clock without ``awready``, of one without ``wready``, and of one without ``bvalid``.
        latency: clocks from a burst's last beat to its response.
        errors: beats (address / 64) whose burst answers with an error.
        bursts: (address, beats) of every burst.
        written: times each byte was written.
    """

    def __init__(self, dut: Any, memory: Memory, rng: random.Random, *, longest: int, latency: int = 0) -> None:
        self.memory, self.latency, self.longest = memory, latency, longest
        self.idle = 0.0
        self.errors: set[int] = set()
        self.bursts: list[tuple[int, int]] = []
        self.written: dict[int, int] = {}
        self._dut, self._rng = dut, rng
        self._addresses: deque[tuple[int, int]] = deque()
        self._data: deque[tuple[bytes, int, bool]] = deque()
        self._responses: deque[tuple[int, int]] = deque()  # clock, response
        dut.awready_i.value = 0
        dut.wready_i.value = 0
        dut.bvalid_i.value = 0
        dut.bresp_i.value = 0
        cocotb.start_soon(self._run())

    @property
    def open(self) -> int:
        """Bursts whose address has come, but whose response has not gone."""
        return len(self._addresses) + len(self._responses)

    async def _run(self) -> None:
        dut, clock = self._dut, 0
        ready = {"aw": 0, "w": 0}
        offers = {"aw": _Offer("a write address"), "w": _Offer("a write beat")}
        while True:
            await RisingEdge(dut.clk_i)
            clock += 1
            if dut.rst_i.value == 1:
                for offer in offers.values():
                    offer.forget()
                continue
            address = (int(dut.awaddr_o.value), int(dut.awlen_o.value) + 1) if dut.awvalid_o.value == 1 else ()
            data = (
                (int(dut.wdata_o.value), int(dut.wstrb_o.value), int(dut.wlast_o.value))
                if dut.wvalid_o.value == 1
                else ()
            )
            offers["aw"].check(bool(address), bool(ready["aw"]), address)
            offers["w"].check(bool(data), bool(ready["w"]), data)
            if address and ready["aw"]:
                _check_burst(*address, self.longest)
                self.bursts.append(address)
                self._addresses.append(address)
            if data and ready["w"]:
                self._data.append((data[0].to_bytes(BEAT, "little"), data[1], bool(data[2])))
            self._store(clock)
            for name in ready:
                following = int(self._rng.random() >= self.idle)
                if following != ready[name]:
                    ready[name] = following
                    getattr(dut, f"{name}ready_i").value = following
            assert dut.bready_o.value == 1, "bready must always be up"
            self._respond(clock)

    def _store(self, clock: int) -> None:
        """Complete bursts into the memory."""
        while self._addresses and len(self._data) >= self._addresses[0][1]:
            address, length = self._addresses.popleft()
            wrong = False
            for n in range(length):
                data, strobe, last = self._data.popleft()
                assert last == (n == length - 1), f"wlast is wrong in beat {n} of {length}"
                assert strobe, "a beat without a byte"
                at = address + n * BEAT
                wrong |= at // BEAT in self.errors
                self.memory.write(at, data, strobe)
                for byte in range(BEAT):
                    if strobe >> byte & 1:
                        self.written[at + byte] = self.written.get(at + byte, 0) + 1
            self._responses.append((clock + self.latency, self._rng.choice((SLVERR, DECERR)) if wrong else OKAY))

    def _respond(self, clock: int) -> None:
        dut = self._dut
        if self._responses and self._responses[0][0] <= clock and self._rng.random() >= self.idle:
            dut.bvalid_i.value = 1
            dut.bresp_i.value = self._responses.popleft()[1]
        else:
            dut.bvalid_i.value = 0
