"""Residual networks of two kinds of block: two 3x3 convolutions (18, 34 layers), or 1x1, 3x3, 1x1 (50, 101, 152).

Source: K. He, X. Zhang, S. Ren and J. Sun, "Deep residual learning for image recognition", 2016, table 1. Where a
bottleneck halves the map, its 3x3 convolution does (as in most published weights), not its first 1x1.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn

from models.blocks import convolution


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNetShape:
    """What tells one residual network from another.

    Attributes:
        blocks: residual blocks of each stage; every stage but the first halves the map.
        bottleneck: blocks of three convolutions, the last four times as wide.
        width: channels of the stem and of the first stage's inner convolutions; they double from stage to stage.
        classes: outputs.
        in_channels: channels of the image.
        image_size: rows, and columns, of the image.
    """

    blocks: tuple[int, ...]
    bottleneck: bool
    width: int = 64
    classes: int = 1000
    in_channels: int = 3
    image_size: int = 224


RESNET18 = ResNetShape(blocks=(2, 2, 2, 2), bottleneck=False)
RESNET50 = ResNetShape(blocks=(3, 4, 6, 3), bottleneck=True)
RESNET101 = ResNetShape(blocks=(3, 4, 23, 3), bottleneck=True)
_EXPANSION = 4


class ResNet(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A residual network: [N, C, H, W] images in, [N, classes] logits out."""

    def __init__(self, shape: ResNetShape) -> None:
        super().__init__()
        self.shape = shape
        self.stem = nn.Sequential(
            *convolution(shape.in_channels, shape.width, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)
        )
        blocks: list[nn.Module] = []
        channels = shape.width
        for stage, count in enumerate(shape.blocks):
            inner = shape.width * 2**stage
            for index in range(count):
                stride = 2 if stage and not index else 1
                blocks.append(Block(channels, inner, stride, bottleneck=shape.bottleneck))
                channels = inner * _EXPANSION if shape.bottleneck else inner
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.channels = channels
        self.head = nn.Linear(channels, shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, C, H, W]."""
        pooled = self.pool(self.blocks(self.stem(images)))
        logits: Tensor = self.head(pooled.reshape(-1, self.channels))
        return logits


class Block(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """One residual block; its shortcut is a 1x1 convolution where size or channels change."""

    def __init__(self, channels: int, inner: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        out = inner * _EXPANSION if bottleneck else inner
        if bottleneck:
            layers = [*convolution(channels, inner, 1), nn.ReLU(), *convolution(inner, inner, 3, stride=stride)]
            layers += [nn.ReLU(), *convolution(inner, out, 1)]
        else:
            layers = [*convolution(channels, inner, 3, stride=stride), nn.ReLU(), *convolution(inner, out, 3)]
        self.layers = nn.Sequential(*layers)
        same = stride == 1 and channels == out
        self.shortcut = nn.Identity() if same else nn.Sequential(*convolution(channels, out, 1, stride=stride))
        self.relu = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps [N, out, H / stride, W / stride] of maps [N, C, H, W]."""
        summed: Tensor = self.relu(self.layers(maps) + self.shortcut(maps))
        return summed
