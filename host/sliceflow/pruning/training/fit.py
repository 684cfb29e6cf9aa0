"""Training: epochs, the best of them, and going on after a kill."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from sliceflow.errors import UserError
from sliceflow.pruning.training import checkpoint
from sliceflow.pruning.training.callback import Batch, Callback, Epoch
from sliceflow.pruning.training.task import Quality, Task, evaluate

_DECAY = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """How to train. Equal options, data and weights give equal results on one machine.

    Attributes:
        epochs: the most that are run.
        learning_rate: at the beginning; ``one-cycle``: at its peak.
        optimizer: ``sgd`` or ``adamw``.
        momentum: of SGD.
        nesterov: Nesterov's form of it.
        weight_decay: the optimizer's own; decoupled for AdamW, added to the gradient for SGD.
        schedule: ``steps`` multiplies the rate by 0.1 at each milestone; ``one-cycle`` rises and falls over all epochs.
        milestones: epochs, counted from 0, from which on the rate is lower.
        patience: end when no epoch was better than the best for so many epochs; None runs them all.
        keep: ``best`` restores the weights of the best epoch, ``last`` takes the last.
        best_by: the best epoch has the lowest validation ``loss``, or the highest ``metric``; the first of equals.
        initial: the weights before training are a candidate for the best.
        seed: of shuffling, augmentation and dropout.
    """

    epochs: int
    learning_rate: float = 0.1
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: Literal["steps", "one-cycle"] = "steps"
    milestones: tuple[int, ...] = ()
    patience: int | None = None
    keep: Literal["best", "last"] = "best"
    best_by: Literal["loss", "metric"] = "loss"
    initial: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.learning_rate < 0 or (self.patience is not None and self.patience < 1):
            raise UserError(
                "epochs and learning rate must not be negative, and patience at least 1",
                where="training options",
                why=f"epochs {self.epochs}, learning rate {self.learning_rate}, patience {self.patience}",
            )


@dataclasses.dataclass(frozen=True)
class History:
    """What happened: epoch 0 (before training) and all that were run, and the number of the one that was kept."""

    epochs: tuple[Epoch, ...]
    kept: int

    @property
    def best(self) -> Epoch:
        """The epoch whose weights the network has now."""
        return self.epochs[self.kept]


def fit(
    model: nn.Module,
    task: Task,
    training: Training,
    callbacks: Sequence[Callback] = (),
    *,
    observers: Sequence[Callback] = (),
    resume_from: Path | None = None,
) -> History:
    """Train a network in place.

    Args:
        model: the network.
        task: its examples and loss.
        training: how.
        callbacks: called in this order; their states are kept in the checkpoint.
        observers: called behind them; they change nothing, and a checkpoint does not know them.
        resume_from: a checkpoint, written after every epoch; if it is there, training goes on from it, to the same
            result as without the break.

    Returns:
        What happened.

    Raises:
        UserError: the checkpoint is damaged or of another run, or it cannot be written.
    """
    return _Fit(model, task, training, callbacks, observers, resume_from).run()


class _Fit:
    def __init__(
        self,
        model: nn.Module,
        task: Task,
        training: Training,
        callbacks: Sequence[Callback],
        observers: Sequence[Callback],
        path: Path | None,
    ) -> None:
        self._model, self._task, self._training, self._path = model, task, training, path
        self._kept_callbacks = tuple(callbacks)
        self._callbacks = (*callbacks, *observers)
        self._optimizer = make_optimizer(model, training)
        self._epochs: list[Epoch] = []
        self._kept = 0
        self._best: dict[str, Any] = {}

    def run(self) -> History:
        if not self._resume():
            start = Epoch(0, 0.0, math.nan, evaluate(self._model, self._task.validation, self._task))
            self._epochs = [start]
            self._best = _copied(self._model)
        for callback in self._callbacks:
            callback.on_optimizer(self._optimizer)
            callback.on_start(self._model, self._training.epochs)
        while not self._done():
            self._epoch(len(self._epochs))
            if self._path is not None:
                checkpoint.save(self._path, self._state())
        if self._training.keep == "best":
            self._model.load_state_dict(self._best)
        else:
            self._kept = len(self._epochs) - 1
        for callback in self._callbacks:
            callback.on_end(self._model)
        return History(tuple(self._epochs), self._kept)

    def _done(self) -> bool:
        run = len(self._epochs) - 1
        patience = self._training.patience
        return run >= self._training.epochs or (patience is not None and run - self._kept >= patience)

    def _epoch(self, number: int) -> None:
        torch.manual_seed(self._training.seed * 100_003 + number)  # so that a resumed run draws the same numbers
        self._model.train()
        total, examples, rate = 0.0, 0, 0.0
        batches = list_length(self._task.train) if self._training.schedule == "one-cycle" else 1
        for step, (inputs, targets) in enumerate(self._task.train):
            rate = self._set_rate(number - 1, step / batches)
            total += self._step(inputs, targets) * len(inputs)
            examples += len(inputs)
        if not examples:
            raise UserError("there is no example to train with", fix="give a training set that is not empty")
        quality = evaluate(self._model, self._task.validation, self._task)
        epoch = Epoch(number, rate, total / examples, quality)
        self._epochs.append(epoch)
        if (not self._training.initial and number == 1) or self._better(quality):
            self._kept, self._best = number, _copied(self._model)
        for callback in self._callbacks:
            callback.on_epoch(epoch)

    def _better(self, quality: Quality) -> bool:
        best = self._epochs[self._kept].validation
        return quality.metric > best.metric if self._training.best_by == "metric" else quality.loss < best.loss

    def _step(self, inputs: torch.Tensor, targets: torch.Tensor) -> float:
        self._optimizer.zero_grad()
        outputs = self._model(inputs)
        batch = Batch(inputs, targets, outputs, self._task.loss(outputs, targets))
        for callback in self._callbacks:
            callback.on_forward(batch)
        try:
            batch.loss.backward()
        except RuntimeError as error:  # the network's code writes over what gradients need, or cuts all of them off
            raise UserError(
                "the network cannot be trained", where="the gradient of the loss", why=str(error).splitlines()[0]
            ) from error
        for callback in self._callbacks:
            callback.on_backward(batch)
        self._optimizer.step()
        for callback in self._callbacks:
            callback.on_step(batch)
        return float(batch.loss.detach())

    def _set_rate(self, epoch: int, part: float) -> float:
        rate = learning_rate(self._training, epoch, part)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _identity(self) -> dict[str, Any]:
        shapes = {name: list(value.shape) for name, value in self._model.state_dict().items()}
        options = {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self._training).items()}
        return {"options": options, "shapes": shapes, "callbacks": [type(c).__name__ for c in self._kept_callbacks]}

    def _state(self) -> dict[str, Any]:
        return {
            "identity": self._identity(),
            "model": self._model.state_dict(),
            "best": self._best,
            "optimizer": self._optimizer.state_dict(),
            "epochs": [dataclasses.asdict(epoch) for epoch in self._epochs],
            "kept": self._kept,
            "callbacks": [callback.state_dict() for callback in self._kept_callbacks],
        }

    def _resume(self) -> bool:
        if self._path is None or not self._path.exists():
            return False
        state = checkpoint.load(self._path, self._identity())
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._epochs = [
            Epoch(**{**fields, "validation": Quality(**fields["validation"])}) for fields in state["epochs"]
        ]
        self._kept, self._best = state["kept"], state["best"]
        for callback, saved in zip(self._kept_callbacks, state["callbacks"], strict=True):
            callback.load_state_dict(saved)
        return True


def make_optimizer(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    """The optimizer of all parameters of a network."""
    if training.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
    return torch.optim.SGD(
        model.parameters(),
        lr=training.learning_rate,
        momentum=training.momentum,
        nesterov=training.nesterov,
        weight_decay=training.weight_decay,
    )


def learning_rate(training: Training, epoch: int, part: float) -> float:
    """The rate in an epoch, counted from 0, of which a part, 0 to 1, is over.

    ``one-cycle`` rises over 30 % of the time from a 25th of the peak and falls to a 10,000th of that, along cosines.
    """
    if training.schedule == "steps":
        return training.learning_rate * _DECAY ** sum(epoch >= at for at in training.milestones)
    peak, low = training.learning_rate, training.learning_rate / 25
    progress = (epoch + part) / max(1, training.epochs)
    if progress < 0.3:
        return low + (peak - low) * (1 - math.cos(math.pi * progress / 0.3)) / 2
    final = low / 10_000
    return final + (peak - final) * (1 + math.cos(math.pi * (progress - 0.3) / 0.7)) / 2


def list_length(loader: Any) -> int:
    """Batches of a loader."""
    return len(loader) if hasattr(loader, "__len__") else sum(1 for _ in loader)


def _copied(model: nn.Module) -> dict[str, Any]:
    return copy.deepcopy(model.state_dict())
