"""What may be done to weights and statistics between a removal and training. The source finds little use in it."""

from __future__ import annotations

import torch
from torch import nn

from sliceflow.pruning.channels.layers import BATCH_NORMS
from sliceflow.pruning.training.task import Loader, evaluating


def add_noise(model: nn.Module, share: float, seed: int) -> None:
    """Add normal noise to the weights of convolutions: ``share`` times the standard deviation of each layer's."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
                noise = torch.randn(layer.weight.shape, generator=generator)
                layer.weight.add_(noise * (share * layer.weight.std()))


def recalibrate(model: nn.Module, loader: Loader) -> None:
    """Take the running statistics of batch normalizations anew: means over all batches of one pass."""
    norms = [module for module in model.modules() if isinstance(module, BATCH_NORMS) and module.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    with evaluating(model), torch.no_grad():
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean of all batches
            norm.train()
        for inputs, _ in loader:
            model(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
