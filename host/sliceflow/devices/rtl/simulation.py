"""The simulated kernel as a Python object: buffers at device addresses, registers, a clock."""

from __future__ import annotations

import ctypes
import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.errors import InternalError, UserError

Bytes = NDArray[np.uint8]
_POLL_CLOCKS = 4096
_SLVERR = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryModel:
    """How the simulated memory behaves. Each port moves 64 bytes a clock.

    Attributes:
        read_latency: clocks from an accepted read address to its first beat.
        write_latency: clocks from a burst's last beat to its response.
        stall: of 1000 clocks, those in which a channel idles or is not ready, at random.
        seed: of that randomness.
        offset: distance of the buffers from borders of 4 KiB, in bytes; a multiple of 64.
    """

    read_latency: int = 100
    write_latency: int = 100
    stall: int = 0
    seed: int = 1
    offset: int = 0


class Simulation:
    """One simulated kernel; a ``RegisterBus``. Several may exist at once, but each is for one thread at a time.

    Args:
        library: path of the compiled kernel.
        memory: how its memory behaves.

    Raises:
        UserError: the library cannot be loaded.
    """

    unit = "clocks"

    def __init__(self, library: Path, memory: MemoryModel) -> None:
        self._calls = _load(library)
        self._buffers: list[Bytes] = []  # kept alive for the library
        self._handle: int | None = self._calls.sliceflow_rtl_create(
            memory.read_latency, memory.write_latency, memory.stall, memory.seed
        )

    def map(self, address: int, data: Bytes, *, writable: bool = False) -> None:
        """Put a buffer of the host at a device address; the kernel works on the array itself."""
        self._buffers.append(data)
        self._calls.sliceflow_rtl_map(self._handle, address, data.ctypes.data, data.size, int(writable))

    def fail(self, first: int, last: int) -> None:
        """Let the bytes ``first .. last`` answer with an error from now on; no bytes if ``last`` is below ``first``."""
        self._calls.sliceflow_rtl_fail(self._handle, first, last, _SLVERR)

    def read(self, offset: int) -> int:
        """Read a register, through the bus protocol."""
        value = ctypes.c_uint32()
        if not self._calls.sliceflow_rtl_read(self._handle, offset, ctypes.byref(value)):
            self.check()
        return value.value

    def write(self, offset: int, value: int) -> None:
        """Write a register, through the bus protocol."""
        if not self._calls.sliceflow_rtl_write(self._handle, offset, value):
            self.check()

    def now(self) -> int:
        """Clocks simulated so far."""
        return int(self._calls.sliceflow_rtl_clocks(self._handle))

    def pause(self, longest: float) -> None:
        """Run until the kernel interrupts, or for some clocks."""
        self._calls.sliceflow_rtl_wait(self._handle, min(int(longest), _POLL_CLOCKS))

    def detail(self) -> str:
        """The first access outside the buffers, if there was one."""
        return str(self._calls.sliceflow_rtl_fault(self._handle).decode())

    def check(self) -> None:
        """Check what the kernel did on its ports since the last call.

        Raises:
            InternalError: it broke a rule of AXI, or went outside the buffers.
        """
        violation = self._calls.sliceflow_rtl_violation(self._handle).decode()
        fault = self.detail()
        self._calls.sliceflow_rtl_forget(self._handle)
        if violation or fault:
            raise InternalError("the simulated kernel broke a rule of its ports", why=violation or fault)

    def forget(self) -> None:
        """Forget accesses outside the buffers and broken rules."""
        self._calls.sliceflow_rtl_forget(self._handle)

    def reset(self) -> None:
        """Reset the kernel and the ports; the buffers stay."""
        self._calls.sliceflow_rtl_reset(self._handle)

    def trace_start(self, path: Path) -> None:
        """Write all signals to a file from now on.

        Raises:
            UserError: the file cannot be written.
        """
        if not self._calls.sliceflow_rtl_trace_start(self._handle, os.fsencode(path)):
            raise UserError("the trace cannot be written", where=str(path))

    def trace_stop(self) -> None:
        """Close the file."""
        self._calls.sliceflow_rtl_trace_stop(self._handle)

    def close(self) -> None:
        """Give everything back."""
        if self._handle is not None:
            self._calls.sliceflow_rtl_destroy(self._handle)
            self._handle = None
            self._buffers.clear()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.close()


_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "create": (ctypes.c_void_p, [ctypes.c_uint32] * 3 + [ctypes.c_uint64]),
    "destroy": (None, []),
    "map": (None, [ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int]),
    "fail": (None, [ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint32]),
    "reset": (None, []),
    "read": (ctypes.c_int, [ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32)]),
    "write": (ctypes.c_int, [ctypes.c_uint32, ctypes.c_uint32]),
    "wait": (ctypes.c_int, [ctypes.c_uint64]),
    "clocks": (ctypes.c_uint64, []),
    "trace_start": (ctypes.c_int, [ctypes.c_char_p]),
    "trace_stop": (None, []),
    "fault": (ctypes.c_char_p, []),
    "violation": (ctypes.c_char_p, []),
    "forget": (None, []),
}


def _load(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, f"sliceflow_rtl_{name}")
            function.restype = result
            function.argtypes = arguments if name == "create" else [ctypes.c_void_p, *arguments]
    except (OSError, AttributeError) as error:
        raise UserError(
            "the compiled simulator cannot be loaded",
            where=str(path),
            why=str(error),
            fix="delete that file, so that it is compiled again",
        ) from error
    return library
