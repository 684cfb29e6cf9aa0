"""What takes part in training."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor, nn, optim

from sliceflow.pruning.training.task import Quality


@dataclasses.dataclass
class Batch:
    """One step: inputs, targets, outputs of the network (with their graph), and the loss, a scalar."""

    inputs: Tensor
    targets: Tensor
    outputs: Tensor
    loss: Tensor


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One epoch's result. Number 0 is the network before training."""

    number: int
    learning_rate: float
    train_loss: float
    validation: Quality


class Callback:
    """Base of everything that looks on or interferes. All methods do nothing until they are overridden.

    What a callback must remember over a kill goes into ``state_dict``: numbers, strings, tensors, and lists and
    dictionaries of them.
    """

    def on_optimizer(self, optimizer: optim.Optimizer) -> None:
        """The optimizer of this stage is there, with its state if training is resumed; ``on_start`` follows."""

    def on_start(self, model: nn.Module, epochs: int) -> None:
        """Training begins, or is resumed."""

    def on_forward(self, batch: Batch) -> None:
        """Outputs are there; the loss has not been differentiated."""

    def on_backward(self, batch: Batch) -> None:
        """Gradients of the loss are there; the optimizer has not moved."""

    def on_step(self, batch: Batch) -> None:
        """The optimizer has moved the weights."""

    def on_epoch(self, epoch: Epoch) -> None:
        """The epoch was validated."""

    def on_end(self, model: nn.Module) -> None:
        """Training is over; the best weights are restored."""

    def state_dict(self) -> dict[str, Any]:
        """What to keep in a checkpoint."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
