"""What a study consists of: cells, one network each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from sliceflow.study.sections import ALIGNED, PRUNED, SCRATCH, UNPRUNED, StudySection


@dataclasses.dataclass(frozen=True)
class Cell:
    """One network.

    Attributes:
        kind: ``unpruned`` (trained on with the budget of fine-tuning); ``pruned``; ``scratch``: as small as the network
            of the same method, ratio and seed, but trained from a fresh start for as many epochs in all; or
            ``aligned``: that network with channels that fill the accelerator's lanes, trained on.
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
        prefix = "" if self.kind == PRUNED else f"{self.kind}-"
        return f"{prefix}{self.method}-r{self.ratio:g}-s{self.seed}"

    @property
    def pruned(self) -> Cell:
        """The pruned network that this one, aligned or from scratch, comes from."""
        return dataclasses.replace(self, kind=PRUNED)


def waves(section: StudySection) -> Iterator[list[Cell]]:
    """The cells in waves: a cell needs results of earlier waves only."""
    yield [Cell(UNPRUNED, "", 0, seed) for seed in section.seeds]
    grid = [(ratio, seed) for ratio in section.ratios for seed in section.seeds]
    yield [Cell(PRUNED, method, *place) for method in section.all_methods for place in grid]
    kinds = ((ALIGNED, section.aligned), (SCRATCH, section.scratch_of))
    yield [Cell(kind, method, *place) for kind, methods in kinds for method in methods for place in grid]
