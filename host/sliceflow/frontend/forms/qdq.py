"""Writing QuantizeLinear and DequantizeLinear around an operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from sliceflow.passes.edit import add_initializer, become, new_node
from sliceflow.passes.view import constant, graph_of


def dequantize(
    node: ir.Node, stored: ir.Value, scale: ir.Value, zero: ir.Value | None, *, axis: int | None = None
) -> ir.Value:
    """A DequantizeLinear in front of a node.

    Args:
        node: what will read it.
        stored: the integers.
        scale: one number, or one for each index of ``axis``.
        zero: the same; None for 0.
        axis: where the parameters have several numbers.
    """
    count = 0 if axis is None else numbers(scale, zero)
    inputs = [stored] + [flat(node, value, count) for value in (scale, zero) if value is not None]
    attributes = {} if axis is None else {"axis": axis}
    name = f"{stored.name}_dequantized"
    return new_node(
        node, "DequantizeLinear", inputs, attributes, name=name, dtype=ir.DataType.FLOAT, shape=stored.shape
    )


def flat(node: ir.Node, parameter: ir.Value, count: int = 0) -> ir.Value:
    """A constant parameter as a scalar or a vector, of ``count`` numbers if there are any to be.

    Raises:
        ValueError: it varies along several axes.
    """
    array = constant(parameter)
    if array is None or (array.ndim < 2 and (not count or array.shape == (count,))):
        return parameter
    if array.size and max(array.shape, default=1) != array.size:
        raise ValueError(f"the scale or zero point {parameter.name!r} has shape {list(array.shape)}")
    vector = array.reshape(-1)
    shaped = np.broadcast_to(vector, (count,)).copy() if count else vector if vector.size > 1 else vector.reshape(())
    return add_initializer(graph_of(node), shaped, f"{parameter.name}_flat")


def numbers(*parameters: ir.Value | None) -> int:
    """How many numbers the longest of some constant parameters holds; 1 if there are none, 0 if one is no constant."""
    arrays = [constant(value) for value in parameters if value is not None]
    sizes = [array.size for array in arrays if array is not None]
    return max(sizes, default=1) if len(sizes) == len(arrays) else 0


def quantize_result(
    node: ir.Node,
    op_type: str,
    inputs: Sequence[ir.Value | None],
    attributes: Mapping[str, Any],
    parameters: tuple[ir.Value | None, ir.Value | None],
) -> None:
    """Let a node quantize what a new one in front of it computes.

    The new node takes the name, the old one keeps its output.

    Args:
        node: becomes the QuantizeLinear.
        op_type: operator of the new node.
        inputs: its inputs.
        attributes: its attributes.
        parameters: scale and zero point of the result; without a zero point the type is that of the first input.
    """
    scale, zero = parameters
    if scale is None:
        raise ValueError("the scale of the result is missing")
    name, graph = str(node.name), graph_of(node)
    if zero is None:
        source = node.inputs[0]
        kind = source.dtype if source is not None and source.dtype is not None else ir.DataType.UINT8
        zero = add_initializer(graph, np.zeros((), kind.numpy()), f"{name}_zero_point")
    real = new_node(node, op_type, inputs, attributes, name=f"{name}_real", dtype=ir.DataType.FLOAT)
    producer = real.producer()
    assert producer is not None  # new_node made it
    become(node, "QuantizeLinear", [real, flat(node, scale), flat(node, zero)])
    node.domain, node.version = "", None
    node.name, producer.name = producer.name, name


def become_product(node: ir.Node, operands: Sequence[ir.Value | None], bias: ir.Value | None) -> None:
    """Let a node become the matrix product of two tensors, or its sum with a bias."""
    if bias is None:
        become(node, "MatMul", operands)
    else:
        product = new_node(node, "MatMul", operands, name=f"{node.name}_product", dtype=ir.DataType.FLOAT)
        become(node, "Add", [product, bias])
    node.domain, node.version = "", None
