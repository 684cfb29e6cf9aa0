"""SegNet: VGG16's convolutions as the encoder, their mirror image as the decoder.

Source: V. Badrinarayanan, A. Kendall and R. Cipolla, "SegNet: a deep convolutional encoder-decoder architecture for
image segmentation", 2017.

One thing differs. The original decoder places each value where the encoder's max pool found it (max unpooling). ONNX
has an operator for that, but torch does not export to it: ``max_unpool2d`` becomes a second max pool and a scatter by
computed indices, which is work for a CPU at every stage. This decoder doubles rows and columns (nearest upsampling)
instead. Convolutions, their order and their sizes are the same, and so are memory and multiplications.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn

from models.vgg import VGG16, conv_block


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegNetShape:
    """What tells one SegNet from another.

    Attributes:
        encoder: output channels of each convolution, stage by stage; a 2x2 max pool ends each stage.
        decoder: the same for the decoder; a 2x upsampling begins each stage, and as many stages lead back to the size
            of the image. The classifier, one more convolution, is not listed.
        classes: channels of the output.
        in_channels: channels of the image.
        image_size: rows, and columns, of the image.
    """

    encoder: tuple[tuple[int, ...], ...]
    decoder: tuple[tuple[int, ...], ...]
    classes: int
    in_channels: int
    image_size: int


SEGNET = SegNetShape(
    encoder=VGG16.stages,
    decoder=((512, 512, 512), (512, 512, 256), (256, 256, 128), (128, 64), (64,)),
    classes=1,
    in_channels=3,
    image_size=224,
)
"""SegNet for one mask, lesion or not: 26 convolutions."""


class SegNet(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A SegNet: [N, C, H, W] images in, [N, classes, H, W] logits out."""

    def __init__(self, shape: SegNetShape) -> None:
        super().__init__()
        self.shape = shape
        layers: list[nn.Module] = []
        channels = shape.in_channels
        for stage in shape.encoder:
            for width in stage:
                layers += conv_block(channels, width, batch_norm=True)
                channels = width
            layers.append(nn.MaxPool2d(2))
        for stage in shape.decoder:
            layers.append(nn.Upsample(scale_factor=2.0, mode="nearest"))
            for width in stage:
                layers += conv_block(channels, width, batch_norm=True)
                channels = width
        layers.append(nn.Conv2d(channels, shape.classes, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes, H, W] of images [N, C, H, W]."""
        logits: Tensor = self.layers(images)
        return logits
