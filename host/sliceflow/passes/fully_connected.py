"""Fully connected layers, in one form."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.passes.affine import per_channel, real_constant, stored_weights
from sliceflow.passes.base import Pass
from sliceflow.passes.edit import add_initializer, become, drop_unread, new_node, replace
from sliceflow.passes.view import (
    attribute,
    constant,
    dims,
    graph_of,
    input_at,
    is_op,
    only_consumer,
    rank,
    scalar,
)


class FullyConnected(Pass):
    """Products with a constant matrix become ``Gemm(x, W[O, I], bias[O])`` with transB = 1, alpha = beta = 1.

    1. MatMul of a rank 2 tensor and a constant matrix.
    2. Gemm with any alpha, beta, transA and transB. alpha goes to the weights (to their scale if they are dequantized
       and alpha is positive), beta to the bias; transA becomes a Transpose in front.
    3. An Add behind a Gemm of this form, of a constant for each output (or one for all, or dequantized): it is the
       bias.

    Weights behind a DequantizeLinear keep their integers: these are transposed, and the axis of the scales with them.
    A Gemm stays as it is if its bias differs from row to row or is not constant.
    """

    name = "fully-connected"
    summary = "write MatMul, MatMul + Add and any Gemm with constant weights as Gemm(transB=1) with [O, I] weights"

    def rewrite(self, node: ir.Node) -> bool:
        """Rewrite one MatMul, Gemm or Add."""
        if is_op(node, "MatMul"):
            return _from_matmul(node)
        if is_op(node, "Gemm"):
            return _from_gemm(node)
        return is_op(node, "Add") and _merge_bias(node)


def _from_matmul(node: ir.Node) -> bool:
    """Rule 1."""
    source, weights = node.inputs[0], node.inputs[1]
    if rank(source) != 2:
        return False
    turned = _weights(node, weights, transpose=True, factor=1.0)
    if turned is None:
        return False
    become(node, "Gemm", [source, turned], {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1})
    return True


def _from_gemm(node: ir.Node) -> bool:
    """Rule 2."""
    alpha, beta = float(attribute(node, "alpha", 1.0)), float(attribute(node, "beta", 1.0))
    trans_a, trans_b = int(attribute(node, "transA", 0)), int(attribute(node, "transB", 0))
    canonical = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}
    given = input_at(node, 2)
    stored, _ = stored_weights(node.inputs[1])
    if stored is None or stored.ndim != 2:
        return False
    outputs = stored.shape[0] if trans_b else stored.shape[1]
    bias = _bias(node, given, outputs, beta)
    if given is not None and bias is None:
        return False
    if alpha == 1.0 and not trans_a and trans_b and bias is given:
        changed = any(attribute(node, name) != value for name, value in canonical.items())
        if changed:
            become(node, "Gemm", list(node.inputs), canonical)
        return changed
    weights = _weights(node, node.inputs[1], transpose=not trans_b, factor=alpha)
    if weights is None:
        return False
    source = node.inputs[0]
    if trans_a and source is not None:
        source = new_node(
            node, "Transpose", [source], {"perm": [1, 0]}, name=f"{node.name}_transpose", dtype=source.dtype
        )
    become(node, "Gemm", [source, weights] if bias is None else [source, weights, bias], canonical)
    return True


def _merge_bias(node: ir.Node) -> bool:
    """Rule 3."""
    for index in (0, 1):
        gemm_output, other = node.inputs[index], node.inputs[1 - index]
        gemm = gemm_output.producer() if gemm_output is not None else None
        if gemm is None or not is_op(gemm, "Gemm") or not attribute(gemm, "transB", 0) or input_at(gemm, 2) is not None:
            continue
        if gemm_output is None or only_consumer(gemm_output) is not node:
            continue
        shape = dims(gemm.inputs[1])
        if shape is None or not isinstance(shape[0], int):
            continue
        bias = _bias(node, other, shape[0], 1.0)
        if bias is None:
            continue
        _move_before(gemm, bias)
        gemm.resize_inputs(3)
        gemm.replace_input_with(2, bias)
        graph = graph_of(node)
        replace(node, gemm_output)
        drop_unread(graph, other)
        return True
    return False


def _move_before(node: ir.Node, value: ir.Value) -> None:
    """A dequantized bias may stand behind the layer that is to read it."""
    producer = value.producer()
    if producer is not None:
        graph_of(node).remove(producer)
        graph_of(node).insert_before(node, producer)


def _weights(node: ir.Node, value: ir.Value | None, *, transpose: bool, factor: float) -> ir.Value | None:
    """The weights as ``[O, I]`` times ``factor``, None if they are no constant matrix or cannot express the factor."""
    stored, dequantize = stored_weights(value)
    if stored is None or stored.ndim != 2 or value is None:
        return None
    matrix = stored.T if transpose else stored
    if dequantize is None:
        if factor != 1.0:
            matrix = (matrix * np.float64(factor)).astype(stored.dtype)
        return value if matrix is stored else add_initializer(graph_of(node), matrix, f"{node.name}_weight")
    if not transpose and factor == 1.0:
        return value
    if factor <= 0 or not per_channel(dequantize, 2, 1 if transpose else 0):
        return None
    return _dequantized(node, dequantize, matrix, factor=factor)


def _dequantized(node: ir.Node, like: ir.Node, stored: NDArray[Any], *, factor: float = 1.0) -> ir.Value | None:
    """A new DequantizeLinear over ``stored`` with the scales and zero points of another, along axis 0."""
    scale, zero = constant(like.inputs[1]), input_at(like, 2)
    if scale is None:
        return None
    new_scale = like.inputs[1]
    if factor != 1.0:
        new_scale = add_initializer(
            graph_of(node), (scale * np.float64(factor)).astype(scale.dtype), f"{node.name}_scale"
        )
    data = add_initializer(graph_of(node), stored, f"{node.name}_weight")
    inputs = [data, new_scale] if zero is None else [data, new_scale, zero]
    attributes = {"axis": 0} if scale.ndim > 0 else {}
    return new_node(
        node,
        "DequantizeLinear",
        inputs,
        attributes,
        name=f"{node.name}_dequantize",
        dtype=like.outputs[0].dtype,
        shape=ir.Shape(stored.shape),
    )


def _bias(node: ir.Node, value: ir.Value | None, outputs: int, beta: float) -> ir.Value | None:
    """The bias as an ``[O]`` value times ``beta``; None if it is not a constant that is the same for every row."""
    stored, dequantize = stored_weights(value)
    if stored is None or value is None or stored.size not in (1, outputs) or stored.ndim > 2:
        return None
    if stored.ndim == 2 and stored.shape[0] != 1:
        return None
    if stored.shape == (outputs,) and beta == 1.0:
        return value
    if dequantize is not None and stored.size == outputs and beta > 0 and scalar(dequantize.inputs[1]) is not None:
        return _dequantized(node, dequantize, stored.reshape(-1), factor=beta)
    real = real_constant(value)
    if real is None:
        return None
    dtype = stored.dtype if dequantize is None else np.dtype(np.float32)
    vector = np.broadcast_to(real.reshape(-1) * beta, (outputs,)).astype(dtype)
    return add_initializer(graph_of(node), vector, f"{node.name}_bias")
