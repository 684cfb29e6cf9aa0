"""Which weights or channels go, given their scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from sliceflow.errors import UserError

Scope = Literal["global", "layer"]
Normalize = Literal["none", "mean"]
_ROUNDING = 1e-12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guards:
    """What a layer keeps in any case.

    Attributes:
        least: weights or channels; all, if the layer has no more. At least 1.
        part: part, 0 to 1, of the share that all layers keep together. A tenth: if half of all channels stay,
            a twentieth of each layer stays. It keeps a global selection from emptying a layer ("layer collapse").
    """

    least: int = 1
    part: float = 0.1

    def __post_init__(self) -> None:
        if self.least < 1 or not 0 <= self.part <= 1:
            why = f"`least` is {self.least}, `part` {self.part}"
            raise UserError("a layer must keep 1 at least, and a part of 0 to 1", where="pruning guards", why=why)


def select(
    scores: Mapping[str, Tensor],
    gone: Mapping[str, Tensor],
    ratio: float,
    *,
    scope: Scope,
    guards: Guards = Guards(),
    normalize: Normalize = "none",
) -> dict[str, Tensor]:
    """Choose those with the lowest scores.

    Args:
        scores: of each layer or group; larger stays longer. Of equal scores the first ones go first.
        gone: bool, in the same shapes: what was pruned before. It stays pruned, and it counts.
        ratio: share of the original count that is pruned in the end, rounded down; less where the guards forbid it.
        scope: ``global`` compares all scores, ``layer`` prunes the same share of each layer.
        guards: what stays.
        normalize: ``mean`` divides the scores of a layer by their mean, so that layers can be compared.

    Returns:
        What is pruned in the end, bool, in the same shapes.

    Raises:
        UserError: a score is not a number.
    """
    for name, values in scores.items():
        if values.isnan().any():
            fix = "the network or its training has diverged: lower the learning rate"
            raise UserError("scores are not numbers", where=name, fix=fix)
    if not scores:
        return {}
    least = {name: _least(values.numel(), ratio, guards) for name, values in scores.items()}
    if scope == "layer":
        return {
            name: _lowest({name: values}, gone, share_of(values.numel(), ratio), least)[name]
            for name, values in scores.items()
        }
    if normalize == "mean":
        scores = {name: _normalized(values, gone[name]) for name, values in scores.items()}
    total = sum(values.numel() for values in scores.values())
    return _lowest(scores, gone, share_of(total, ratio), least)


def share_of(count: int, ratio: float) -> int:
    """A share of a count, rounded down: 29 of 100 for .29, although .29 * 100 is less than 29 in floating point."""
    return int(ratio * count + _ROUNDING * count)


def _least(count: int, ratio: float, guards: Guards) -> int:
    return min(count, max(guards.least, share_of(count, guards.part * (1 - ratio))))


def _normalized(values: Tensor, gone: Tensor) -> Tensor:
    alive = values[~gone]
    mean = float(alive.abs().mean()) if alive.numel() else 0.0
    return values / mean if mean else values


def _lowest(
    scores: Mapping[str, Tensor], gone: Mapping[str, Tensor], count: int, least: Mapping[str, int]
) -> dict[str, Tensor]:
    """The lowest ``count`` of all, besides those in each layer that must stay; those that are gone come first."""
    flat, free = [], []
    for name, values in scores.items():
        order = values.flatten().double().cpu().masked_fill(gone[name].flatten().cpu(), -torch.inf)
        rank = torch.empty(order.numel(), dtype=torch.long)
        rank[torch.argsort(order, stable=True)] = torch.arange(order.numel())
        flat.append(order)
        free.append(rank < order.numel() - least[name])
    candidates = torch.cat(flat).masked_fill(~torch.cat(free), torch.inf)
    chosen = torch.zeros(candidates.numel(), dtype=torch.bool)
    allowed = min(count, int(torch.cat(free).sum()))
    chosen[torch.argsort(candidates, stable=True)[:allowed]] = True
    parts = chosen.split([values.numel() for values in scores.values()])
    return {
        name: part.reshape(values.shape) | gone[name].cpu()
        for part, (name, values) in zip(parts, scores.items(), strict=True)
    }
