"""Size and work of a torch module. Modules on torch's ``meta`` device are measured without any memory for weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def parameters(module: nn.Module) -> int:
    """Trainable values; the statistics of batch normalization do not count."""
    return sum(parameter.numel() for parameter in module.parameters())


def memory_kib(module: nn.Module) -> float:
    """Memory of the parameters in float32, in KiB (the thesis writes kB)."""
    return parameters(module) * 4 / 1024


def neurons(module: nn.Module) -> int:
    """Filters of all convolutions and outputs of all fully connected layers."""
    return sum(layer.weight.shape[0] for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear))


def macs(module: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of convolutions and fully connected layers for one image [C, H, W]."""
    total = 0

    def count(layer: nn.Conv2d | nn.Linear, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += output.numel() * math.prod(layer.weight.shape[1:])

    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    was_training = module.training
    try:
        with torch.no_grad():
            module.eval()(torch.zeros(1, *image_shape, device=next(module.parameters()).device))
    finally:
        module.train(was_training)
        for hook in hooks:
            hook.remove()
    return total
