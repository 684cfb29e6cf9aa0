"""The five AXI masters of the whole kernel, as cocotbext-axi streams in front of one memory.

Every burst has a random latency, every channel random idle and back-pressure; bursts of different IDs overtake each
other and interleave, as AXI allows. The ports are found by the names that Vitis gives them, in either case, also
behind the ``gmem_`` that Vitis HLS makes of ``hls/cpp/kernel.cpp``; beats may have any width.
"""

from __future__ import annotations

import dataclasses
import random
from collections import deque
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.triggers import Event, RisingEdge
from cocotb.utils import get_sim_time
from cocotbext.axi.stream import define_stream

CLOCK_NS = 4
OKAY, SLVERR, DECERR = 0, 2, 3
_INCREMENTING = 1

# Only what a memory needs: cocotbext-axi's own channels also hold AxLOCK to one bit, where Vitis has two.
_ADDRESS = ("id", "addr", "len", "size", "burst", "valid", "ready")
_ArBus, _, _, _ArSink, _ = define_stream("Ar", [f"ar{name}" for name in _ADDRESS])
_AwBus, _, _, _AwSink, _ = define_stream("Aw", [f"aw{name}" for name in _ADDRESS])
_RBus, _RBeat, _RSource, _, _ = define_stream("R", ["rid", "rdata", "rresp", "rlast", "rvalid", "rready"])
_WBus, _, _, _WSink, _ = define_stream("W", ["wdata", "wstrb", "wlast", "wvalid", "wready"])
_BBus, _BBeat, _BSource, _, _ = define_stream("B", ["bid", "bresp", "bvalid", "bready"])


class Memory:
    """Buffers at 64-bit addresses. What lies outside them cannot be read or written.

    Attributes:
        faults: accesses outside the buffers, and writes to buffers that are read-only.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._buffers: list[tuple[int, bytearray, bool]] = []

    def map(self, address: int, data: bytearray, *, writable: bool = False) -> None:
        """Put a buffer, in whole beats, at an address."""
        self._buffers.append((address, data, writable))

    def clear(self) -> None:
        """Take all buffers away."""
        self._buffers.clear()

    def read(self, address: int, size: int) -> bytes:
        """Bytes of one buffer."""
        for base, data, _ in self._buffers:
            if base <= address and address + size <= base + len(data):
                return bytes(data[address - base : address - base + size])
        self.faults.append(f"read of {size} bytes at {address:#x}")
        return bytes(size)

    def write(self, address: int, data: bytes, strobe: int) -> None:
        """The bytes whose strobe bit is set."""
        for base, old, writable in self._buffers:
            if writable and base <= address and address + len(data) <= base + len(old):
                for n, byte in enumerate(data):
                    if strobe >> n & 1:
                        old[address - base + n] = byte
                return
        self.faults.append(f"write of {len(data)} bytes at {address:#x}")


@dataclasses.dataclass
class Behaviour:
    """How the ports behave from now on.

    Attributes:
        idle: probability of a clock in which a channel is not ready or offers nothing.
        latency: most clocks from a burst's address (write: last beat) to its first beat (response).
    """

    idle: float = 0.0
    latency: int = 0


@dataclasses.dataclass
class _Burst:
    identity: int
    address: int
    size: int
    beats: int
    due: int
    sent: int = 0


def _now() -> int:
    return int(get_sim_time("ns")) // CLOCK_NS


def _idle(rng: random.Random, behaviour: Behaviour) -> Iterator[bool]:
    while True:
        yield rng.random() < behaviour.idle


class _Side:
    """What the read and the write side of a port share.

    Attributes:
        bursts: since the latest ``clear``.
        beats: of the bursts since then.
        fail_at: number of the beat, since then, that answers with an error; write: its burst does.
        response: of that beat.
    """

    def __init__(self, dut: Any, name: str, memory: Memory, rng: random.Random, behaviour: Behaviour) -> None:
        self.bursts = self.beats = 0
        self.fail_at: int | None = None
        self.response = SLVERR
        self._name, self._clock, self._memory, self._rng, self._behaviour = name, dut.ap_clk, memory, rng, behaviour
        self._dut = dut
        self._streams: list[Any] = []
        self._tasks: list[Any] = []

    def _stream(self, bus: Any, kind: Any, depth: int) -> Any:
        stream = kind(bus.from_prefix(self._dut, self._name), self._clock, self._dut.ap_rst_n, False)
        stream.queue_occupancy_limit = depth
        stream.set_pause_generator(_idle(self._rng, self._behaviour))
        self._streams.append(stream)
        return stream

    def clear(self) -> None:
        """Forget counts and the error to come."""
        self.bursts = self.beats = 0
        self.fail_at = None

    def restart(self) -> None:
        """Forget what is under way. For use while the kernel is in reset."""
        for task in self._tasks:
            task.cancel()
        for stream in self._streams:
            stream.clear()
        self._tasks = [cocotb.start_soon(coroutine) for coroutine in self._coroutines()]

    def _coroutines(self) -> list[Any]:
        raise NotImplementedError

    def _burst(self, item: Any, prefix: str, width: int) -> _Burst:
        """A checked burst from its address beat."""
        identity, address, length, size, burst = (
            int(getattr(item, prefix + name)) for name in ("id", "addr", "len", "size", "burst")
        )
        assert burst == _INCREMENTING, f"{self._name}: burst of type {burst}"
        assert 1 << size == width, f"{self._name}: beats of {1 << size} bytes on a port of {width}"
        assert address % width == 0, f"{self._name}: burst at {address:#x}"
        assert address // 4096 == (address + (length + 1) * width - 1) // 4096, f"{self._name}: crosses 4 KiB"
        self.bursts += 1
        return _Burst(identity, address, width, length + 1, _now() + self._rng.randint(0, self._behaviour.latency))

    def _count(self) -> int:
        """Count a beat; its response."""
        self.beats += 1
        return self.response if self.fail_at == self.beats - 1 else OKAY


class ReadSide(_Side):
    """Answers a port's reads."""

    def __init__(self, dut: Any, name: str, memory: Memory, rng: random.Random, behaviour: Behaviour) -> None:
        super().__init__(dut, name, memory, rng, behaviour)
        self._address = self._stream(_ArBus, _ArSink, 4)
        self._data = self._stream(_RBus, _RSource, 1)
        self._width = len(self._data.bus.rdata) // 8
        self._open: dict[int, deque[_Burst]] = {}
        self._arrived = Event()

    def _coroutines(self) -> list[Any]:
        self._open = {}
        return [self._accept(), self._send()]

    async def _accept(self) -> None:
        while True:
            burst = self._burst(await self._address.recv(), "ar", self._width)
            self._open.setdefault(burst.identity, deque()).append(burst)
            self._arrived.set()

    async def _send(self) -> None:
        while True:
            ready = [queue for queue in self._open.values() if queue and queue[0].due <= _now()]
            if ready:
                queue = self._rng.choice(ready)
                await self._data.send(self._beat(queue[0]))
                if queue[0].sent == queue[0].beats:
                    queue.popleft()
            elif any(self._open.values()):
                await RisingEdge(self._clock)
            else:
                self._arrived.clear()
                await self._arrived.wait()

    def _beat(self, burst: _Burst) -> Any:
        data = self._memory.read(burst.address + burst.sent * burst.size, burst.size)
        burst.sent += 1
        return _RBeat(
            rid=burst.identity,
            rdata=int.from_bytes(data, "little"),
            rresp=self._count(),
            rlast=int(burst.sent == burst.beats),
        )


