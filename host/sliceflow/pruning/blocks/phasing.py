"""Blocks that fade out while the rest is trained, before they are removed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import nn

from sliceflow.errors import UserError
from sliceflow.pruning.blocks.residual import Residual
from sliceflow.pruning.training.callback import Callback, Epoch
from sliceflow.pruning.training.fit import Training


class Fading(Callback):
    """Turns the gates of blocks down: in epoch e of S, from 1, each branch counts 1 - e / S.

    In the last epoch the branch counts nothing, so that its removal changes nothing. Its parameters and its running
    statistics stand still. Source: V. S. Velici, PhD thesis, 2022, "phased pruning".

    Args:
        blocks: those that fade, together.
    """

    def __init__(self, blocks: Sequence[Residual]) -> None:
        self._blocks = list(blocks)
        self._parameters = [p for block in self._blocks for p in block.branch.parameters() if p.requires_grad]
        self._epochs = 1
        self._done = 0

    def on_start(self, model: nn.Module, epochs: int) -> None:
        """Hold the blocks and set their gates."""
        self._epochs = epochs
        for parameter in self._parameters:
            parameter.requires_grad_(False)
            parameter.grad = None  # so that the optimizer leaves it alone
        for block in self._blocks:
            block.held = True
        self._set()

    def on_epoch(self, epoch: Epoch) -> None:
        """One step down."""
        self._done = epoch.number
        self._set()

    def on_end(self, model: nn.Module) -> None:
        """Let the blocks go; their gates stay at 0."""
        for parameter in self._parameters:
            parameter.requires_grad_(True)
        for block in self._blocks:
            block.held = False
            block.gate = 0.0

    def _set(self) -> None:
        for block in self._blocks:
            block.gate = max(0.0, 1 - (self._done + 1) / self._epochs)

    def state_dict(self) -> dict[str, int]:
        """Epochs that are over."""
        return {"done": self._done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a checkpoint."""
        self._done = state["done"]


def divide(training: Training, epochs: int) -> tuple[Training, Training]:
    """Divide a loop of training into its first epochs, in which blocks fade, and the rest, with their own rates.

    Raises:
        UserError: there are not more epochs than that, or the rate does not go in steps.
    """
    if training.epochs <= epochs or training.schedule != "steps":
        raise UserError(
            f"{epochs} epochs in which blocks fade cannot be taken from the loop's {training.epochs}",
            where="block pruning",
            fix='train longer, with the schedule "steps"',
        )
    passed = sum(at <= epochs for at in training.milestones)
    rest = dataclasses.replace(
        training,
        epochs=training.epochs - epochs,
        learning_rate=training.learning_rate * 0.1**passed,
        milestones=tuple(at - epochs for at in training.milestones if at > epochs),
    )
    return dataclasses.replace(training, epochs=epochs, keep="last", patience=None), rest
