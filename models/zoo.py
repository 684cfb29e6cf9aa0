"""The networks by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import nn

from models.branching import Branching, BranchingShape
from models.inception import INCEPTION_V1, INCEPTION_V2, INCEPTION_V3
from models.narrow import taper_vgg, uniform_segnet, uniform_vgg
from models.resnet import RESNET18, RESNET50, RESNET101, ResNet, ResNetShape
from models.segnet import SEGNET, SegNet, SegNetShape
from models.vgg import VGG16, VGG19, VGG_MNIST, Vgg, VggShape
from models.yolo import YOLOV2, YOLOV2_TINY
from sliceflow.errors import UserError

Shape = VggShape | SegNetShape | ResNetShape | BranchingShape
_MODULES: dict[type[Shape], Callable[..., nn.Module]] = {
    VggShape: Vgg,
    SegNetShape: SegNet,
    ResNetShape: ResNet,
    BranchingShape: Branching,
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A network that can be built: its shape, and one line about it."""

    shape: Shape
    summary: str

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """[C, H, W] of an input image."""
        return self.shape.in_channels, self.shape.image_size, self.shape.image_size


# The table fixes neurons and memory; of the tapers that meet both, these come nearest to the times that the thesis
# measured on its FPGA (99.33 and 15.09 ms), by ideal cycles of a 4x4 array at the clock that its SegNet row implies.
_VGG16_HA = taper_vgg(VGG16, first=0.76, last=11 / 512, neurons=0.3619)
_VGG16_HCR = taper_vgg(VGG16, first=0.28, last=7 / 512, neurons=0.1164)

NETWORKS: dict[str, Entry] = {
    "vgg-mnist": Entry(VGG_MNIST, "small VGG with batch norm for 28x28 digits, 10 classes"),
    "vgg16": Entry(VGG16, "VGG16 without batch norm, 224x224, 8 classes"),
    "vgg16-ha": Entry(_VGG16_HA, "VGG16 at the size of the thesis' HA row: 36.19 % of neurons, 18,692 KiB"),
    "vgg16-hcr": Entry(_VGG16_HCR, "VGG16 at the size of the thesis' HCR row: 11.64 % of neurons, 2,268 KiB"),
    "segnet": Entry(SEGNET, "SegNet with nearest upsampling, 224x224, one mask"),
    "segnet-pruned": Entry(uniform_segnet(SEGNET, 0.5976), "SegNet with 59.76 % of neurons in each layer"),
    "vgg19": Entry(VGG19, "VGG19 without batch norm, 224x224, 1000 classes"),
    "resnet18": Entry(RESNET18, "ResNet-18, 224x224, 1000 classes"),
    "resnet50": Entry(RESNET50, "ResNet-50, 224x224, 1000 classes"),
    "resnet101": Entry(RESNET101, "ResNet-101, 224x224, 1000 classes"),
    "inception-v1": Entry(INCEPTION_V1, "GoogLeNet without LRN and batch norm, 224x224, 1000 classes"),
    "inception-v2": Entry(INCEPTION_V2, "Inception with batch norm, 224x224, 1000 classes"),
    "inception-v3": Entry(INCEPTION_V3, "Inception v3, 299x299, 1000 classes"),
    "yolov2": Entry(YOLOV2, "YOLOv2-like detector on Darknet-19, 416x416, 80 classes"),
    "yolov2-tiny": Entry(YOLOV2_TINY, "YOLOv2-like detector of nine convolutions, 416x416, 20 classes"),
}
"""Name to entry. The narrowed ones keep whatever channel count comes out, odd numbers included."""


def entry(name: str, *, width: float | None = None) -> Entry:
    """The network called ``name``; with ``width``, every layer but the last narrowed to that share of its channels.

    Raises:
        UserError: no such network, a width outside 0..1, or a network that is not narrowed this way.
    """
    if name not in NETWORKS:
        raise UserError(f"there is no network called {name!r}", fix=f"the names are {', '.join(NETWORKS)}")
    found = NETWORKS[name]
    if width is None:
        return found
    if not 0 < width <= 1:
        raise UserError(f"width must be greater than 0 and at most 1, not {width}", where=name)
    return Entry(_narrowed(name, found.shape, width), f"{found.summary}, every layer at {width:g} of its width")


def _narrowed(name: str, shape: Shape, width: float) -> Shape:
    if isinstance(shape, VggShape):
        return uniform_vgg(shape, width)
    if isinstance(shape, SegNetShape):
        return uniform_segnet(shape, width)
    raise UserError("this network cannot be narrowed", where=name, fix="leave the width out, or take a VGG or SegNet")


def build(shape: Shape, *, device: str = "cpu") -> nn.Module:
    """The module of a shape, in evaluation mode. ``device="meta"`` takes no memory for weights."""
    with torch.device(device):
        return _MODULES[type(shape)](shape).eval()


def network(name: str, *, width: float | None = None) -> nn.Module:
    """A network by name, ready to be trained: ``build = "models.zoo:network"`` in recipes.

    Its weights are drawn from torch's global generator. ``width`` narrows it, see :func:`entry`.

    Raises:
        UserError: no such network, or it cannot be narrowed.
    """
    return build(entry(name, width=width).shape).train()


def seed_weights(module: nn.Module, seed: int) -> nn.Module:
    """Fill a module with weights that depend on the seed alone, and return it.

    He initialization keeps the spread of activations about the same from layer to layer. Biases and batch normalization
    are not trivial either, so that a mistake in folding them shows.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                if layer.bias is not None:
                    layer.bias.normal_(0, 0.05, generator=generator)
            elif isinstance(layer, nn.BatchNorm2d):
                state = layer.state_dict()
                for spread in (state["weight"], state["running_var"]):
                    spread.uniform_(0.8, 1.2, generator=generator)
                for offset in (state["bias"], state["running_mean"]):
                    offset.normal_(0, 0.05, generator=generator)
    return module