class WriteSide(_Side):
    """Takes a port's writes."""

    def __init__(self, dut: Any, name: str, memory: Memory, rng: random.Random, behaviour: Behaviour) -> None:
        super().__init__(dut, name, memory, rng, behaviour)
        self._address = self._stream(_AwBus, _AwSink, 4)
        self._data = self._stream(_WBus, _WSink, 4)
        self._responses = self._stream(_BBus, _BSource, 1)
        self._width = len(self._data.bus.wdata) // 8
        self._done: deque[tuple[int, Any]] = deque()
        self._arrived = Event()

    def _coroutines(self) -> list[Any]:
        self._done.clear()
        return [self._accept(), self._respond()]

    async def _accept(self) -> None:
        while True:
            burst = self._burst(await self._address.recv(), "aw", self._width)
            response = OKAY
            for n in range(burst.beats):
                item = await self._data.recv()
                assert int(item.wlast) == int(n == burst.beats - 1), f"{self._name}: wlast in beat {n}"
                data = int(item.wdata).to_bytes(self._width, "little")
                self._memory.write(burst.address + n * self._width, data, int(item.wstrb))
                response = max(response, self._count())
            due = _now() + self._rng.randint(0, self._behaviour.latency)
            self._done.append((due, _BBeat(bid=burst.identity, bresp=response)))
            self._arrived.set()

    async def _respond(self) -> None:
        while True:
            if self._done and self._done[0][0] <= _now():
                await self._responses.send(self._done.popleft()[1])
            elif self._done:
                await RisingEdge(self._clock)
            else:
                self._arrived.clear()
                await self._arrived.wait()


def port_name(dut: Any, port: str) -> str:
    """The prefix of a memory port's signals: ``m_axi_in`` or ``m_axi_gmem_in``."""
    names = {name.lower() for name in dir(dut)}
    found = [name for name in (f"m_axi_{port}", f"m_axi_gmem_{port}") if f"{name}_arvalid" in names]
    assert found, f"the kernel has no port m_axi_{port} or m_axi_gmem_{port}"
    return found[0]
