"""What a study consists of: cells, one network each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from sliceflow.study.sections import SCRATCH, UNPRUNED, StudySection


@dataclasses.dataclass(frozen=True)
class Cell:
    """One network.

    Attributes:
        kind: ``unpruned`` (trained on with the budget of fine-tuning), ``pruned``, or ``scratch``: as small as the
            network of the same method, ratio and seed, but trained from a fresh start for as many epochs in all.
        method: the pruning method; empty for unpruned ones.
        ratio: what is asked for, in the study's unit; 0 for unpruned ones.
        seed: of everything random in it.
    """

    kind: str
    method: str
    ratio: float
    seed: int

    @property
    def key(self) -> str:
        """Its name, also of its files."""
        if self.kind == UNPRUNED:
            return f"{UNPRUNED}-s{self.seed}"
        prefix = f"{SCRATCH}-" if self.kind == SCRATCH else ""
        return f"{prefix}{self.method}-r{self.ratio:g}-s{self.seed}"

    @property
    def pruned(self) -> Cell:
        """For a network from scratch, the one that it is as small as."""
        return dataclasses.replace(self, kind="pruned")


def waves(section: StudySection) -> Iterator[list[Cell]]:
    """The cells in waves: a cell needs results of earlier waves only."""
    yield [Cell(UNPRUNED, "", 0, seed) for seed in section.seeds]
    grid = [(ratio, seed) for ratio in section.ratios for seed in section.seeds]
    yield [Cell("pruned", method, *place) for method in section.all_methods for place in grid]
    yield [Cell(SCRATCH, method, *place) for method in section.scratch_of for place in grid]
