"""Networks that a table describes: convolutions and pools in sequence, and forks whose branches are concatenated."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.blocks import Size, convolution


@dataclasses.dataclass(frozen=True)
class Conv:
    """A convolution, with the network's batch normalization and activation unless it is ``plain``.

    Attributes:
        channels: output channels.
        kernel: side of the window, or its rows and columns.
        stride: in both directions.
        pad: pad by half the window.
        plain: a bias instead of batch normalization, and no activation.
    """

    channels: int
    kernel: int | Size = 1
    stride: int = 1
    pad: bool = True
    plain: bool = False


@dataclasses.dataclass(frozen=True)
class MaxPool:
    """A max pool; at stride 1 an even window is padded behind the map only, so that the size stays."""

    window: int
    stride: int
    pad: bool = False


@dataclasses.dataclass(frozen=True)
class AveragePool:
    """An average pool of stride 1 that keeps the map's size and counts its padding as zeros."""

    window: int = 3


@dataclasses.dataclass(frozen=True)
class Fork:
    """Branches over the same map, concatenated by channels; a branch without layers is the map itself."""

    branches: tuple[tuple[Layer, ...], ...]


Layer = Conv | MaxPool | AveragePool | Fork


@dataclasses.dataclass(frozen=True, kw_only=True)
class BranchingShape:
    """What tells one such network from another.

    Attributes:
        layers: from the image on.
        classes: outputs of a fully connected layer behind a global average; ``None``: the last map is the output.
        image_size: rows, and columns, of the image.
        batch_norm: convolutions have batch normalization instead of a bias.
        leaky_slope: slope of the activation for negative values; 0 is ReLU.
        in_channels: channels of the image.
    """

    layers: tuple[Layer, ...]
    classes: int | None
    image_size: int
    batch_norm: bool = True
    leaky_slope: float = 0.0
    in_channels: int = 3


class Branching(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Such a network: [N, C, H, W] images in; [N, classes] logits, or the last map, out."""

    def __init__(self, shape: BranchingShape) -> None:
        super().__init__()
        self.shape = shape
        self.body, self.channels = _sequence(shape.layers, shape.in_channels, shape)
        if shape.classes is not None:
            self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(self.channels, shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes], or maps [N, channels, rows, columns], of images [N, C, H, W]."""
        maps: Tensor = self.body(images)
        if self.shape.classes is None:
            return maps
        logits: Tensor = self.head(self.pool(maps).reshape(-1, self.channels))
        return logits


class _Fork(nn.Module):  # type: ignore[misc]  # torch is untyped here
    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, maps: Tensor) -> Tensor:
        """All branches' channels [N, sum of C, H', W'] over maps [N, C, H, W]."""
        return torch.cat([branch(maps) for branch in self.branches], 1)


def _sequence(layers: Sequence[Layer], channels: int, shape: BranchingShape) -> tuple[nn.Module, int]:
    """The module of some layers that follow each other, and its output channels."""
    modules: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, Fork):
            made = [_sequence(branch, channels, shape) for branch in layer.branches]
            modules.append(_Fork([module for module, _ in made]))
            channels = sum(count for _, count in made)
        elif isinstance(layer, Conv):
            modules += _convolution(layer, channels, shape)
            channels = layer.channels
        elif isinstance(layer, MaxPool):
            modules += _max_pool(layer)
        else:
            modules.append(nn.AvgPool2d(layer.window, 1, layer.window // 2))
    return nn.Sequential(*modules), channels


def _convolution(layer: Conv, channels: int, shape: BranchingShape) -> list[nn.Module]:
    made = convolution(
        channels,
        layer.channels,
        layer.kernel,
        stride=layer.stride,
        pad=layer.pad,
        batch_norm=shape.batch_norm and not layer.plain,
    )
    if layer.plain:
        return made
    return [*made, nn.LeakyReLU(shape.leaky_slope) if shape.leaky_slope else nn.ReLU()]


def _max_pool(layer: MaxPool) -> list[nn.Module]:
    if layer.stride == 1 and layer.window % 2 == 0:
        return [nn.ConstantPad2d((0, layer.window - 1) * 2, -math.inf), nn.MaxPool2d(layer.window, 1)]
    return [nn.MaxPool2d(layer.window, layer.stride, layer.window // 2 if layer.pad else 0)]
