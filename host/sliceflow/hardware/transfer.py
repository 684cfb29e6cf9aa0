"""The transfer model: what a crossing between host and accelerator costs."""

from __future__ import annotations

import dataclasses

from sliceflow.graph.program import Program, TransformStep


@dataclasses.dataclass(frozen=True)
class Link:
    """A connection between host and accelerator. Assumed figures, stated wherever they are used.

    Attributes:
        name: what it stands for.
        bytes_per_second: sustained rate of one direction.
        seconds_per_call: cost of each transfer or launch, whatever its size.
    """

    name: str
    bytes_per_second: float
    seconds_per_call: float

    def seconds(self, byte_count: int, calls: int) -> float:
        """Predicted time of some transfers or launches."""
        return calls * self.seconds_per_call + byte_count / self.bytes_per_second


LINKS = {
    "pcie": Link("PCIe card, 4 GB/s sustained, 20 us for each transfer or launch", 4e9, 20e-6),
    "axi": Link("FPGA and CPU on one chip, 1.2 GB/s sustained, 10 us for each transfer or launch", 1.2e9, 10e-6),
}
"""Links by the name that users type."""


def crossing_bytes(program: Program) -> dict[str, tuple[int, int]]:
    """Transfers and bytes of one image, by direction. Counted from the program: whole tensors, idle lanes included."""
    counts = {"to_device": (0, 0), "to_host": (0, 0)}
    for step in program.steps:
        if isinstance(step, TransformStep):
            calls, size = counts[step.direction]
            size += program.tensors[step.tensor].words * program.profile.word_bytes
            counts[step.direction] = (calls + 1, size)
    return counts
