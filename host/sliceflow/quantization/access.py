"""Reading values of an ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.errors import InternalError


def operand(node: ir.Node, index: int) -> ir.Value:
    """An input that the operator requires."""
    value = node.inputs[index]
    if value is None:
        raise InternalError(f"{node.op_type} has no input {index}", where=f"node {node.name!r}")
    return value


def constant(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The tensor of a value that is the same in every run, None for others."""
    return None if value is None or value.is_graph_input() else ir.convenience.get_const_tensor(value)


def is_float32(value: ir.Value | None) -> bool:
    """Whether a value is known to hold float32."""
    return value is not None and value.dtype == ir.DataType.FLOAT


def same_shape(values: Sequence[ir.Value]) -> bool:
    """Whether all shapes are known and equal, symbolic dimensions included."""
    return all(value.shape is not None and value.shape == values[0].shape for value in values)


def constant_array(value: ir.Value) -> NDArray[np.generic]:
    """The array of a value for which :func:`constant` finds a tensor."""
    tensor = constant(value)
    if tensor is None:
        raise InternalError("a constant was expected", where=f"tensor {value.name!r}")
    return tensor.numpy()
