"""Models out again, as ONNX."""

from __future__ import annotations

import onnx_ir as ir

from sliceflow.errors import UserError


def serialize(model: ir.Model, where: str) -> bytes:
    """A model as the bytes of an ONNX file.

    Args:
        model: any model.
        where: its file or name, for the message.

    Raises:
        UserError: it is larger than protobuf allows.
    """
    try:
        data: bytes = ir.to_proto(model).SerializeToString()
    except Exception as error:  # protobuf's EncodeError has no stable home
        raise UserError("the model cannot be written as one file", where=where, why=str(error)) from error
    return data
