"""Drives a kernel through its registers: the Vitis ``ap_ctrl`` protocol (hls/rtl/README.md, Registers).

The same driver serves the simulated RTL and boards; what differs is how a register is reached, ``RegisterBus``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol

from sliceflow.devices.status import check_status
from sliceflow.errors import UserError
from sliceflow.hardware.register_map import (
    ABORT,
    CONTROL,
    COUNT,
    DEBUG,
    FIRST,
    INTERRUPT_ENABLE,
    INTERRUPT_GLOBAL,
    INTERRUPT_STATUS,
    LOG,
    LOG_ENTRIES,
    POINTERS,
    STATUS,
    WATCHDOG,
)

_START, _DONE, _IDLE = 1 << 0, 1 << 1, 1 << 2
_DONE_INTERRUPT = 1 << 0
_MASK = 0xFFFF_FFFF
_ABORT_WAITS = 1000
"""Times that a launch's limit must pass after an abort before the accelerator counts as lost."""


_LEAST_LIMIT = 200_000
_LIMIT_FACTOR = 4


def clock_limit(predicted: int, *, stall: int = 0) -> int:
    """Clocks after which work is given up: so many at least, and a multiple of the prediction.

    Args:
        predicted: clocks that the cycle model gives it.
        stall: of 1000 clocks, those in which the memory idles.
    """
    return _LEAST_LIMIT + _LIMIT_FACTOR * 1000 // max(1, 1000 - stall) * predicted


class RegisterBus(Protocol):
    """A way to a kernel's registers.

    Attributes:
        unit: of its times, in the plural: ``clocks`` or ``seconds``.
    """

    unit: str

    def read(self, offset: int) -> int:
        """The 32 bits of a register, at a byte offset."""

    def write(self, offset: int, value: int) -> None:
        """Write the 32 bits of a register."""

    def now(self) -> float:
        """The time, from any origin."""

    def pause(self, longest: float) -> None:
        """Let time pass: until the kernel interrupts, or for a moment where interrupts cannot be seen."""

    def detail(self) -> str:
        """What the bus knows of the reason when a launch fails; may be empty."""


@dataclasses.dataclass(frozen=True)
class LayerClocks:
    """When a layer did what, in clocks since the launch.

    Attributes:
        begin: the layer begins.
        first_frame: its first frame enters the array.
        last_frame: its last frame does.
        end: its last write response has arrived.
    """

    begin: int
    first_frame: int
    last_frame: int
    end: int

    @property
    def cycles(self) -> int:
        """Clocks of the layer."""
        return (self.end - self.begin) & _MASK


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pointers:
    """Byte addresses of the three buffers, as the kernel sees them; multiples of 64."""

    program: int
    weights: int
    activations: int


