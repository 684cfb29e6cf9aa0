"""The architectures of torchvision with random weights and random structured pruning, as ONNX."""

from __future__ import annotations

import dataclasses
import io
import warnings
from typing import Any

import numpy as np
import onnx
import torch


@dataclasses.dataclass(frozen=True)
class Architecture:
    """One row of the table.

    Attributes:
        builder: name in ``torchvision.models``.
        thesis: milliseconds dense, pruned and simplified, as Bragagnolo's thesis (2023, Table 6.1) gives them.
        other: a second image size.
        options: of the builder.
        open_size: whether the export needs open sizes to work at the second one.
    """

    builder: str
    thesis: tuple[float, float, float]
    other: int = 160
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    open_size: bool = False


ARCHITECTURES = {
    "AlexNet": Architecture("alexnet", (7.58, 7.55, 2.95), other=240),
    "DenseNet-121": Architecture("densenet121", (36.41, 34.31, 21.87)),
    "GoogLeNet": Architecture("googlenet", (15.44, 13.68, 10.31), options={"aux_logits": False, "init_weights": True}),
    "InceptionV3": Architecture(
        "inception_v3", (25.29, 21.68, 13.22), options={"aux_logits": False, "init_weights": True}
    ),
    "MNASNet": Architecture("mnasnet1_0", (17.66, 13.64, 11.59)),
    "MobileNetV3": Architecture("mobilenet_v3_large", (13.74, 12.18, 11.95)),
    "ResNet-50": Architecture("resnet50", (24.39, 26.19, 18.21)),
    "ResNeXt-101": Architecture("resnext101_32x8d", (76.11, 77.35, 65.68)),
    "ShuffleNetV2": Architecture("shufflenet_v2_x1_0", (18.07, 14.32, 13.06), open_size=True),
    "SqueezeNet": Architecture("squeezenet1_1", (4.50, 4.39, 4.09)),
    "VGG-19": Architecture("vgg19", (40.41, 38.56, 12.39), other=240),
    "WideResNet-101": Architecture("wide_resnet101_2", (79.40, 82.86, 60.16)),
}
"""AlexNet and VGG end in layers for maps of one size: 240 pixels lead to the same as 224."""


def import_torchvision() -> Any:
    """Torchvision's models. Its wheel for CUDA does not import with a CPU build of torch unless two operators exist."""
    try:
        import torchvision
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_torchvision.library = library  # type: ignore[attr-defined]  # it is gone with its last reference
        import torchvision
    return torchvision.models


def build(architecture: Architecture, seed: int) -> Any:
    """A module with random weights: biases and batch norms are not trivial, activations neither vanish nor explode."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = getattr(import_torchvision(), architecture.builder)(weights=None, **architecture.options)
    norms = [part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for part in norms:
        torch.nn.init.uniform_(part.weight, 0.5, 1.5)
        torch.nn.init.normal_(part.bias, 0, 0.3)
        part.momentum = None
        part.reset_running_stats()
    for part in _layers(module):
        if part.bias is not None:
            torch.nn.init.normal_(part.bias, 0, 0.1)
    if norms:
        module.train()
        with torch.no_grad():
            module(torch.randn(2, 3, 128, 128))
    return module.eval()


def prune(module: Any, share: float, seed: int) -> int:
    """Zero the weights of so many output channels of each layer but the last, at random; biases and norms stay.

    Returns:
        How many channels that are.
    """
    rng, pruned = np.random.default_rng(seed), 0
    for part in _layers(module)[:-1]:
        count = part.weight.shape[0]
        chosen = rng.permutation(count)[: round(share * count)]
        with torch.no_grad():
            part.weight[torch.from_numpy(chosen)] = 0
        pruned += len(chosen)
    return pruned


def _layers(module: Any) -> list[Any]:
    return [part for part in module.modules() if isinstance(part, (torch.nn.Conv2d, torch.nn.Linear))]


def export(module: Any, size: int, *, open_size: bool) -> onnx.ModelProto:
    """The module as ONNX for one image."""
    buffer = io.BytesIO()
    axes = {"image": {2: "height", 3: "width"}} if open_size else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = torch.zeros(1, 3, size, size)
        names = {"input_names": ["image"], "output_names": ["scores"]}
        torch.onnx.export(module, example, buffer, dynamo=False, opset_version=17, dynamic_axes=axes, **names)
    return onnx.ModelProto.FromString(buffer.getvalue())


def opened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model for images of any size, as far as its nodes allow."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.value_info[:]
    for axis, name in ((2, "height"), (3, "width")):
        changed.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    return changed
