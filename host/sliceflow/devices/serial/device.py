"""The accelerator at the end of a serial line as a device."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from sliceflow.devices.base import LaunchReport
from sliceflow.devices.cache import default_cache
from sliceflow.devices.registers import LayerClocks
from sliceflow.devices.serial.board import Board
from sliceflow.devices.serial.emulated import EmulatedChannel, build_system
from sliceflow.devices.serial.link import Channel
from sliceflow.devices.serial.port import PortChannel
from sliceflow.errors import InternalError
from sliceflow.graph.program import Program
from sliceflow.hardware.profile import Profile


class SerialDevice:
    """Executes descriptors with the system of ``hls/rtl/serial``. See ``Device`` for the methods.

    Args:
        name: what users type after ``--device``.
        open_channel: opens the line to an accelerator of the given profile.

    Attributes:
        clocks: of each layer of the latest launch.
    """

    def __init__(self, name: str, open_channel: Callable[[Profile], Channel]) -> None:
        self.name = name
        self._open_channel = open_channel
        self._channel: Channel | None = None
        self._board: Board | None = None
        self.clocks: list[LayerClocks] = []

    def load(self, program: Program) -> None:
        """Take a program: write its program and weight memories into the board's.

        Raises:
            UserError: there is no such accelerator at the other end, it is of another profile, or its memory is too
                small.
        """
        self.close()
        self._channel = channel = self._open_channel(program.profile)
        self._board = Board(program, channel)

    def write(self, word_address: int, data: bytes) -> None:
        """Copy whole words into the activation memory."""
        self._ready().write(word_address, data)

    def read(self, word_address: int, byte_count: int) -> bytes:
        """Copy bytes out of the activation memory."""
        return self._ready().read(word_address, byte_count)

    def launch(self, first: int, count: int) -> LaunchReport:
        """Execute descriptors in order; the report has the clocks of each by the kernel's own counters.

        Raises:
            UserError: the kernel refuses a descriptor, meets a memory error, or does not end in time.
        """
        begin = time.perf_counter()
        self.clocks = self._ready().launch(first, count)
        return LaunchReport(time.perf_counter() - begin, tuple(layer.cycles for layer in self.clocks))

    def replicate(self) -> SerialDevice | None:
        """None: there is one accelerator at the other end."""
        return None

    def close(self) -> None:
        """Give the line back."""
        if self._channel is not None:
            self._channel.close()
        self._channel = self._board = None

    def _ready(self) -> Board:
        if self._board is None:
            raise InternalError("the device has no program", where=self.name)
        return self._board


def open_port(threads: int | None, place: str) -> SerialDevice:
    """A board on a serial port.

    Args:
        threads: not used.
        place: the port, as pyserial takes it.
    """
    return SerialDevice(f"serial:{place}", lambda _: PortChannel(place))


def open_emulated(threads: int | None, *, cache: Path | None = None) -> SerialDevice:
    """The same system, simulated.

    Args:
        threads: not used: a simulation runs on one.
        cache: folder for the compiled system; ``default_cache`` if omitted.
    """
    return SerialDevice(
        "serial-emulated", lambda profile: EmulatedChannel(build_system(profile, cache=cache or default_cache()))
    )
