"""Structured pruning of a VGG by the L1 norm of its filters: the weakest are cut out, and the network gets smaller.

Source: H. Li, A. Kadav, I. Durdanovic, H. Samet and H. P. Graf, "Pruning filters for efficient ConvNets", 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.narrow import uniform_vgg
from models.vgg import Vgg


def prune_filters(model: Vgg, share: float) -> Vgg:
    """A copy of ``model`` with the strongest ``share`` of filters and hidden neurons of each layer.

    What goes with a filter goes too: its batch normalization channel and its input channel in the next layer. The
    inputs (image) and outputs (classes) stay whole.

    Args:
        model: the network; it is not changed.
        share: part of the filters of each layer to keep, 0 to 1; the count is rounded, one at least.
    """
    pruned = Vgg(uniform_vgg(model.shape, share))
    kept = torch.arange(model.shape.in_channels)
    with torch.no_grad():
        for old, new in zip(model.features, pruned.features, strict=True):
            if isinstance(old, nn.Conv2d):
                kept = _copy_strongest(old, new, kept)
            elif isinstance(old, nn.BatchNorm2d):
                new.load_state_dict(
                    {key: value[kept] if value.ndim else value for key, value in old.state_dict().items()}
                )
        pixels = model.shape.head_size**2
        kept = (kept[:, None] * pixels + torch.arange(pixels)).flatten()
        for old, new in zip(model.head, pruned.head, strict=True):
            if isinstance(old, nn.Linear):
                kept = _copy_strongest(old, new, kept)
    pruned.train(model.training)
    return pruned


def _copy_strongest(old: nn.Conv2d | nn.Linear, new: nn.Conv2d | nn.Linear, inputs: Tensor) -> Tensor:
    """Fill the smaller layer from the larger; returns the indices of the outputs that were kept, ascending."""
    weight: Tensor = old.weight
    kept: Tensor = weight.abs().flatten(1).sum(1).topk(new.weight.shape[0]).indices.sort().values
    new.weight.copy_(weight[kept][:, inputs])
    if old.bias is not None:
        new.bias.copy_(old.bias[kept])
    return kept
