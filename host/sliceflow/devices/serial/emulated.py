"""The system of ``hls/rtl/serial`` in Verilator, at the other end of a line that carries its bits."""

from __future__ import annotations

import ctypes
from pathlib import Path

from sliceflow.devices.rtl.build import Design, build_design
from sliceflow.errors import UserError
from sliceflow.hardware.kernel import rtl_folder
from sliceflow.hardware.profile import Profile
from sliceflow.hardware.serial_system import TOP, system_parameters

DIVISOR = 4
"""Clocks of a bit: the least that the receiver takes, as every one costs time here."""
_SILENCE = 4096
"""Clocks without a byte after which a request is given up."""
_POLL_CLOCKS = 4096


def build_system(profile: Profile, *, cache: Path, divisor: int = DIVISOR) -> Path:
    """The shared library with the simulated system; compiled unless the cache has it.

    Raises:
        UserError: the kernel does not exist for the profile, or a tool is missing or fails.
    """
    folder = rtl_folder()
    design = Design(
        name=f"serial-{profile.name}",
        top=TOP,
        prefix="Vserial",
        parameters=system_parameters(profile, divisor=divisor) | {"SILENCE": _SILENCE},
        harness=folder / "serial" / "sim" / "serial.cpp",
        folders=(folder, folder / "serial"),
    )
    return build_design(design, cache=cache)


class EmulatedChannel:
    """A ``Channel`` to a simulated system.

    Args:
        library: what ``build_system`` made.
        divisor: clocks of a bit, as it was built.

    Raises:
        UserError: the library cannot be loaded.
    """

    unit = "clocks"
    where = "the simulated serial line"

    def __init__(self, library: Path, divisor: int = DIVISOR) -> None:
        try:
            calls = ctypes.CDLL(str(library))
        except OSError as error:
            raise UserError(
                "the compiled simulator cannot be loaded",
                where=str(library),
                why=str(error),
                fix="delete that file, so that it is compiled again",
            ) from error
        handle = ctypes.c_void_p
        size = ctypes.c_uint64
        signatures = {
            "create": (handle, [ctypes.c_uint32]),
            "destroy": (None, [handle]),
            "clocks": (size, [handle]),
            "send": (None, [handle, ctypes.c_char_p, size]),
            "receive": (size, [handle, ctypes.c_char_p, size, size]),
            "run": (None, [handle, size]),
        }
        for name, (result, arguments) in signatures.items():
            function = getattr(calls, f"sliceflow_serial_{name}")
            function.restype, function.argtypes = result, arguments
        self._calls = calls
        self._handle: int | None = calls.sliceflow_serial_create(divisor)

    def send(self, data: bytes) -> None:
        """Put bytes on the line."""
        self._calls.sliceflow_serial_send(self._handle, data, len(data))

    def receive(self, count: int) -> bytes:
        """So many bytes, or fewer if the line falls silent."""
        buffer = ctypes.create_string_buffer(count)
        found = self._calls.sliceflow_serial_receive(self._handle, buffer, count, 2 * _SILENCE)
        return buffer.raw[:found]

    def clear(self) -> None:
        """Wait until a request that was cut off is forgotten, and drop what has arrived."""
        self._calls.sliceflow_serial_run(self._handle, 2 * _SILENCE)
        while self.receive(1):
            pass

    def now(self) -> float:
        """Clocks simulated so far."""
        return float(self._calls.sliceflow_serial_clocks(self._handle))

    def pause(self, longest: float) -> None:
        """Run for some clocks."""
        self._calls.sliceflow_serial_run(self._handle, min(int(longest), _POLL_CLOCKS))

    def clocks(self, count: int, khz: int) -> float:
        """The clocks themselves."""
        return float(count)

    def close(self) -> None:
        """End the simulation."""
        if self._handle is not None:
            self._calls.sliceflow_serial_destroy(self._handle)
            self._handle = None

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.close()
