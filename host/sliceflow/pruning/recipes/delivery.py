"""What pruning hands over: a small ONNX model, weights, masks, examples to deploy it with, and a report."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sliceflow.errors import InternalError
from sliceflow.files import write_file
from sliceflow.frontend import serialize
from sliceflow.frontend.torch import export_module
from sliceflow.onnx_runtime import exact_session
from sliceflow.passes.simplify import SimplifyReport, simplify
from sliceflow.pruning.channels.size import Size, size_of
from sliceflow.pruning.definitions import compression_ratio, sparsity, speed_up
from sliceflow.pruning.options import finite
from sliceflow.pruning.recipes.pipeline import Pruned
from sliceflow.pruning.recipes.recipe import Recipe
from sliceflow.pruning.training.task import Quality, evaluate
from sliceflow.version import version

_TOLERANCE = 1e-3
"""Largest difference of the mean test loss between torch and ONNX Runtime, as a share of it (at least of 1)."""


def deliver(pruned: Pruned, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Export, simplify, and write everything into a folder; each file appears whole or not at all.

    ``pruned.onnx`` (what pruning made useless is gone), ``pruned.safetensors`` and ``dense.safetensors`` (the network
    behind and before pruning, as the method left it: masked, or with blocks removed), ``masks.safetensors`` (True where
    an element lives), ``calibration.npz`` (``input``: training examples), ``evaluation.npz`` (``input`` and ``label``:
    test examples), and ``report.json``.

    Args:
        pruned: what became of the recipe.
        recipe: the recipe.
        folder: made if it is missing; its files are replaced.

    Returns:
        The report, plain data.

    Raises:
        UserError: the network cannot be exported.
        InternalError: the exported network computes something else.
        OSError: a file cannot be written.
    """
    torch.manual_seed(recipe.data.seed)  # of shuffling
    calibration, _ = _examples(pruned.task.train, recipe.export.calibration)
    inputs, labels = _examples(pruned.task.test, recipe.export.evaluation)
    model = export_module(pruned.model, torch.from_numpy(inputs[:1]), older_first=True)
    simplification = simplify(model)
    data = serialize(model, "pruned.onnx")
    exported = _judge(data, pruned)
    write_file(folder / "pruned.onnx", data)
    _write_tensors(folder / "pruned.safetensors", pruned.model.state_dict())
    _write_tensors(folder / "dense.safetensors", pruned.dense)
    _write_tensors(folder / "masks.safetensors", dict(pruned.outcome.masks.items()))
    _write_arrays(folder / "calibration.npz", input=calibration)
    _write_arrays(folder / "evaluation.npz", input=inputs, label=labels)
    report = _report(pruned, recipe, simplification, size_of(model), exported)
    write_file(folder / "report.json", (json.dumps(report, indent=2, allow_nan=False) + "\n").encode())
    return report


def _examples(loader: Iterable[tuple[Tensor, Tensor]], count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    inputs, labels = [], []
    for x, y in loader:
        inputs.append(x.detach().cpu().numpy())
        labels.append(y.detach().cpu().numpy())
        if sum(map(len, inputs)) >= count:
            break
    return np.concatenate(inputs)[:count], np.concatenate(labels)[:count]


def _judge(data: bytes, pruned: Pruned) -> Quality:
    """The exported network on the test examples, in ONNX Runtime. It must do as well as the torch network."""
    quality = evaluate(_OnnxNetwork(data), pruned.task.test, pruned.task)
    allowed = _TOLERANCE * max(1.0, pruned.quality.loss)
    if not abs(quality.loss - pruned.quality.loss) <= allowed:
        raise InternalError(
            "the exported network computes something else",
            why=f"its loss on the test examples is {quality.loss:.6g}, in torch {pruned.quality.loss:.6g}",
            fix="report this together with the network if you may share it",
        )
    return quality


class _OnnxNetwork(nn.Module):
    """An ONNX model with one input and one output in the place of a torch network."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._session = exact_session(data, where="the exported network")

    def forward(self, inputs: Tensor) -> Tensor:
        name = self._session.get_inputs()[0].name
        return torch.from_numpy(self._session.run(None, {name: inputs.numpy()})[0])


def _report(
    pruned: Pruned, recipe: Recipe, simplification: SimplifyReport, after: Size, exported: Quality
) -> dict[str, Any]:
    before = pruned.dense_size
    faster = None if before.macs is None or after.macs is None else speed_up(before.macs, after.macs)
    return {
        "recipe": recipe.to_json(),
        "dense": pruned.dense_quality.to_json(),
        "pruned": pruned.quality.to_json(),
        "exported": exported.to_json(),
        "masked": pruned.outcome.masks.pruned,
        "aligned": pruned.aligned,
        "parameters_before": before.parameters,
        "parameters_after": after.parameters,
        "nonzero_after": after.nonzero,
        "sparsity": sparsity(before.parameters - after.nonzero, before.parameters),
        "compression_ratio": finite(compression_ratio(before.parameters, after.parameters)),
        "macs_before": before.macs,
        "macs_after": after.macs,
        "theoretical_speed_up": None if faster is None else finite(faster),
        "pretraining": _epochs(pruned),
        "backward": [dataclasses.asdict(cost) for cost in pruned.backward],
        "steps": pruned.outcome.log,
        "simplification": simplification.to_json(),
        "versions": {"sliceflow": version(), **{name: metadata.version(name) for name in ("torch", "onnxruntime")}},
        "threads": torch.get_num_threads(),
    }


def _epochs(pruned: Pruned) -> list[dict[str, Any]]:
    if pruned.pretrained is None:
        return []
    return [
        {
            "epoch": epoch.number,
            "learning_rate": epoch.learning_rate,
            "train_loss": finite(epoch.train_loss),
            "validation": epoch.validation.to_json(),
            "kept": epoch.number == pruned.pretrained.kept,
        }
        for epoch in pruned.pretrained.epochs
    ]


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    import safetensors.torch

    own = {name: value.detach().contiguous().clone() for name, value in tensors.items()}
    write_file(path, safetensors.torch.save(own))


def _write_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_file(path, buffer.getvalue())
