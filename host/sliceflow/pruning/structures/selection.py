"""Data-driven sparse structure selection: factors on structures that training drives to zero.

Source: Z. Huang and N. Wang, "Data-driven sparse structure selection for deep neural networks", 2018; its optimizer is
accelerated proximal gradient descent in the form with momentum (equation 10 there).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn, optim

from sliceflow.errors import UserError
from sliceflow.pruning.channels.layers import own_weights
from sliceflow.pruning.channels.observe import largest_difference, outputs
from sliceflow.pruning.method import Outcome, Request
from sliceflow.pruning.structures.scalable import Kind, Place, Structures, find_structures
from sliceflow.pruning.training.callback import Batch, Callback
from sliceflow.pruning.training.fit import Training, learning_rate, list_length
from sliceflow.pruning.training.masks import Masks
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import Task, evaluate, hooked

_PART = 0.25
"""Of the training, after which an indifferent factor is zero."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StructureSelection:
    """Trains with factors, removes structures whose factor is small, folds the other factors, and trains again.

    Attributes:
        structures: what gets factors: ``channels``, ``groups`` of grouped convolutions, or residual ``blocks``.
        sparsity: strength of the L1 norm of the factors (gamma). None takes one with which a factor that the loss does
            not feel reaches zero after a quarter of the training; the log tells it.
        momentum: of the factors' own optimizer.
        threshold: structures with a smaller magnitude of their factor go, the smallest first, up to the ratio that is
            asked for. Momentum leaves factors near zero that are not zero.
        weight_l1: strength of the L1 norm of weights when training again.
        weight_threshold: single weights with a smaller magnitude are pruned after that; 0 prunes none.
    """

    structures: Kind = "channels"
    sparsity: float | None = None
    momentum: float = 0.9
    threshold: float = 0.01
    weight_l1: float = 1e-5
    weight_threshold: float = 0.0

    structured: ClassVar[bool] = True

    def __post_init__(self) -> None:
        values = (self.sparsity or 0.0, self.threshold, self.weight_l1, self.weight_threshold)
        if min(values) < 0 or not 0 <= self.momentum < 1:
            raise UserError(
                "strengths and thresholds must not be negative, and momentum must be 0 or more and less than 1",
                where="structure selection",
            )

    def prune(self, model: nn.Module, task: Task, request: Request, run: Run) -> Outcome:
        """See ``Method``. The log has one record for each stage.

        Raises:
            UserError: the network has no such structures.
        """
        found = find_structures(model, task.example(), self.structures, request.protect)
        sparsity = self.sparsity if self.sparsity is not None else self._usual_sparsity(task, request.training)
        factors = Factors(found, sparsity, self.momentum)
        with factors.attached():
            run.fit("factors", model, task, dataclasses.replace(request.training, keep="last"), [factors])
            log = [_record("factors", model, task, sparsity=sparsity)]
            before = outputs(model, task.example())
        factors.fold()
        difference = largest_difference(before, outputs(model, task.example()))
        log.append(_record("folded", model, task, difference=difference))
        masks = Masks(model)
        gone = select(found, factors.values, self.threshold, request.ratio)
        for structures, lost in zip(found, gone, strict=True):
            for name, mask in structures.parameters(lost):
                masks.prune(name, mask)
        counts = {"removed": sum(int(lost.sum()) for lost in gone), "structures": sum(len(lost) for lost in gone)}
        log.append(_record("removed", model, task, **counts))
        run.fit("again", model, task, request.training, [WeightL1(model, self.weight_l1), masks])
        log.append(_record("trained again", model, task))
        if self.weight_threshold:
            _prune_small(model, masks, self.weight_threshold)
            log.append(_record("small weights", model, task, pruned=masks.pruned))
        return Outcome(masks, log)

    def _usual_sparsity(self, task: Task, training: Training) -> float:
        """Momentum carries a factor 1 / (1 - momentum) times as far as the steps alone, which sum up to the rates."""
        batches = list_length(task.train)
        rates = sum(learning_rate(training, epoch, 0.5) for epoch in range(training.epochs)) * batches
        return (1 - self.momentum) / (_PART * rates) if rates else 0.0


