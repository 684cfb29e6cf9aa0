"""The networks of models/ as programs for a profile: what the figures of whole networks share."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from models import zoo
from models.export import export_onnx
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
        name: name in ``models.zoo``.
        profile: the accelerator.
    """
    torch.set_num_threads(1)
    entry = zoo.entry(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(zoo.seed_weights(zoo.build(entry.shape), SEED), entry.image_shape, path)
        model = load_model(path)
    (value,) = model.graph.inputs
    image = np.random.default_rng(SEED).standard_normal((1, *entry.image_shape)).astype(np.float32)
    data = CalibrationData({str(value.name): image})
    return build(model, Target(profile=profile), data, name=name, source_sha256="0" * 64).program
