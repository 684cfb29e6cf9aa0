"""Reading values of an ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.errors import InternalError, UserError


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


def layer_constants(layer: ir.Node) -> tuple[int, NDArray[np.float32], NDArray[np.float32] | None]:
    """Weights and bias of a Conv or Gemm.

    Returns:
        Axis of the output channels, weights with that axis first, bias of shape (O,).

    Raises:
        UserError: one of them holds NaN or infinity.
    """
    axis = 1 if layer.op_type == "Gemm" and not layer.attributes.get_int("transB", 0) else 0
    weights = _finite(layer, operand(layer, 1))
    weights = weights if axis == 0 else np.ascontiguousarray(weights.T)
    if len(layer.inputs) < 3 or layer.inputs[2] is None:
        return axis, weights, None
    bias = np.broadcast_to(_finite(layer, operand(layer, 2)).reshape(-1), weights.shape[:1])
    return axis, weights, bias


def _finite(layer: ir.Node, value: ir.Value) -> NDArray[np.float32]:
    array = constant_array(value).astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        raise UserError(
            "weights or biases hold NaN or infinity",
            where=f"{layer.op_type} {layer.name!r}, {value.name!r}",
            why="no scale can cover such a value",
            fix="repair the model; training has probably diverged",
        )
    return array
