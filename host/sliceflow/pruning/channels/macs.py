"""Multiply-accumulates of torch networks, layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sliceflow.pruning.training.task import evaluating


def layer_macs(model: nn.Module, example: Tensor) -> dict[str, int]:
    """Multiply-accumulates of one forward pass, for one example.

    Args:
        model: the network.
        example: inputs ``[1, ...]``.

    Returns:
        For each module that has no modules inside and multiplies (convolutions, fully connected layers ...), by name,
        in the order in which the network defines them. Batch normalizations and activations do not count.
    """
    with evaluating(model), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(example)
    counts = counter.get_flop_counts()
    root = type(model).__name__
    found = {}
    for name, module in model.named_modules():
        if next(module.children(), None) is None:
            flops = sum(counts.get(f"{root}.{name}" if name else root, {}).values())
            if flops:
                found[name] = flops // 2
    return found


def macs(model: nn.Module, example: Tensor) -> int:
    """Multiply-accumulates of a whole network for one example ``[1, ...]``; see ``layer_macs``."""
    return sum(layer_macs(model, example).values())
