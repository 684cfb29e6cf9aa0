"""Models out again, as ONNX files that ONNX Runtime loads with its default options."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import sys
import urllib.parse
from pathlib import Path

import numpy as np
import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.files import atomic_file, beside
from sliceflow.frontend.read import MAX_FILE_BYTES
from sliceflow.frontend.written_opset import as_written
from sliceflow.onnx_runtime import default_refusal

logger = logging.getLogger(__name__)

LARGEST_WEIGHTS = MAX_FILE_BYTES - (64 << 20)
"""Bytes of the tensors that one file holds; the rest is for the graph."""
_LARGE = 1024
"""Bytes from which on a tensor goes into the external file."""
_ALIGNMENT = 4096
"""Of tensors in the external file, so that readers can map them into memory."""
_LONGEST_NAME = 150


def tensor_bytes(model: ir.Model) -> int:
    """Bytes of all initializers of a model."""
    return sum(tensor.nbytes for _, tensor in _tensors(model))


def serialize(model: ir.Model, where: str, *, source: Path | None = None, must_load: bool = True) -> bytes:
    """A model as the bytes of an ONNX file that ONNX Runtime loads, at the opset of its source where that suffices.

    Args:
        model: any model; it is not changed.
        where: its file or name, for messages.
        source: what the model was made from. If ONNX Runtime does not load that either (nodes of domains that it does
            not know), there is a warning instead of an error.
        must_load: without a source too, warn only.

    Raises:
        UserError: it is larger than one file may be, or ONNX Runtime refuses it.
    """
    if tensor_bytes(model) > LARGEST_WEIGHTS:
        raise UserError(
            "the model cannot be written as one file",
            where=where,
            why=f"its weights have {tensor_bytes(model)} bytes, and a protobuf file holds less than 2 GiB",
        )
    found: list[tuple[bytes, str]] = []
    for candidate in (as_written(model), model):
        try:
            data: bytes = ir.to_proto(candidate).SerializeToString()
        except Exception as error:  # protobuf's EncodeError has no stable home
            raise UserError("the model cannot be written as one file", where=where, why=str(error)) from error
        found.append((data, default_refusal(data)))
        if not found[-1][1]:
            return data
    data, reason = found[0]
    if must_load:
        _judge(reason, where, source)
    else:
        logger.warning("ONNX Runtime does not load %s: %s", where, reason)
    return data


def write_model(model: ir.Model, path: Path, *, source: Path | None = None, limit: int = LARGEST_WEIGHTS) -> None:
    """Write a model, whole or not at all, and only if ONNX Runtime loads it with its default options.

    A model whose weights have more bytes than ``limit`` keeps them in a file beside it, ``NAME.CHECKSUM.data``; that of
    an earlier model of the same name is removed.

    Args:
        model: any model; it is not changed.
        path: the file.
        source: see ``serialize``.
        limit: bytes of the weights that one file holds.

    Raises:
        UserError: ONNX Runtime refuses the model.
        OSError: a file cannot be written.
    """
    if tensor_bytes(model) > limit:
        weights = _write_large(model, path, source)
    else:
        weights = None
        content = serialize(model, str(path), source=source)
        with atomic_file(path) as stream:
            stream.write(content)
    for old in path.parent.glob(f"{_base(path)}.*.data"):
        if old != weights and re.fullmatch(r"[0-9a-f]{16}\.data", old.name.removeprefix(f"{_base(path)}.")):
            old.unlink(missing_ok=True)


def _write_large(model: ir.Model, path: Path, source: Path | None) -> Path:
    """Write the weights, then the model, which takes its name when both are whole; returns the file of the weights."""
    copy = as_written(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    weights, is_new = _write_weights(copy, path)
    try:
        with atomic_file(path) as stream:
            stream.write(ir.to_proto(copy).SerializeToString())
            stream.flush()
            if reason := default_refusal(Path(stream.name)):
                _judge(reason, str(path), source)
    except BaseException:
        if is_new:
            weights.unlink(missing_ok=True)
        raise
    return weights


def _write_weights(model: ir.Model, path: Path) -> tuple[Path, bool]:
    """Write large tensors beside a file, and let the model refer to them; the new file, and whether there was none."""
    draft, places, digest = beside(path), dict[int, tuple[int, int]](), hashlib.sha256()
    large = [(value, tensor) for value, tensor in _tensors(model) if tensor.nbytes >= _LARGE]
    try:
        with draft.open("xb") as stream:
            for _, tensor in large:
                if id(tensor) not in places:
                    stream.write(bytes(-stream.tell() % _ALIGNMENT))
                    content = _content(tensor)
                    places[id(tensor)] = (stream.tell(), len(content))
                    digest.update(content)
                    stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        weights = path.with_name(f"{_base(path)}.{digest.hexdigest()[:16]}.data")
        is_new = not weights.exists()
        draft.replace(weights)
    except BaseException as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)
        raise
    for value, tensor in large:
        offset, size = places[id(tensor)]
        value.const_value = ir.ExternalTensor(
            weights.name,
            offset,
            size,
            tensor.dtype,
            shape=ir.Shape(tensor.shape.numpy()),
            name=str(value.name),
            base_dir=path.parent,
        )
    return weights, is_new


def _content(tensor: ir.TensorProtocol) -> memoryview:
    """The bytes of a tensor as ONNX stores them; a view of it where that is possible."""
    array = tensor.numpy()
    if array.dtype.kind in "fiub" and array.nbytes == tensor.nbytes and sys.byteorder == "little":
        return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return memoryview(tensor.tobytes())


def _tensors(model: ir.Model) -> list[tuple[ir.Value, ir.TensorProtocol]]:
    """Initializers of the graph and of its subgraphs, text excepted."""
    values = [value for graph in model.graphs() for value in graph.initializers.values()]
    found = [(value, value.const_value) for value in values]
    return [(v, tensor) for v, tensor in found if tensor is not None and tensor.dtype != ir.DataType.STRING]


def _base(path: Path) -> str:
    """What the file of weights is called after: as the model, in letters that every reader takes."""
    name = urllib.parse.quote(os.fsencode(path.name))
    return name if len(name) <= _LONGEST_NAME else hashlib.sha256(name.encode()).hexdigest()[:32]


def _judge(reason: str, where: str, source: Path | None) -> None:
    """Say that ONNX Runtime refuses what is to be written.

    Raises:
        UserError: it does not refuse the source.
    """
    if source is not None and default_refusal(source):
        logger.warning("ONNX Runtime does not load the model, nor what it was made from: %s", reason)
        return
    raise UserError(
        "ONNX Runtime does not load the model that would be written",
        where=where,
        why=reason,
        fix="install another version of onnxruntime, and report this together with the model if you may share it",
    )
