"""The C simulation as a device."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from sliceflow.devices.base import LaunchReport
from sliceflow.devices.csim.build import BuildOptions
from sliceflow.devices.csim.library import CsimLibrary
from sliceflow.devices.memory import HostMemory
from sliceflow.errors import InternalError
from sliceflow.graph.program import Program
from sliceflow.machine import cores


class CsimDevice:
    """Executes descriptors with the compiled HLS kernel. See ``Device`` for the methods.

    Args:
        threads: threads that share each layer; all cores if omitted.
        cache: folder for the compiled library; ``default_cache`` if omitted.
        clocks: count the clocks of each layer, as the C++ promises them to HLS tools; slower, on one thread.
    """

    name = "csim"

    def __init__(self, threads: int | None = None, *, cache: Path | None = None, clocks: bool = False) -> None:
        self._threads = threads or cores()
        self._cache = cache
        self._options = BuildOptions(clocks=clocks)
        self._library: CsimLibrary | None = None
        self._program: Program | None = None
        self._memory: HostMemory | None = None

    def load(self, program: Program) -> None:
        """Take a program, make an activation memory for it, and compile the kernel if the cache lacks it."""
        self._library = CsimLibrary(program.profile, cache=self._cache, options=self._options)
        self._program, self._memory = program, HostMemory(program)

    def write(self, word_address: int, data: bytes) -> None:
        """Copy whole words into the activation memory."""
        self._loaded()[2].write(word_address, data)

    def read(self, word_address: int, byte_count: int) -> bytes:
        """Copy bytes out of the activation memory."""
        return self._loaded()[2].read(word_address, byte_count)

    def launch(self, first: int, count: int) -> LaunchReport:
        """Execute descriptors in order."""
        library, program, memory = self._loaded()
        begin = time.perf_counter()
        names = [layer.name for layer in program.fpga_layers]
        memories = (program.program, program.weights, memory.data)
        if self._options.clocks:
            ends = library.clocks(*memories, first, count, names).astype(np.int64)
            cycles = tuple(int(clocks) for clocks in np.diff(ends, prepend=0))
            return LaunchReport(time.perf_counter() - begin, cycles)
        library.run(*memories, first, count, self._threads, names)
        return LaunchReport(time.perf_counter() - begin)

    def replicate(self) -> CsimDevice:
        """A further device with the same library; one thread executes its layers."""
        library, program, _ = self._loaded()
        replica = CsimDevice(1, cache=self._cache, clocks=self._options.clocks)
        replica._library, replica._program, replica._memory = library, program, HostMemory(program)
        return replica

    def close(self) -> None:
        """Give the memory back."""
        self._library = self._program = self._memory = None

    def _loaded(self) -> tuple[CsimLibrary, Program, HostMemory]:
        if self._library is None or self._program is None or self._memory is None:
            raise InternalError("the device has no program", where=self.name)
        return self._library, self._program, self._memory