class Factors(Callback):
    """Factors of structures and their optimizer. They are no parameters of the network, so weight decay passes them by.

    Args:
        structures: what is scaled.
        sparsity: strength of their L1 norm.
        momentum: 0 or more, less than 1.

    Attributes:
        values: for each entry of ``structures`` its factors, ``[count]``; 1 at first.
    """

    def __init__(self, structures: Sequence[Structures], sparsity: float, momentum: float) -> None:
        self._structures, self._sparsity, self._momentum = structures, sparsity, momentum
        self.values = [torch.ones(entry.count, requires_grad=True) for entry in structures]
        self._velocities = [torch.zeros(entry.count) for entry in structures]
        self._optimizer: optim.Optimizer | None = None

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        """The network is scaled within this block."""

        def hook(place: Place, index: int) -> Any:
            return lambda _, __, output: place.apply(self.values[index], output)

        hooks = (
            place.chain.last.register_forward_hook(hook(place, index))
            for index, entry in enumerate(self._structures)
            for place in entry.places
        )
        with hooked(hooks):
            yield

    def on_optimizer(self, optimizer: optim.Optimizer) -> None:
        """Factors learn at the weights' rate."""
        self._optimizer = optimizer

    def on_step(self, batch: Batch) -> None:
        """One step of accelerated proximal gradient descent for each factor."""
        rate = self._optimizer.param_groups[0]["lr"] if self._optimizer is not None else 0.0
        with torch.no_grad():
            for value, velocity in zip(self.values, self._velocities, strict=True):
                gradient = torch.zeros_like(value) if value.grad is None else value.grad
                moved = soft(value - rate * gradient, rate * self._sparsity)
                velocity.mul_(self._momentum).add_(moved - value)
                value.copy_(moved + self._momentum * velocity)
                value.grad = None

    def fold(self) -> None:
        """Take the factors into the parameters. The network must not be scaled any more."""
        for entry, value in zip(self._structures, self.values, strict=True):
            for place in entry.places:
                place.fold(value.detach())

    def state_dict(self) -> dict[str, Any]:
        """Factors and velocities."""
        return {"values": [value.detach() for value in self.values], "velocities": self._velocities}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        with torch.no_grad():
            for value, velocity, *saved in zip(
                self.values, self._velocities, state["values"], state["velocities"], strict=True
            ):
                value.copy_(saved[0])
                velocity.copy_(saved[1])


class WeightL1(Callback):
    """Adds the gradient of ``strength * |w|`` to those of the weights of convolutions and fully connected layers."""

    def __init__(self, model: nn.Module, strength: float) -> None:
        self._weights = [weight for _, weight in own_weights(model).values()]
        self._strength = strength

    def on_backward(self, batch: Batch) -> None:
        """Add it; a weight that is zero has none."""
        with torch.no_grad():
            for weight in self._weights:
                if weight.grad is not None:
                    weight.grad.add_(weight.sign(), alpha=self._strength)


def soft(values: Tensor, limit: float) -> Tensor:
    """Soft thresholding, the proximal operator of ``limit * |x|``."""
    return values.sign() * (values.abs() - limit).clamp(min=0)


def select(structures: Sequence[Structures], factors: Sequence[Tensor], threshold: float, ratio: float) -> list[Tensor]:
    """Which structures go: those with small factors, the smallest first.

    Args:
        structures: each keeps its least number.
        factors: of the structures.
        threshold: those with a magnitude below it go.
        ratio: at most this share of all goes.

    Returns:
        For each entry bool ``[count]``.
    """
    allowed = int(ratio * sum(entry.count for entry in structures))
    gone = [torch.zeros(entry.count, dtype=torch.bool) for entry in structures]
    magnitudes = [value.detach().abs().tolist() for value in factors]
    ordered = sorted((m, i, j) for i, row in enumerate(magnitudes) for j, m in enumerate(row) if m < threshold)
    for _, entry, index in ordered:
        left = structures[entry].count - int(gone[entry].sum())
        if allowed and left > structures[entry].least:
            gone[entry][index] = True
            allowed -= 1
    return gone


def _prune_small(model: nn.Module, masks: Masks, threshold: float) -> None:
    """Single weights; every layer keeps its largest."""
    for name, (_, weight) in own_weights(model).items():
        magnitudes = weight.detach().abs()
        masks.prune(name, magnitudes < min(threshold, float(magnitudes.max())))


def _record(stage: str, model: nn.Module, task: Task, **more: Any) -> dict[str, Any]:
    quality = evaluate(model, task.validation, task)
    return {"stage": stage, "loss": quality.loss, "metric": quality.metric, **more}
