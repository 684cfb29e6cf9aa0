"""Residual networks for small images: 6n + 2 layers, three groups of n blocks of two 3x3 convolutions.

Source: K. He, X. Zhang, S. Ren and J. Sun, "Deep residual learning for image recognition", 2016, section 4.2, with a
1x1 convolution of stride 2 as the shortcut where the map is halved (option B there).
"""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn

from models.blocks import convolution
from models.resnet import Block
from sliceflow.errors import UserError

_GROUPS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class CifarResNetShape:
    """What tells one such network from another.

    Attributes:
        blocks: residual blocks of each of the three groups; the second and third begin by halving the map.
        width: channels of the first group; they double from group to group.
        classes: outputs.
        in_channels: channels of the image.
        image_size: rows, and columns, of the image.
    """

    blocks: tuple[int, int, int]
    width: int = 16
    classes: int = 10
    in_channels: int = 3
    image_size: int = 32


def of_depth(layers: int) -> CifarResNetShape:
    """The network of so many layers, 20, 32, 44, 56 or 110 in most studies.

    Raises:
        UserError: the number is not 6n + 2.
    """
    count, rest = divmod(layers - 2, 2 * _GROUPS)
    if rest or count < 1:
        raise UserError(f"a residual network for small images has 6n + 2 layers, not {layers}")
    return CifarResNetShape(blocks=(count, count, count))


def network(layers: int, *, width: int = 16, classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """A network ready to be trained, for recipes: ``build = "models.resnet_cifar:network"``.

    Raises:
        UserError: the number of layers is not 6n + 2.
    """
    shape = dataclasses.replace(of_depth(layers), width=width, classes=classes, in_channels=in_channels)
    return CifarResNet(shape)


class CifarResNet(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A residual network: [N, C, H, W] images in, [N, classes] logits out."""

    def __init__(self, shape: CifarResNetShape) -> None:
        super().__init__()
        self.shape = shape
        self.stem = nn.Sequential(*convolution(shape.in_channels, shape.width, 3), nn.ReLU())
        self.blocks = nn.Sequential()
        channels = shape.width
        for group, count in enumerate(shape.blocks):
            out = shape.width * 2**group
            for index in range(count):
                stride = 2 if group and not index else 1
                self.blocks.append(Block(channels, out, stride, bottleneck=False))
                channels = out
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, C, H, W]."""
        logits: Tensor = self.head(self.pool(self.blocks(self.stem(images))).flatten(1))
        return logits