class KernelDriver:
    """Launches descriptors and reads the clock log.

    Args:
        bus: the way to the registers.
        layers: names of the program's layers in the order of their descriptors, for errors.
        interrupts: let the kernel interrupt; without, ``ap_done`` is polled.
        clock_log: the kernel has the log and the debug registers: the RTL has, what Vitis HLS makes has not.
    """

    def __init__(
        self, bus: RegisterBus, layers: Sequence[str] = (), *, interrupts: bool = True, clock_log: bool = True
    ) -> None:
        self._bus = bus
        self._layers = layers
        self._interrupts = interrupts
        self._has_log = clock_log

    def launch(
        self, pointers: Pointers, first: int, count: int, limit: float, *, watchdog: int = 0
    ) -> list[LayerClocks]:
        """Execute descriptors ``first .. first + count``, in several launches if the log is too small for one.

        Args:
            pointers: the buffers.
            first: number of the first descriptor.
            count: descriptors to execute.
            limit: longest time of one launch, in the bus's unit. A launch that exceeds it is aborted.
            watchdog: clocks without progress after which the kernel itself ends the launch; 0 for any number.

        Returns:
            The clocks of each layer; empty without a log.

        Raises:
            UserError: the accelerator refuses a descriptor, meets a memory error, is busy, or does not end in time.
        """
        clocks: list[LayerClocks] = []
        for part_first, part_count in _parts(first, count):
            self._start(pointers, part_first, part_count, watchdog)
            self._finish(part_first, part_count, limit)
            clocks += self._clock_log(part_count) if self._has_log else []
        return clocks

    def _start(self, pointers: Pointers, first: int, count: int, watchdog: int) -> None:
        bus = self._bus
        if not bus.read(CONTROL) & _IDLE:
            raise self._failure("the accelerator is busy with another launch", first, count)
        addresses = dict.fromkeys(("act_in", "act_add", "act_out"), pointers.activations)
        addresses |= {"program": pointers.program, "weights": pointers.weights}
        for name, offset in POINTERS.items():
            bus.write(offset, addresses[name] & _MASK)
            bus.write(offset + 4, addresses[name] >> 32)
        bus.write(FIRST, first)
        bus.write(COUNT, count)
        if self._has_log:
            bus.write(WATCHDOG, min(watchdog, _MASK))
        bus.write(INTERRUPT_ENABLE, _DONE_INTERRUPT if self._interrupts else 0)
        bus.write(INTERRUPT_GLOBAL, 1 if self._interrupts else 0)
        bus.write(CONTROL, _START)

    def _finish(self, first: int, count: int, limit: float) -> None:
        bus = self._bus
        if not self._ends(limit):
            failure = self._failure(f"the accelerator does not end within {limit:g} {bus.unit}", first, count)
            if self._has_log:
                bus.write(ABORT, 1)
                if any(self._ends(limit) for _ in range(_ABORT_WAITS)):
                    failure.fix = "the launch is given up and the accelerator is ready for the next; report this"
            raise failure
        if self._interrupts:
            bus.write(INTERRUPT_STATUS, bus.read(INTERRUPT_STATUS))  # a one clears
        check_status(bus.read(STATUS), self._layers, detail=bus.detail())

    def _ends(self, limit: float) -> bool:
        """Wait for the launch's end at most so long."""
        begin = self._bus.now()
        while not _ended(self._bus.read(CONTROL)):
            left = limit - (self._bus.now() - begin)
            if left <= 0:
                return False
            self._bus.pause(left)
        return True

    def _clock_log(self, count: int) -> list[LayerClocks]:
        offsets = range(LOG, LOG + 16 * count, 16)
        return [LayerClocks(*(self._bus.read(offset + 4 * word) for word in range(4))) for offset in offsets]

    def _failure(self, what: str, first: int, count: int) -> UserError:
        """An error with everything that the registers tell."""
        shown = {"control": CONTROL, "status": STATUS, "first": FIRST, "count": COUNT}
        shown |= {f"debug {number}": offset for number, offset in enumerate(DEBUG) if self._has_log}
        registers = ", ".join(f"{name} 0x{self._bus.read(offset):x}" for name, offset in shown.items())
        names = [self._layers[index] for index in (first, first + count - 1) if index < len(self._layers)]
        layers = " to ".join(repr(name) for name in dict.fromkeys(names))
        return UserError(
            what,
            where=f"layers {layers}" if layers else f"descriptors {first} to {first + count - 1}",
            why="\n".join(filter(None, [f"registers: {registers}", self._bus.detail()])),
            fix="reset or reload the accelerator, and report this with the registers above if it happens again",
        )


def _ended(control: int) -> bool:
    """Whether a launch has ended. Reading clears ``ap_done``, and a bus that repeats a read may not see it."""
    return bool(control & _DONE) or control & (_START | _IDLE) == _IDLE


def _parts(first: int, count: int) -> Iterator[tuple[int, int]]:
    """A launch divided into those that the log has room for."""
    for start in range(first, first + count, LOG_ENTRIES):
        yield start, min(LOG_ENTRIES, first + count - start)
