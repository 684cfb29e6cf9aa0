"""Bytes to a protobuf message, and what can be refused before looking inside."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from sliceflow.errors import UserError

MAX_FILE_BYTES = (1 << 31) - 1
"""Protobuf's own limit; larger models keep their weights in external files."""
_EXPORT = "export it to ONNX: sliceflow.frontend.torch.export_module, or torch.onnx.export"
_FOREIGN = {
    ".pt": "a pickled torch file runs code when it is read",
    ".pth": "a pickled torch file runs code when it is read",
    ".pkl": "a pickle runs code when it is read",
    ".ckpt": "a pickled checkpoint runs code when it is read",
    ".safetensors": "it holds weights without a graph",
    ".h5": "it is a Keras file",
    ".keras": "it is a Keras file",
    ".pb": "it is a TensorFlow file",
    ".tflite": "it is a TensorFlow Lite file",
}


def read_file(path: Path) -> onnx.ModelProto:
    """Read an ONNX file.

    Raises:
        UserError: it is no regular file, of another kind, too large, or not ONNX.
    """
    where = str(path)
    reason = _FOREIGN.get(path.suffix.lower())
    if reason is not None:
        fix = _EXPORT if path.suffix.lower() not in (".pb", ".tflite", ".h5", ".keras") else "export it to ONNX first"
        raise UserError("the model is not an ONNX file", where=where, why=reason, fix=fix)
    try:
        if path.is_dir():
            raise UserError("the model is a folder", where=where, fix="name the .onnx file in it")
        if not path.is_file():
            why = "it exists, but is no regular file" if path.exists() else "there is no such file"
            raise UserError("the model cannot be read", where=where, why=why, fix="check the path")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise UserError(
                "the model file is too large",
                where=where,
                why=f"it has {size} bytes; a protobuf file holds less than 2 GiB",
                fix="save it with external data",
            )
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise UserError("the model cannot be read", where=where, why=str(error), fix="check the path") from error
    return parse(data, where)


def parse(data: bytes, where: str) -> onnx.ModelProto:
    """Parse a serialized ModelProto.

    Raises:
        UserError: the bytes are not an ONNX model with a graph.
    """
    if not data:
        raise UserError("the model is empty", where=where, why="it has no bytes", fix="export or download it again")
    try:
        proto = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise UserError(
            "the model is not valid ONNX",
            where=where,
            why=f"protobuf cannot decode it ({error})",
            fix="it may be truncated or of another format: export or download it again",
        ) from error
    if not proto.HasField("graph") or not (proto.graph.node or proto.graph.output):
        raise UserError(
            "the model is not valid ONNX",
            where=where,
            why="it holds no graph",
            fix="it may be truncated or of another format: export or download it again",
        )
    return proto
