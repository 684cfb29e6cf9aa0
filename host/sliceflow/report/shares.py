"""How much of a model's work the accelerator does."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from sliceflow.report.tables import share

_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class MacShare:
    """Multiply-accumulates of one image on both sides.

    Attributes:
        fpga: on the accelerator.
        cpu: on the CPU, as far as they are counted.
        uncounted: names of nodes on the CPU whose number is not known.
    """

    fpga: int
    cpu: int
    uncounted: tuple[str, ...]

    @classmethod
    def of(cls, fpga: int, cpu: Iterable[tuple[str, int | None]]) -> MacShare:
        """From the accelerator's number, and name and number of each node on the CPU."""
        found = list(cpu)
        counted = sum(macs or 0 for _, macs in found)
        return cls(fpga, counted, tuple(name for name, macs in found if macs is None))

    @property
    def value(self) -> float:
        """The accelerator's share of what is counted: the true share is not larger."""
        every = self.fpga + self.cpu
        return self.fpga / every if every else 0.0

    def to_json(self) -> dict[str, Any]:
        """Numbers for reports; ``fpga_share`` is an upper bound where ``uncounted`` names nodes."""
        return {"fpga_macs": self.fpga, "fpga_share": self.value, "uncounted": list(self.uncounted)}


def share_text(part: float, uncounted: list[str]) -> str:
    """A share in words, that promises no more than is known."""
    if not uncounted:
        return share(part)
    return "an unknown share" if part == 1 else f"at most {share(part)}"


def uncounted_text(uncounted: list[str]) -> str:
    """Which nodes a share leaves out; empty if it leaves out none."""
    if not uncounted:
        return ""
    more = f" and {len(uncounted) - _SHOWN} more" if len(uncounted) > _SHOWN else ""
    return f"; how many MACs {', '.join(uncounted[:_SHOWN])}{more} take on the CPU is not known"
