"""Tries out on random data what a node does to the images of a batch."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common

from sliceflow.errors import UserError
from sliceflow.frontend.batch.lines import Line, MixedError, State
from sliceflow.onnx_runtime import OnnxSession, exact_session
from sliceflow.passes.view import static_shape

Array = NDArray[Any]
_EXTERNAL_BYTES = 1024
_UNKNOWN = "what it does to the images of a batch is not known"


def learn(model: ir.Model, node: ir.Node, axes: Mapping[str, int], images: int) -> list[State]:
    """Where the outputs of a node have the images: run the model up to it, twice with another image in one place.

    Args:
        model: all its sizes are known.
        node: one of its nodes.
        axes: where the model's inputs have the images.
        images: how many there are.

    Raises:
        MixedError: more than that image's part of a result changed, nothing did, or ONNX Runtime cannot run the model.
    """
    used = [bool(output.uses()) or output.is_graph_output() for output in node.outputs]
    names = [str(output.name) for output, wanted in zip(node.outputs, used, strict=True) if wanted]
    places = (images - 1, 0)
    try:
        with tempfile.TemporaryDirectory(prefix="sliceflow-") as folder:
            session = _session(model, names, Path(folder))
        generator = np.random.default_rng(0)
        feed = {str(value.name): _random(value, generator) for value in model.graph.inputs}
        feeds = [feed, *(_replaced(feed, axes, place, generator) for place in places)]
        wanted = {value.name for value in session.get_inputs()}
        runs = [session.run(names, {name: each[name] for name in each if name in wanted}) for each in feeds]
    except UserError as error:
        raise MixedError(node, f"{_UNKNOWN}, and it cannot be tried: {error.why or error.what}") from error
    found = iter([_line(node, list(results), places, images) for results in zip(*runs, strict=True)])
    return [next(found) if wanted else None for wanted in used]


def _session(model: ir.Model, outputs: Sequence[str], folder: Path) -> OnnxSession:
    part = model.clone()
    values = {value.name: value for node in part.graph for value in node.outputs}
    part.graph.outputs[:] = [values[name] for name in outputs]
    common.RemoveUnusedNodesPass()(part)
    path = folder / "part.onnx"
    try:
        ir.save(part, path, external_data="part.bin", size_threshold_bytes=_EXTERNAL_BYTES)
    except Exception as error:  # of the disk or of protobuf
        raise UserError("the model cannot be written to be run", why=str(error)) from error
    return exact_session(path, where="a trial of the batch", level="none")


def _random(value: ir.Value, generator: np.random.Generator) -> Array:
    shape = static_shape(value)
    if shape is None or value.dtype is None:
        raise UserError(f"input {value.name!r} has no known shape and type")
    dtype = np.dtype(value.dtype.numpy())
    if dtype.kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    return generator.integers(0, 2, shape).astype(dtype)  # small enough for an index


def _replaced(
    feed: Mapping[str, Array], axes: Mapping[str, int], place: int, generator: np.random.Generator
) -> dict[str, Array]:
    """The feed with another image in one place."""
    changed = dict(feed)
    for name, axis in axes.items():
        array = np.array(feed[name])
        image = np.moveaxis(array, axis, 0)[place]
        other = generator.standard_normal(image.shape) if array.dtype.kind == "f" else 1 - image.astype(np.int64)
        np.moveaxis(array, axis, 0)[place] = other
        changed[name] = array
    return changed


def _line(node: ir.Node, results: Sequence[Any], places: Sequence[int], images: int) -> Line:
    if not all(isinstance(result, np.ndarray) and result.shape == results[0].shape for result in results):
        raise MixedError(node, "the shape of its result depends on the images")
    first = results[0]
    changes = [(first != other) & ~((first != first) & (other != other)) for other in results[1:]]
    if not all(change.any() for change in changes):
        raise MixedError(node, f"{_UNKNOWN}, and random images do not tell")
    for axis, size in enumerate(first.shape):
        per = size // images
        if size % images == 0 and all(
            _within(change, axis, place * per, (place + 1) * per) for change, place in zip(changes, places, strict=True)
        ):
            return Line(axis, per)
    raise MixedError(node, "another image changes the results of images beside it")


def _within(change: NDArray[np.bool_], axis: int, first: int, last: int) -> bool:
    along = np.flatnonzero(np.moveaxis(change, axis, 0).reshape(change.shape[axis], -1).any(axis=1))
    return bool(first <= along.min() and along.max() < last)
