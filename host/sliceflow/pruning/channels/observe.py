"""What layers read while the network runs: which of their input channels are constant."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from sliceflow.pruning.channels.layers import LAYERS, channel_axis, sides
from sliceflow.pruning.training.task import evaluating, hooked, reading

_ROUNDING = 1e-6
"""By how much of itself a constant may vary: means over maps of different sizes do."""


def probes(model: nn.Module, example: Tensor) -> list[Tensor]:
    """An example and others of its kind: random, faint, and, where the network takes them, larger ones.

    A network's code may decide by what it reads, and constants may depend on the size of a map.

    Args:
        model: the network.
        example: ``[N, ...]``; inputs that are not floating-point are taken as they are.

    Returns:
        Tensors of batch 1.
    """
    if not example.is_floating_point():
        return [example[index : index + 1] for index in range(min(4, len(example)))]
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(1, *example.shape[1:], generator=generator).to(example)
    found = [random, example[:1], random * 1e-4]
    if example.ndim > 2:
        sizes = [_larger(size) for size in example.shape[2:]]
        larger = torch.randn(1, example.shape[1], *sizes, generator=generator).to(example)
        with evaluating(model), torch.no_grad():
            try:
                model(larger)
            except Exception:  # its size is fixed: the network's own code says so, in whichever way
                return found
        found.append(larger)
    return found


def _larger(size: int) -> int:
    """A size that maps of half, a quarter ... of it divide as well, as networks that upsample want it."""
    return size + size // 2 if size % 64 == 0 else 2 * size


def constant_inputs(model: nn.Module, inputs: Iterable[Tensor]) -> dict[nn.Module, Tensor]:
    """The values of constant input channels of every layer that mixes channels, in evaluation mode.

    Args:
        model: the network.
        inputs: what to run it on.

    Returns:
        For each layer that ran ``[channels]``, NaN for those that vary, over the map or between inputs.
    """
    low: dict[nn.Module, Tensor] = {}
    high: dict[nn.Module, Tensor] = {}

    def look(layer: nn.Module, read: Tensor) -> None:
        flat = read.detach().movedim(channel_axis(layer, read), 0).reshape(sides(layer)[0], -1)
        low[layer] = torch.minimum(flat.amin(1), low.get(layer, torch.tensor(math.inf)))
        high[layer] = torch.maximum(flat.amax(1), high.get(layer, torch.tensor(-math.inf)))

    layers = (module for module in model.modules() if isinstance(module, LAYERS))
    with hooked(reading(layers, look)), evaluating(model), torch.no_grad():
        for example in inputs:
            model(example)
    found = {}
    for layer, least in low.items():
        even = high[layer] - least <= _ROUNDING * torch.maximum(least.abs(), high[layer].abs())
        found[layer] = torch.where(even, (least + high[layer]) / 2, math.nan)
    return found


def outputs(model: nn.Module, example: Tensor) -> list[Tensor]:
    """All tensors that a network returns in evaluation mode, in order."""
    with evaluating(model), torch.no_grad():
        return _tensors(model(example))


def _tensors(found: Any) -> list[Tensor]:
    if isinstance(found, Tensor):
        return [found]
    if isinstance(found, dict):
        found = list(found.values())
    return [tensor for item in found for tensor in _tensors(item)] if isinstance(found, (list, tuple)) else []


def largest_difference(before: Iterable[Tensor], after: Iterable[Tensor]) -> float:
    """The largest difference of an element, as a share of its tensor's largest; infinite if shapes differ."""
    worst = 0.0
    for old, new in zip(before, after, strict=True):
        if old.shape != new.shape:
            return math.inf
        off, largest = float((old - new).abs().max()), float(old.abs().max())
        worst = max(worst, off / largest if largest > 0 else (math.inf if off > 0 else 0.0))
    return worst
