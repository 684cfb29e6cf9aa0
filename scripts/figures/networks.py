"""The networks of models/ as programs for a profile: what the figures of whole networks share."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models import zoo
from models.export import export_onnx
from scripts.figures.pruned_torchvision import import_torchvision
from sliceflow.build import Target, build
from sliceflow.frontend import load_model
from sliceflow.graph.program import Program
from sliceflow.hardware.profile import Profile
from sliceflow.quantization import CalibrationData

SEED = 0
"""Of the weights."""


def compiled(name: str, profile: Profile) -> Program:
    """A network with seeded weights, quantized with the ranges of one random image, as a program.

    Args:
        name: name in ``models.zoo``, or ``mobilenet-v2``, which is torchvision's.
        profile: the accelerator.
    """
    torch.set_num_threads(1)
    module, image_shape = _network(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(zoo.seed_weights(module, SEED), image_shape, path)
        model = load_model(path)
    (value,) = model.graph.inputs
    image = np.random.default_rng(SEED).standard_normal((1, *image_shape)).astype(np.float32)
    data = CalibrationData({str(value.name): image})
    return build(model, Target(profile=profile), data, name=name, source_sha256="0" * 64).program


def _network(name: str) -> tuple[nn.Module, tuple[int, int, int]]:
    """A network without weights, and the shape of an image."""
    if name == "mobilenet-v2":
        return import_torchvision().mobilenet_v2(weights=None), (3, 224, 224)
    entry = zoo.entry(name)
    return zoo.build(entry.shape), entry.image_shape
