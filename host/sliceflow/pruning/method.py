"""What every pruning method offers."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

from torch import nn

from sliceflow.errors import UserError
from sliceflow.pruning.training.fit import Training
from sliceflow.pruning.training.masks import Masks
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a method is asked for.

    Attributes:
        ratio: share to prune, 0 to 1, of the channels (structured methods) or of the weights (others). Methods that
            find their own share take it as the most.
        training: one stage of training; a method may have several.
        protect: layers that keep all their channels and weights; channels that are outputs stay in any case.
        seed: of everything random in the method itself.
    """

    ratio: float
    training: Training
    protect: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.ratio < 1:
            raise UserError(f"the ratio to prune must be 0 or more and less than 1, not {self.ratio}", where="pruning")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a method did to a network.

    Attributes:
        masks: what is pruned; those weights are zero, and the layers have kept their sizes.
        log: one record for each step, plain data, for reports.
    """

    masks: Masks
    log: list[dict[str, Any]]


class Method(Protocol):
    """A way to prune."""

    @property
    def structured(self) -> bool:
        """It prunes whole channels; else single weights."""
        ...

    def prune(self, model: nn.Module, task: Task, request: Request, run: Run) -> Outcome:
        """Prune a trained network in place: masked weights become zero, the others are trained on.

        Raises:
            UserError: the network does not suit the method.
        """
        ...
