"""Slicing constants: initializers, and initializers behind a DequantizeLinear."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.passes.affine import stored_weights
from sliceflow.passes.channels.state import Index
from sliceflow.passes.edit import add_initializer, drop_unread, new_node
from sliceflow.passes.view import attribute, constant, graph_of, input_at


def take_parameter(node: ir.Node, index: int, kept: Index, sliced: NDArray[Any] | None = None) -> None:
    """Keep positions of axis 0 of a constant input; scales and zero points for each position follow.

    Args:
        node: the reader.
        index: which of its inputs.
        kept: the positions, ascending.
        sliced: the stored constant as it shall be, if other axes change too.
    """
    graph, old = graph_of(node), node.inputs[index]
    stored, dequantize = stored_weights(old)
    if stored is None:
        raise ValueError(f"input {index} is not constant")
    data = add_initializer(graph, np.take(stored, kept, axis=0) if sliced is None else sliced, f"{node.name}_cut")
    if dequantize is None:
        node.replace_input_with(index, data)
    else:
        inputs = [data, *(_taken(graph, input_at(dequantize, i), kept) for i in (1, 2))]
        while inputs[-1] is None:
            inputs.pop()
        attributes = {name: attribute(dequantize, name) for name in dequantize.attributes}
        shape = ir.Shape(np.asarray(data.const_value).shape if sliced is None else sliced.shape)
        hint, dtype = f"{dequantize.name}_cut", dequantize.outputs[0].dtype
        value = new_node(node, "DequantizeLinear", inputs, attributes, name=hint, dtype=dtype, shape=shape)
        node.replace_input_with(index, value)
    drop_unread(graph, old)


def _taken(graph: ir.Graph, value: ir.Value | None, kept: Index) -> ir.Value | None:
    """A scale or zero point: one for all stays, one for each position is sliced."""
    array = constant(value)
    if value is None or array is None or array.size == 1:
        return value
    return add_initializer(graph, np.take(array, kept, axis=0), f"{value.name}_cut")


def take_axis(node: ir.Node, index: int, kept: Index, axis: int) -> None:
    """Keep positions of an axis of an initializer that a node reads."""
    graph, old = graph_of(node), node.inputs[index]
    array = constant(old)
    if old is None or array is None:
        raise ValueError(f"input {index} is not constant")
    value = add_initializer(graph, np.ascontiguousarray(np.take(array, kept, axis=axis)), f"{old.name}_cut")
    node.replace_input_with(index, value)
    drop_unread(graph, old)
