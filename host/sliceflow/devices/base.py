"""The device protocol, and the table of devices."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any, Protocol, Self, cast, runtime_checkable

from sliceflow.errors import UserError
from sliceflow.graph.program import Program


@dataclasses.dataclass(frozen=True)
class LaunchReport:
    """What one launch tells.

    Attributes:
        seconds: wall time of the launch, seen from the host.
        cycles: clocks of each layer, by the device's own counters; empty without counters.
    """

    seconds: float
    cycles: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class LayerTrace:
    """Signals of one layer, to be written by the RTL simulation.

    Attributes:
        path: the file, ``.vcd`` or ``.fst``.
        layer: name of the layer.
    """

    path: Path
    layer: str


@runtime_checkable
class Device(Protocol):
    """An accelerator with its memories. One image at a time; not safe to share between threads."""

    @property
    def name(self) -> str:
        """What users type after ``--device``."""

    def load(self, program: Program) -> None:
        """Take a program: its program and weight memories, and an activation memory of its size (content undefined)."""

    def write(self, word_address: int, data: bytes) -> None:
        """Copy whole words into the activation memory, from a word on."""

    def read(self, word_address: int, byte_count: int) -> bytes:
        """Copy bytes out of the activation memory, from a word on."""

    def launch(self, first: int, count: int) -> LaunchReport:
        """Execute the descriptors ``first .. first + count`` in order."""

    def replicate(self) -> Self | None:
        """A further device that runs beside this one, for images on several threads.

        It shares the program, has an activation memory of its own and computes on one thread of the host. ``None`` if
        the device is one piece of hardware. May be called while this device works on another thread.
        """

    def close(self) -> None:
        """Give the memories back. A closed device refuses further work."""


_DEVICES = {
    "csim": ("sliceflow.devices.csim.device", "CsimDevice"),
    "reference": ("sliceflow.devices.reference", "ReferenceDevice"),
    "rtl": ("sliceflow.devices.rtl.device", "RtlDevice"),
    "serial-emulated": ("sliceflow.devices.serial.device", "open_emulated"),
}
_PLACED = {
    "serial": ("sliceflow.devices.serial.device", "open_port", "PORT"),
}
"""Devices whose name goes on, behind a colon, with where they are; and what stands there."""
_NEEDS = {
    "xrt": "a board driver for XRT",
    "pynq": "a board driver for PYNQ",
}


def device_names() -> list[str]:
    """Names of the devices that this version has; capitals stand for where a device is."""
    return sorted([*_DEVICES, *(f"{name}:{place}" for name, (_, _, place) in _PLACED.items())])


def open_device(
    name: str,
    program: Program,
    *,
    threads: int | None = None,
    trace: LayerTrace | None = None,
    clocks: bool = False,
) -> Device:
    """Open a device and load a program.

    Args:
        name: ``csim`` (the compiled HLS kernel), ``rtl`` (the simulated SystemVerilog kernel), ``reference`` (NumPy,
            slow), ``serial:PORT`` (a board on a serial port) or ``serial-emulated`` (its system, simulated).
        program: what it will execute.
        threads: threads that a device may use on the host; all cores if omitted.
        trace: write the signals of one layer; ``rtl`` only.
        clocks: count the clocks of the HLS C++, which is slower; ``csim`` only (``rtl`` always counts its own).

    Raises:
        UserError: there is no such device, or it cannot run here.
    """
    if threads is not None and threads < 1:
        raise UserError(f"the number of threads must be positive, not {threads}")
    if trace is not None and name != "rtl":
        raise UserError(f"{name} has no signals to trace", fix="use --device rtl")
    if clocks and name != "csim":
        raise UserError(
            f"{name} has no clocks to switch on",
            why="rtl and boards always count them, and others have none",
            fix="use --device csim or rtl",
        )
    kind, _, place = name.partition(":")
    if kind in _PLACED and place:
        module, maker, _ = _PLACED[kind]
        settings: dict[str, Any] = {"place": place}
    elif name in _DEVICES:
        module, maker = _DEVICES[name]
        settings = {"trace": trace} if trace is not None else {}
        settings |= {"clocks": True} if clocks else {}
    else:
        needed = _NEEDS.get(kind)
        raise UserError(
            f"there is no device called {name!r}",
            why=f"it needs {needed}, which this version does not have" if needed else "",
            fix=f"name one of {', '.join(device_names())}",
        )
    device = cast(Device, getattr(importlib.import_module(module), maker)(threads, **settings))
    device.load(program)
    return device
