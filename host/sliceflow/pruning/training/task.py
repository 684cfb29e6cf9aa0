"""What a network is trained and judged with."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from sliceflow.errors import UserError


class Loader(Protocol):
    """Batches of inputs and targets; a ``torch.utils.data.DataLoader`` is one."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass over the examples. Shuffling must draw from torch's global generator, or not at all."""
        ...


def correct(outputs: Tensor, targets: Tensor) -> Tensor:
    """1 for each example whose largest output is at its target, else 0.

    Args:
        outputs: ``[N, C]``, or ``[N, C, H, W]`` for maps.
        targets: ``[N]`` or ``[N, H, W]``, class indices.

    Returns:
        ``[N]`` float; for maps the share of right pixels.
    """
    hits = (outputs.argmax(1) == targets).float()
    return hits.flatten(1).mean(1) if hits.ndim > 1 else hits


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """Examples, a loss, and a measure of quality.

    Attributes:
        train: examples to learn from.
        validation: examples that decide: when to stop, which epoch to keep, how far to prune.
        test: examples that decide nothing.
        loss: of outputs and targets, the mean over the batch; scalar.
        metric: of outputs and targets, one number for each example ``[N]``, higher is better.
    """

    train: Loader
    validation: Loader
    test: Loader
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy
    metric: Callable[[Tensor, Tensor], Tensor] = correct

    def example(self) -> Tensor:
        """Inputs of one validation example, ``[1, ...]``."""
        return next(iter(self.validation))[0][:1]


@dataclasses.dataclass(frozen=True)
class Quality:
    """How well a network does: mean loss and mean metric over so many examples."""

    loss: float
    metric: float
    examples: int

    def to_json(self) -> dict[str, float | int | None]:
        """Plain data; a loss that is not finite is None."""
        return {**dataclasses.asdict(self), "loss": self.loss if math.isfinite(self.loss) else None}


def evaluate(model: nn.Module, loader: Iterable[tuple[Tensor, Tensor]], task: Task) -> Quality:
    """Judge a network in evaluation mode; its mode is restored. The last, smaller batch counts by its examples.

    Raises:
        UserError: the loader is empty.
    """
    total_loss = total_metric = 0.0
    examples = 0
    with evaluating(model), torch.no_grad():
        for inputs, targets in loader:
            outputs = model(inputs)
            count = len(inputs)
            total_loss += float(task.loss(outputs, targets)) * count
            total_metric += float(task.metric(outputs, targets).sum())
            examples += count
    if not examples:
        raise UserError("there is no example to judge the network with", fix="give a data set that is not empty")
    loss = total_loss / examples
    return Quality(loss if math.isfinite(loss) else math.inf, total_metric / examples, examples)


@contextlib.contextmanager
def hooked(handles: Iterable[Any]) -> Iterator[None]:
    """Hooks within a block: those that ``handles`` registers are removed behind it."""
    with contextlib.ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield


def reading(modules: Iterable[nn.Module], look: Callable[[nn.Module, Tensor], None]) -> Iterator[Any]:
    """Hooks for ``hooked`` that look at what modules read: the first tensor that they are called with."""
    for module in modules:
        yield module.register_forward_pre_hook(
            lambda module, arguments, named: look(module, first_tensor(arguments, named)), with_kwargs=True
        )


def first_tensor(arguments: tuple[Any, ...], named: dict[str, Any]) -> Tensor:
    """What a module reads, in a call of it."""
    return next(value for value in (*arguments, *named.values()) if isinstance(value, Tensor))


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode within a block; each module gets back its own mode behind it."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
