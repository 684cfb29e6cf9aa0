"""When a network is trained between removals of blocks, and how long.

Source: V. S. Velici, PhD thesis, 2022, chapter 3. All schedules train after the last removal.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

from sliceflow.errors import UserError
from sliceflow.pruning.training.fit import Training


class Schedule(Protocol):
    """Decides on training after each removal."""

    def training(self, step: int, target: int, drop: float) -> Training | None:
        """How to train now; None for not.

        Args:
            step: blocks removed so far, from 1.
            target: blocks to remove in all.
            drop: how far the validation metric is below its value after the last training.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Uniform:
    """So many loops, evenly spread: after i * floor(target / loops) removals, the last after all. 1 is one-shot."""

    loops: int
    loop: Training

    def __post_init__(self) -> None:
        if self.loops < 1:
            raise UserError(f"there must be at least one loop of training, not {self.loops}", where="schedule")

    def training(self, step: int, target: int, drop: float) -> Training | None:
        """See ``Schedule``."""
        if self.loops > target:
            raise UserError(
                f"{self.loops} loops of training do not fit between {target} removals",
                where="schedule",
                fix="ask for fewer",
            )
        length = target // self.loops
        due = step == target or (step % length == 0 and step // length < self.loops)
        return self.loop if due else None


@dataclasses.dataclass(frozen=True)
class Every:
    """After every so many removals, and after the last."""

    steps: int
    loop: Training

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError(f"training must come after at least 1 removal, not {self.steps}", where="schedule")

    def training(self, step: int, target: int, drop: float) -> Training | None:
        """See ``Schedule``."""
        return self.loop if step % self.steps == 0 or step == target else None


@dataclasses.dataclass(frozen=True)
class Threshold:
    """When the metric has dropped by more than a threshold since the last training; and where it is forced.

    Attributes:
        threshold: in the metric's unit; for accuracies a fraction, 0.01 being one point.
        loop: how to train.
        forced: numbers of removals after which training always comes, as points of comparison.
    """

    threshold: float
    loop: Training
    forced: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.threshold < 0:
            raise UserError(f"the threshold must not be negative, not {self.threshold}", where="schedule")

    def training(self, step: int, target: int, drop: float) -> Training | None:
        """See ``Schedule``."""
        return self.loop if drop > self.threshold or step in self.forced or step == target else None


@dataclasses.dataclass(frozen=True)
class LowHigh:
    """A little after every removal, much after the last and after given ones."""

    low: Training
    high: Training
    high_after: tuple[int, ...] = ()

    def training(self, step: int, target: int, drop: float) -> Training | None:
        """See ``Schedule``."""
        return self.high if step == target or step in self.high_after else self.low


def fine_tuning(epochs: int, learning_rate: float = 0.1, seed: int = 0) -> Training:
    """The source's recipe: the rate falls to a tenth after a fifth of the epochs, and again after two fifths.

    With 50 epochs that is after 10 and 20, with 20 after 4 and 8. The best epoch by validation metric is kept, and the
    network before training is a candidate.
    """
    return Training(
        epochs=epochs,
        learning_rate=learning_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-4,
        milestones=(epochs // 5, 2 * epochs // 5),
        best_by="metric",
        initial=True,
        seed=seed,
    )
