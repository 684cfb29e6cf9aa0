"""Pruned channels are cut out of a live network, in place, and training goes on.

A group of coupled channels (``groups``) loses a channel when nothing that reads it can notice:

1. every weight that reads it is zero; or
2. all weights that make it are zero, and what is left of it behind biases, norms and activations is zero; or
3. all weights that make it are zero, and what is left is a constant that every reader can take into its bias: fully
   connected layers, and convolutions without zero padding.

What is left of a channel is observed while the network runs, at two sizes if it takes two; behind each cut the network
must compute what it did, else the channels at fault stay. A constant in front of a
zero-padded convolution stays: its effect at the border differs. (In an ONNX model ``sliceflow.passes.simplify`` merges
all such channels of a layer into one.) Rules 1 and 2 leave training as it is if ``Masks`` hold what is pruned; a
constant that moved into a bias is exact in evaluation only.

Source: "training mode" of Simplify, A. Bragagnolo, PhD thesis, University of Turin, 2023, chapter 6.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from sliceflow.pruning.channels.layers import LAYERS, sides
from sliceflow.pruning.channels.rounds import Held, Rounds
from sliceflow.pruning.channels.surgery import Surgery
from sliceflow.pruning.training.masks import Masks


@dataclasses.dataclass(frozen=True)
class Size:
    """A layer's size. Norms and the like have as many inputs as outputs."""

    inputs: int
    outputs: int
    parameters: int


@dataclasses.dataclass(frozen=True)
class LayerShrink:
    """A layer before and after."""

    name: str
    kind: str
    before: Size
    after: Size


@dataclasses.dataclass(frozen=True)
class ShrinkReport:
    """What shrinking did.

    Attributes:
        layers: every layer with channels, in the network's order.
        held: channels that stay although they are pruned.
        folded: channels whose constant moved into biases.
        difference: largest difference of an output, as a share of its largest element, on random inputs.
    """

    layers: list[LayerShrink]
    held: list[Held]
    folded: int
    difference: float

    def totals(self) -> dict[str, int]:
        """Output channels of layers with weights for each pair of channels, and all parameters; before and after."""
        mixing = [layer for layer in self.layers if layer.kind in {kind.__name__ for kind in LAYERS}]
        return {
            "channels_before": sum(layer.before.outputs for layer in mixing),
            "channels_after": sum(layer.after.outputs for layer in mixing),
            "parameters_before": sum(layer.before.parameters for layer in self.layers),
            "parameters_after": sum(layer.after.parameters for layer in self.layers),
        }

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**dataclasses.asdict(self), "totals": self.totals()}


def shrink(
    model: nn.Module,
    example: Tensor,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    masks: Masks | None = None,
    protect: Collection[str] = (),
) -> ShrinkReport:
    """Cut pruned channels out of a network, in place. In evaluation mode its outputs stay the same, at any input size.

    Layers get new, smaller parameters. What else holds the old ones (a callback, an average of weights) must be made
    anew.

    Args:
        model: the network.
        example: inputs, ``[N, ...]``; shape and type matter, and not the values if they are floating-point.
        optimizer: it gets the new parameters, and goes on with what it keeps for the elements that stay (momentum,
            Adam's moments).
        masks: they get the new parameters, and are cut alike.
        protect: layers whose outputs all stay.

    Returns:
        What went, and what could not.

    Raises:
        UserError: the channels of the network cannot be traced, or the optimizer's state does not fit its parameters;
            the network is left as it was.
    """
    before = _sizes(model)
    surgery = Surgery(model, optimizer, masks)
    try:
        rounds = Rounds(model, example, surgery, masks, protect)
        rounds.run()
    except BaseException:
        surgery.undo()
        raise
    after = _sizes(model)
    layers = [LayerShrink(name, kind, size, after[name][1]) for name, (kind, size) in before.items()]
    return ShrinkReport(layers, rounds.held, rounds.folded, rounds.difference)


def _sizes(model: nn.Module) -> dict[str, tuple[str, Size]]:
    found = {}
    for name, layer in model.named_modules():
        count = sum(parameter.numel() for parameter in layer.parameters(recurse=False))
        if isinstance(layer, LAYERS):
            found[name] = type(layer).__name__, Size(*sides(layer), count)
        elif count:
            channels = getattr(layer, "num_features", 0)
            found[name] = type(layer).__name__, Size(channels, channels, count)
    return found
