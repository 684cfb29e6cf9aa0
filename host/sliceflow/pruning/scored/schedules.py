"""When how much is pruned, and when the rest is trained: apart from what is pruned."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from sliceflow.errors import UserError


class Schedule(Protocol):
    """A course of steps, each of which prunes up to a share."""

    def shares(self, target: float) -> list[float]:
        """Share that is pruned behind each step, rising; the last is the target."""
        ...

    def trains(self, step: int, steps: int, lost: float) -> bool:
        """Whether the network is trained behind a step.

        Args:
            step: counted from 1.
            steps: of the course.
            lost: metric that was lost since the last training, or since the beginning.
        """
        ...


@dataclasses.dataclass(frozen=True)
class _Rounds:
    rounds: int

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise UserError(f"there must be 1 round at least, not {self.rounds}", where="pruning schedule")

    def trains(self, step: int, steps: int, lost: float) -> bool:
        """Behind every step."""
        return True


@dataclasses.dataclass(frozen=True)
class OneShot(_Rounds):
    """Everything at once, then training."""

    rounds: int = 1

    def shares(self, target: float) -> list[float]:
        """The target."""
        return [target]


@dataclasses.dataclass(frozen=True)
class Uniform(_Rounds):
    """Equal shares of the original network, with training behind each."""

    def shares(self, target: float) -> list[float]:
        """Equal steps."""
        return [target * step / self.rounds for step in range(1, self.rounds)] + [target]


@dataclasses.dataclass(frozen=True)
class Cubic(_Rounds):
    """Much at first, less and less later.

    Source: M. Zhu and S. Gupta, "To prune, or not to prune", 2017, equation 1, from 0 on.
    """

    def shares(self, target: float) -> list[float]:
        """``target * (1 - (1 - step / rounds) ** 3)``."""
        return [target * (1 - (1 - step / self.rounds) ** 3) for step in range(1, self.rounds)] + [target]


@dataclasses.dataclass(frozen=True)
class Threshold(Uniform):
    """Equal shares; training only where more of the metric was lost than a limit, and behind the last one.

    Attributes:
        limit: of the metric; 0.01 is one point of accuracy.
    """

    limit: float = 0.01

    def trains(self, step: int, steps: int, lost: float) -> bool:
        """See ``Schedule.trains``."""
        return step == steps or lost > self.limit
