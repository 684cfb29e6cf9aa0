"""How much each residual block matters: seven measures. The block with the lowest is removed first.

Data is always shown in evaluation mode. Measures of activations are means over the whole validation set; their scales
differ between stages. Source: V. S. Velici, PhD thesis, 2022, chapter 3; for the gradient P. Molchanov et al., 2019.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sliceflow.pruning.blocks.network import BlockNetwork
from sliceflow.pruning.channels.layers import LAYERS
from sliceflow.pruning.training.task import Task, evaluate, evaluating, hooked

Scores = dict[str, float]
Hook = Callable[[nn.Module, tuple[Any, ...], Tensor], None]


@dataclasses.dataclass(frozen=True)
class Context:
    """What scores may depend on.

    Attributes:
        network: the network and its blocks.
        task: whose validation examples are shown.
        measured: activations are those of the ``branch``, or of the ``block`` behind the sum.
        seed: of random scores; another one for each step.
    """

    network: BlockNetwork
    task: Task
    measured: Literal["branch", "block"] = "branch"
    seed: int = 0


def oracle(context: Context) -> Scores:
    """Minus the validation metric without the block."""
    scores = {}
    for name in context.network.blocks:
        with context.network.without(name):
            scores[name] = -evaluate(context.network.model, context.task.validation, context.task).metric
    return scores


def activation_mean(context: Context) -> Scores:
    """Mean magnitude of the block's activations."""
    means = _Means()

    def look(name: str) -> Hook:
        return lambda _, __, output: means.add(name, output.abs())

    blocks = context.network.blocks
    watched = {name: block.branch if context.measured == "branch" else block for name, block in blocks.items()}
    with hooked(_made(watched, look)):
        _show(context)
    return means.values()


def activation_change(context: Context) -> Scores:
    """Mean squared difference between what leaves the block with its branch and without."""
    means = _Means()
    bare = {name: block.bare() for name, block in context.network.blocks.items()}

    def look(name: str) -> Hook:
        return lambda _, inputs, output: means.add(name, (bare[name](inputs[0]) - output) ** 2)

    with hooked(_made(context.network.blocks, look)):
        _show(context)
    return means.values()


def activation_change_next(context: Context) -> Scores:
    """The same, but what leaves the *next* block is compared. The last block has none; its own change counts."""
    network = context.network
    names = list(network.blocks)
    scores = dict(list(activation_change(context).items())[-1:])
    for name, following in itertools.pairwise(names):
        means = _Means()
        block = network.blocks[following]
        for inputs, _ in context.task.validation:
            before = _output(network.model, block, inputs)
            with network.without(name):
                means.add(name, (_output(network.model, block, inputs) - before) ** 2)
        scores |= means.values()
    return {name: scores[name] for name in names}


def gradient(context: Context) -> Scores:
    """Magnitude of the loss's derivative by a gate on the branch, at 1, on the first validation batch."""
    blocks = context.network.blocks
    gates = {name: torch.ones((), requires_grad=True) for name in blocks}
    inputs, targets = next(iter(context.task.validation))
    try:
        for name, block in blocks.items():
            block.gate = gates[name]
        with evaluating(context.network.model):
            loss = context.task.loss(context.network.model(inputs), targets)
        found = torch.autograd.grad(loss, list(gates.values()))
    finally:
        for block in blocks.values():
            block.gate = 1.0
    return {name: abs(float(value)) for name, value in zip(blocks, found, strict=True)}


def gradient_max(context: Context) -> Scores:
    """Removes the block with the *largest* derivative first: a control that must do badly."""
    return {name: -score for name, score in gradient(context).items()}


def weights_mean(context: Context) -> Scores:
    """Mean magnitude of the weights of the branch's layers. Needs no data."""
    scores = {}
    for name, block in context.network.blocks.items():
        weights = [m.weight.detach().flatten() for m in block.branch.modules() if isinstance(m, LAYERS)]
        scores[name] = float(torch.cat(weights).abs().mean())
    return scores


def random_scores(context: Context) -> Scores:
    """A control."""
    generator = torch.Generator().manual_seed(context.seed)
    names = list(context.network.blocks)
    return dict(zip(names, torch.rand(len(names), generator=generator).tolist(), strict=True))


SALIENCIES: Mapping[str, Callable[[Context], Scores]] = {
    "oracle": oracle,
    "activation-mean": activation_mean,
    "activation-change": activation_change,
    "activation-change-next": activation_change_next,
    "gradient": gradient,
    "gradient-max": gradient_max,
    "weights-mean": weights_mean,
    "random": random_scores,
}
"""By name; ``gradient-max`` and ``random`` are controls."""


class _Means:
    """Means over all elements of batches of different sizes."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, values: Tensor) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + float(values.double().sum())
        self._counts[name] = self._counts.get(name, 0) + values.numel()

    def values(self) -> Scores:
        return {name: total / self._counts[name] for name, total in self._sums.items()}


def _made(modules: Mapping[str, nn.Module], make: Callable[[str], Hook]) -> Iterator[Any]:
    return (module.register_forward_hook(make(name)) for name, module in modules.items())


def _show(context: Context) -> None:
    for inputs, _ in context.task.validation:
        _forward(context.network.model, inputs)


def _forward(model: nn.Module, inputs: Tensor) -> None:
    with evaluating(model), torch.no_grad():
        model(inputs)


def _output(model: nn.Module, block: nn.Module, inputs: Tensor) -> Tensor:
    """What leaves a block when the network is shown a batch."""
    found: list[Tensor] = []

    def look(_: str) -> Hook:
        return lambda _, __, output: found.append(output.clone())  # a later layer may overwrite it

    with hooked(_made({"": block}, look)):
        _forward(model, inputs)
    return found[0]
