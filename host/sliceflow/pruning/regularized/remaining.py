"""What is left of each layer of a network whose weights were pruned."""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn

from sliceflow.pruning.channels.layers import LAYERS, by_output


@dataclasses.dataclass(frozen=True)
class Remaining:
    """One layer.

    Attributes:
        layer: its name.
        neurons, live_neurons: neurons or filters, and those with a weight that is not zero; simplification removes
            the others.
        weights, live_weights: weights, and those that are not zero.
    """

    layer: str
    neurons: int
    live_neurons: int
    weights: int
    live_weights: int


def remaining(model: nn.Module) -> list[Remaining]:
    """Convolutions and fully connected layers in the order in which the network defines them."""
    return [_layer(name, module) for name, module in model.named_modules() if isinstance(module, LAYERS)]


def live_neurons(layer: nn.Module) -> Tensor:
    """The neurons or filters with at least one weight that is not zero, bool ``[neurons]``."""
    return (by_output(layer, layer.weight.detach()) != 0).any(1)


def _layer(name: str, module: nn.Module) -> Remaining:
    live = live_neurons(module)
    weight = module.weight.detach()
    return Remaining(name, len(live), int(live.sum()), weight.numel(), int(weight.count_nonzero()))
