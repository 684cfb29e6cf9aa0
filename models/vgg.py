"""VGG networks of any width: 3x3 convolutions and ReLU, a max pool after each stage, a fully connected head.

Source: K. Simonyan and A. Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015,
configuration D for :data:`VGG16`, E for :data:`VGG19`.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn

from models.blocks import convolution


@dataclasses.dataclass(frozen=True, kw_only=True)
class VggShape:
    """What tells one VGG network from another.

    Attributes:
        stages: output channels of each convolution, stage by stage; a 2x2 max pool ends each stage.
        hidden: neurons of the fully connected layers before the last.
        classes: outputs.
        in_channels: channels of the image.
        image_size: rows, and columns, of the image.
        batch_norm: a batch normalization follows each convolution, which then has no bias.
    """

    stages: tuple[tuple[int, ...], ...]
    hidden: tuple[int, ...]
    classes: int
    in_channels: int
    image_size: int
    batch_norm: bool

    @property
    def head_size(self) -> int:
        """Rows, and columns, of the map that the head sees."""
        return int(self.image_size // 2 ** len(self.stages))


VGG16 = VggShape(
    stages=((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
    hidden=(4096, 4096),
    classes=8,
    in_channels=3,
    image_size=224,
    batch_norm=False,
)
"""VGG16 without batch normalization for the 8 diagnoses of ISIC: 134,293,320 parameters."""

VGG19 = dataclasses.replace(VGG16, stages=((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4), classes=1000)
"""VGG19 without batch normalization for 1000 classes: 143,667,240 parameters."""

VGG_MNIST = VggShape(
    stages=((16, 16), (32, 32), (64, 64)), hidden=(64,), classes=10, in_channels=1, image_size=28, batch_norm=True
)
"""A small VGG for 28x28 digits."""


class Vgg(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A VGG network: [N, C, H, W] images in, [N, classes] logits out."""

    def __init__(self, shape: VggShape) -> None:
        super().__init__()
        self.shape = shape
        features: list[nn.Module] = []
        channels = shape.in_channels
        for stage in shape.stages:
            for width in stage:
                features += conv_block(channels, width, batch_norm=shape.batch_norm)
                channels = width
            features.append(nn.MaxPool2d(2))
        head: list[nn.Module] = []
        self.head_inputs = size = channels * shape.head_size**2
        for width in shape.hidden:
            head += [nn.Linear(size, width), nn.ReLU()]
            size = width
        head.append(nn.Linear(size, shape.classes))
        self.features = nn.Sequential(*features)
        self.head = nn.Sequential(*head)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, C, H, W]."""
        # A reshape with -1 exports as one Reshape; flatten drags the batch size through a Shape and a Concat.
        logits: Tensor = self.head(self.features(images).reshape(-1, self.head_inputs))
        return logits


def conv_block(in_channels: int, out_channels: int, *, batch_norm: bool) -> list[nn.Module]:
    """A 3x3 convolution that keeps the map's size, with batch normalization or with a bias, then ReLU."""
    return [*convolution(in_channels, out_channels, 3, batch_norm=batch_norm), nn.ReLU()]
