"""Models from memory in ONNX Runtime, on samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.onnx_runtime import OnnxSession, exact_session

_EXTERNAL_BYTES = 1024


def open_model(model: ir.Model, folder: Path, threads: int) -> OnnxSession:
    """A session for a model in memory, by way of files, since it may be larger than a message may be.

    Args:
        model: the model; it is not changed.
        folder: for the files.
        threads: within an operator; 0 lets ONNX Runtime choose.

    Raises:
        UserError: ONNX Runtime refuses the model.
    """
    path = folder / "model.onnx"
    where = f"model {model.graph.name!r}"
    try:
        ir.save(model, path, external_data="model.bin", size_threshold_bytes=_EXTERNAL_BYTES)
    except Exception as error:  # of the disk or of protobuf
        raise UserError("the model cannot be written to be run", where=where, why=str(error)) from error
    try:
        return exact_session(path, threads, where=where)
    except UserError as error:
        error.fix = error.fix or "check the model with onnx.checker and run it once in ONNX Runtime"
        raise


def run(session: OnnxSession, names: Sequence[str], feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Values of the named outputs on samples.

    Raises:
        UserError: ONNX Runtime fails.
    """
    try:
        return session.run(names, feed)
    except UserError as error:
        shapes = ", ".join(f"{name} {value.dtype}{list(value.shape)}" for name, value in feed.items())
        raise UserError(
            "ONNX Runtime cannot run the model on the calibration data",
            where=shapes,
            why=error.why,
            fix="check shapes and values of the calibration data",
        ) from error


def observer(model: ir.Model, names: Sequence[str]) -> ir.Model:
    """A copy of the model whose outputs are the named tensors."""
    observer = model.clone()
    values = {value.name: value for node in observer.graph for value in node.outputs}
    values |= {value.name: value for value in observer.graph.inputs}
    observer.graph.outputs[:] = [values[name] for name in names]
    return observer
