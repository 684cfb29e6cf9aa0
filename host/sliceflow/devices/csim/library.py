"""The compiled simulator as a Python object."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sliceflow.devices.cache import default_cache
from sliceflow.devices.csim.build import DEFAULT_OPTIONS, BuildOptions, build_library
from sliceflow.devices.status import check_status
from sliceflow.errors import InternalError, UserError
from sliceflow.graph.descriptor import BYTES
from sliceflow.hardware.profile import Profile

Bytes = NDArray[np.uint8]
_MESSAGE_BYTES = 4096
_SIMULATION_FAILED = 255


class CsimLibrary:
    """The kernel of one profile. Calls may run at once on several threads, each on its own activation memory.

    Args:
        profile: the accelerator to simulate.
        cache: folder for the compiled library; ``default_cache`` if not given.
        options: how to compile.

    Raises:
        UserError: it cannot be compiled or loaded.
    """

    def __init__(self, profile: Profile, *, cache: Path | None = None, options: BuildOptions = DEFAULT_OPTIONS) -> None:
        self.profile = profile
        self.path = build_library(profile, cache=cache or default_cache(), options=options)
        try:
            library = ctypes.CDLL(str(self.path))
            self._run = library.sliceflow_csim_run
            self._clocks = library.sliceflow_csim_clocks if options.clocks else None
        except (OSError, AttributeError) as error:
            raise UserError(
                "the compiled simulator cannot be loaded",
                where=str(self.path),
                why=str(error),
                fix="delete that file, so that it is compiled again",
            ) from error
        self._run.restype = ctypes.c_uint32
        pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32
        self._run.argtypes = [pointer, size, pointer, pointer, number, number, number, ctypes.c_char_p, size]
        if self._clocks is not None:
            self._clocks.restype = ctypes.c_uint32
            self._clocks.argtypes = [pointer] * 3 + [number] * 3 + [pointer, ctypes.c_char_p, size]

    def run(
        self,
        program: Bytes,
        weights: Bytes,
        activations: Bytes,
        first: int,
        count: int,
        threads: int = 1,
        layers: Sequence[str] = (),
    ) -> None:
        """Execute descriptors ``first .. first + count``, in place.

        The program must have passed ``sliceflow.graph.validate`` for memories of these sizes; the kernel trusts it.

        Args:
            program: program memory, uint8.
            weights: weight memory, uint8.
            activations: activation memory, uint8, whole beats as the others; outputs are written into it.
            first: number of the first descriptor.
            count: descriptors to execute.
            threads: threads that share each layer.
            layers: names of the layers, for errors.

        Raises:
            UserError: an array has the wrong type, the descriptors are not there, or the kernel refuses one.
            InternalError: the kernel's processes block each other.
        """
        self._check(program, weights, activations, first, count)
        if not 1 <= threads <= 256:
            raise UserError(f"threads must lie in 1..256, not {threads}")
        message = ctypes.create_string_buffer(_MESSAGE_BYTES)
        memories = (program.ctypes.data, program.size, weights.ctypes.data, activations.ctypes.data)
        status = self._run(*memories, first, count, threads, message, _MESSAGE_BYTES)
        self._conclude(status, message, layers)

    def clocks(
        self,
        program: Bytes,
        weights: Bytes,
        activations: Bytes,
        first: int,
        count: int,
        layers: Sequence[str] = (),
    ) -> NDArray[np.uint64]:
        """Execute as ``run`` does, and say when each layer ends; the options must have ``clocks``.

        Returns:
            [count], clocks from the launch's begin to the end of each layer. The memory answers after the profile's
            read latency.

        Raises:
            UserError: as ``run``, or the library counts no clocks.
            InternalError: as ``run``.
        """
        if self._clocks is None:
            raise UserError("this simulator counts no clocks", fix="compile it with BuildOptions(clocks=True)")
        self._check(program, weights, activations, first, count)
        message = ctypes.create_string_buffer(_MESSAGE_BYTES)
        ends = np.zeros(count, np.uint64)
        memories = (program.ctypes.data, weights.ctypes.data, activations.ctypes.data)
        latency = self.profile.read_latency
        status = self._clocks(*memories, first, count, latency, ends.ctypes.data, message, _MESSAGE_BYTES)
        self._conclude(status, message, layers)
        return ends

    def _check(self, program: Bytes, weights: Bytes, activations: Bytes, first: int, count: int) -> None:
        for name, memory in (("program", program), ("weights", weights), ("activations", activations)):
            if memory.dtype != np.uint8 or not memory.flags.c_contiguous or memory.ndim != 1:
                raise UserError(
                    f"the {name} memory must be a contiguous row of uint8, not {memory.dtype} {memory.shape}"
                )
            if memory.size % self.profile.beat_bytes:
                raise UserError(
                    f"the {name} memory must be whole beats of {self.profile.beat_bytes} bytes, not {memory.size} bytes"
                )
        if not activations.flags.writeable:
            raise UserError("the activation memory must be writable")
        if first < 0 or count < 0 or (first + count) * BYTES > program.size:
            raise UserError(
                f"the program memory has no descriptors {first} to {first + count - 1}",
                why=f"it holds {program.size} bytes, and a descriptor has {BYTES}",
            )

    def _conclude(self, status: int, message: ctypes.Array[ctypes.c_char], layers: Sequence[str]) -> None:
        if status & 0xFF == _SIMULATION_FAILED:
            text = message.value.decode("utf-8", "replace")
            raise InternalError("the kernel's simulation failed", where=f"descriptor {status >> 8}", why=text)
        check_status(status, layers)
