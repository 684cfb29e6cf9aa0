"""Pruned copies of a fully connected network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.sweep.diagnostics import separation
from sliceflow.pruning.training.fresh import copied
from sliceflow.pruning.training.masks import Masks
from sliceflow.pruning.training.task import Quality, Task, evaluate

Mode = Literal["weight", "unit"]


@dataclasses.dataclass(frozen=True)
class Pruned:
    """A pruned copy.

    Attributes:
        mode: single weights or whole units.
        share: that was asked for, in each layer.
        model: the copy; what is pruned is zero.
        masks: what is pruned.
        separation: for each layer that lost something the area under the curve by which the magnitude of a weight tells
            those kept from those removed: 1 if all removed ones are smaller, 0.5 if magnitude says nothing.
        quality: on test examples.
    """

    mode: Mode
    share: float
    model: nn.Module
    masks: Masks
    separation: dict[str, float]
    quality: Quality


def sweep(
    model: nn.Module,
    task: Task,
    shares: Sequence[float],
    modes: Sequence[Mode] = ("weight", "unit"),
    *,
    biases: bool = True,
) -> list[Pruned]:
    """A pruned copy for each mode and share, each of the network as it is, not of another copy.

    Args:
        model: a trained network; its ``nn.Linear`` layers but the last are pruned.
        task: whose test examples judge the copies.
        shares: 0 to 1.
        modes: see ``removed``.
        biases: they are pruned, too.

    Raises:
        UserError: a share is out of range, or the network has fewer than two such layers.
    """
    found = []
    for mode in modes:
        for share in shares:
            pruned = copied(model)
            masks = Masks(pruned)
            scores = {}
            for name, layer in hidden_layers(pruned).items():
                magnitudes = layer.weight.detach().abs()
                weight, bias = removed(layer, share, mode)
                if weight.any() and not weight.all():
                    scores[name] = separation(magnitudes[~weight], magnitudes[weight])
                masks.prune(f"{name}.weight", weight)
                if biases and layer.bias is not None:
                    masks.prune(f"{name}.bias", bias)
            found.append(Pruned(mode, share, pruned, masks, scores, evaluate(pruned, task.test, task)))
    return found


def hidden_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """Fully connected layers but the last, which makes the outputs, by name."""
    layers = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    if len(layers) < 2:
        raise UserError("the network needs two fully connected layers at least", where=type(model).__name__)
    return dict(list(layers.items())[:-1])


def removed(layer: nn.Linear, share: float, mode: Mode) -> tuple[Tensor, Tensor]:
    """What goes from a layer.

    ``weight``: the ``int(share * n)`` weights of least magnitude, and as large a share of the biases by their own
    magnitude. ``unit``: the ``int(share * units)`` units whose weights have the least L2 norm, with their biases. Of
    equals the first goes.

    Returns:
        Bool ``[outputs, inputs]`` and ``[outputs]``, True for what goes.
    """
    if not 0 <= share <= 1:
        raise UserError(f"the share to prune must be 0 to 1, not {share}", where="sweep")
    weight = layer.weight.detach()
    if mode == "weight":
        bias = torch.zeros(len(weight)) if layer.bias is None else layer.bias.detach()
        return _smallest(weight.abs(), share), _smallest(bias.abs(), share)
    units = _smallest(weight.norm(dim=1), share)
    return units[:, None].expand(weight.shape).clone(), units


def _smallest(scores: Tensor, share: float) -> Tensor:
    gone = torch.zeros(scores.numel(), dtype=torch.bool)
    gone[scores.flatten().argsort(stable=True)[: int(share * scores.numel())]] = True
    return gone.reshape(scores.shape)
