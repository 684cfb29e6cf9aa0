"""Weights in files beside the model."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx
import onnx_ir as ir

from sliceflow.errors import UserError


def attach_external(model: ir.Model, folder: Path | None, where: str) -> None:
    """Map the external weights of a model into memory, read only.

    Args:
        model: its tensors that lie in files are replaced.
        folder: the folder of the model file; external files must lie in it. None: the model came without a file.
        where: the model, for messages.

    Raises:
        UserError: a path is absolute or leaves the folder (by ``..`` or a link), a file is missing or too short.
    """
    for graph in model.graphs():
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = _attach(value.const_value, folder, where)
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        for name, attribute in node.attributes.items():
            if isinstance(attribute.value, ir.ExternalTensor):
                node.attributes[name] = ir.AttrTensor(name, _attach(attribute.value, folder, where))


def _attach(tensor: ir.ExternalTensor, folder: Path | None, where: str) -> ir.TensorProtocol:
    at = f"tensor {tensor.name} of {where}"
    if folder is None:
        raise UserError(
            "the weights lie in other files",
            where=at,
            why="a model in memory has no folder in which to look for them",
            fix="give the path of the .onnx file",
        )
    path = _resolve(str(tensor.location), folder, at)
    offset = tensor.offset or 0
    length = tensor.nbytes
    if tensor.length is not None and tensor.length != length:
        raise UserError(
            "the size of external weights contradicts their shape",
            where=at,
            why=f"length is {tensor.length}, shape {list(tensor.shape)} of {tensor.dtype.name} needs {length} bytes",
        )
    size = path.stat().st_size
    if offset < 0 or offset + length > size:
        raise UserError(
            "an external weight file is too short",
            where=at,
            why=f"{path.name} has {size} bytes; bytes {offset} to {offset + length} are needed",
            fix="copy or download the file again",
        )
    shape = [int(dim) for dim in tensor.shape.numpy()]
    dtype = np.dtype(tensor.dtype.numpy())
    if length == 0:
        return ir.Tensor(np.zeros(shape, dtype), name=tensor.name)
    raw = np.memmap(path, dtype=np.uint8, mode="r", offset=offset, shape=(length,))
    if tensor.dtype.bitwidth < 8:  # packed types: onnx-ir unpacks them
        proto = onnx.TensorProto(name=tensor.name, data_type=int(tensor.dtype), dims=shape)
        proto.raw_data = raw.tobytes()
        packed: ir.TensorProtocol = ir.from_proto(proto)
        return packed
    return ir.Tensor(raw.view(dtype).reshape(shape), dtype=tensor.dtype, name=tensor.name)


def _resolve(location: str, folder: Path, at: str) -> Path:
    """The real path of an external file, inside the folder."""
    pure = PurePosixPath(location)
    fix = "keep external weights in the folder of the model, and save the model again"
    if not location or "\0" in location or pure.is_absolute() or PureWindowsPath(location).anchor:
        raise UserError("the path of external weights must be relative", where=at, why=f"it is {location!r}", fix=fix)
    if ".." in pure.parts or ".." in PureWindowsPath(location).parts:
        raise UserError(
            "the path of external weights leaves the model's folder", where=at, why=f"it is {location!r}", fix=fix
        )
    try:
        base = folder.resolve(strict=True)
        path = (base / location).resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise UserError(
            "an external weight file cannot be read", where=at, why=str(error), fix="put it beside the model"
        ) from error
    if not path.is_relative_to(base):
        raise UserError(
            "a link to external weights leaves the model's folder", where=at, why=f"it is {location!r}", fix=fix
        )
    if not path.is_file():
        raise UserError("external weights must be a regular file", where=at, why=f"{location!r} is none", fix=fix)
    return path
