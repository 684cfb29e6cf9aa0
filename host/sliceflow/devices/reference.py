"""The NumPy reference as a device: slow, and right by definition."""

from __future__ import annotations

import time

from sliceflow.devices.base import LaunchReport
from sliceflow.devices.memory import HostMemory
from sliceflow.devices.status import check_status, layer_status
from sliceflow.errors import InternalError
from sliceflow.graph.program import Program
from sliceflow.reference.machine import execute
from sliceflow.reference.statistics import LayerStatistics


class ReferenceDevice:
    """Executes descriptors with ``sliceflow.reference``. See ``Device`` for the methods.

    Args:
        threads: not used; NumPy decides by itself.

    Attributes:
        statistics: clamped and overflowed values of the layers of the latest launch.
    """

    name = "reference"

    def __init__(self, threads: int | None = None) -> None:
        self._program: Program | None = None
        self._memory: HostMemory | None = None
        self.statistics: list[LayerStatistics] = []

    def load(self, program: Program) -> None:
        """Take a program and make an activation memory for it."""
        self._program, self._memory = program, HostMemory(program)

    def write(self, word_address: int, data: bytes) -> None:
        """Copy whole words into the activation memory."""
        self._loaded()[1].write(word_address, data)

    def read(self, word_address: int, byte_count: int) -> bytes:
        """Copy bytes out of the activation memory."""
        return self._loaded()[1].read(word_address, byte_count)

    def launch(self, first: int, count: int) -> LaunchReport:
        """Execute descriptors in order.

        Raises:
            UserError: a descriptor breaks a rule, or a strip exceeds the buffers.
        """
        program, memory = self._loaded()
        begin = time.perf_counter()
        self.statistics = []
        names = [layer.name for layer in program.fpga_layers]
        for index, layer in enumerate(program.descriptors[first : first + count], first):
            check_status(index << 8 | layer_status(layer, program.profile), names)
            self.statistics.append(execute(layer, program.profile, program.program, program.weights, memory.data))
        return LaunchReport(time.perf_counter() - begin)

    def replicate(self) -> ReferenceDevice:
        """A further one for the same program."""
        replica = ReferenceDevice()
        replica.load(self._loaded()[0])
        return replica

    def close(self) -> None:
        """Give the memory back."""
        self._program = self._memory = None

    def _loaded(self) -> tuple[Program, HostMemory]:
        if self._program is None or self._memory is None:
            raise InternalError("the device has no program", where=self.name)
        return self._program, self._memory
