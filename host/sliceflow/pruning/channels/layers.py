"""Layers that mix channels: their kinds, their sides, and where each output lies in their parameters."""

from __future__ import annotations

import logging
from collections import Counter

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LAYERS = (*CONVOLUTIONS, *TRANSPOSED, nn.Linear)
"""Layers whose outputs are sums over their inputs."""
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
NORMS = (*BATCH_NORMS, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
"""Norms whose channels do not mix."""


def sides(layer: nn.Module) -> tuple[int, int]:
    """Input and output channels of a layer."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    return layer.in_channels, layer.out_channels


def count(module: nn.Module, makes: bool) -> int:
    """Channels on a side of a layer, or of a norm or PReLU, whose sides are alike."""
    if isinstance(module, LAYERS):
        return int(sides(module)[makes])
    if isinstance(module, nn.LayerNorm):
        return int(module.normalized_shape[0])
    if isinstance(module, nn.GroupNorm):
        return int(module.num_channels)
    return int(module.num_parameters if isinstance(module, nn.PReLU) else module.num_features)


def is_depthwise(layer: nn.Module) -> bool:
    """Whether every channel is convolved by itself into one channel."""
    return isinstance(layer, CONVOLUTIONS) and layer.groups == layer.in_channels == layer.out_channels > 1


def channel_axis(layer: nn.Module, values: Tensor) -> int:
    """The axis of channels in what a layer reads or makes."""
    return int(values.ndim - 1 - (0 if isinstance(layer, nn.Linear) else len(layer.kernel_size)))


def by_group(layer: nn.Module, values: Tensor) -> Tensor:
    """Values in the shape of a layer's weight as ``[groups, outputs, inputs, ...]``, counts of one group."""
    groups = getattr(layer, "groups", 1)
    grouped = values.reshape(groups, values.shape[0] // groups, *values.shape[1:])
    return grouped.transpose(1, 2) if isinstance(layer, TRANSPOSED) else grouped


def by_output(layer: nn.Module, values: Tensor) -> Tensor:
    """Values in the shape of a layer's weight as ``[outputs, elements]``: what makes each output."""
    return by_group(layer, values).flatten(0, 1).flatten(1)


def spread(layer: nn.Module, parameter: str, shape: torch.Size, values: Tensor) -> Tensor:
    """A value for each output ``[outputs]``, in a shape that broadcasts to that of a parameter which makes them.

    Args:
        layer: the layer, or a norm.
        parameter: ``weight``, ``bias``: its name in the layer.
        shape: the parameter's.
        values: for each output.
    """
    if parameter != "weight" or not isinstance(layer, TRANSPOSED):
        return values.reshape(-1, *(1 for _ in shape[1:]))
    rows = values.reshape(layer.groups, 1, shape[1]).expand(-1, shape[0] // layer.groups, -1)
    return rows.reshape(*shape[:2], *(1 for _ in shape[2:]))


def making(layer: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters of a layer or norm that lie output by output, by their name in it."""
    own = ((name, layer._parameters.get(name)) for name in ("weight", "bias"))
    return [(name, parameter) for name, parameter in own if parameter is not None]


def has_own_weight(layer: nn.Module) -> bool:
    """Whether a layer's weight is a parameter, not computed of others as by weight and spectral normalization."""
    return isinstance(layer._parameters.get("weight"), nn.Parameter)


def sharing(model: nn.Module) -> set[nn.Module]:
    """Modules that share a parameter with another module, or have it under two names."""
    owners = [(module, p) for module in model.modules() for p in module._parameters.values() if p is not None]
    counts = Counter(parameter for _, parameter in owners)
    return {module for module, parameter in owners if counts[parameter] > 1}


def own_weights(model: nn.Module, kept: set[str] | frozenset[str] = frozenset()) -> dict[str, tuple[nn.Module, Tensor]]:
    """The weights of layers that are parameters, each once, by the name that the network gives them, with their layer.

    Layers that compute their weight are left out, with a warning in the log.

    Args:
        model: the network.
        kept: layers that are left out, with the weights that they share.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, LAYERS)]
    found: dict[str, tuple[nn.Module, Tensor]] = {}
    for name, module in layers:
        if has_own_weight(module):
            found.setdefault(names[module.weight], (module, module.weight))
        elif name not in kept:
            logger.warning("layer %s keeps all its weights: it computes them of other parameters", name)
    for name, module in model.named_modules():
        for parameter in module._parameters.values() if name in kept else ():
            found.pop(names.get(parameter, ""), None)
    return found
