"""Small steps that all passes share: reading constants and attributes, and replacing values without losing names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import ArrayLike, NDArray

from sliceflow.passes.view import attribute, graph_of, is_op

_NAMES = "sliceflow.names"


def set_attributes(node: ir.Node, values: Mapping[str, Any]) -> bool:
    """Write attributes; True if any was different before."""
    changed = False
    for name, value in values.items():
        if attribute(node, name) != value:
            node.attributes[name] = ir.convenience.convert_attribute(name, value)
            changed = True
    return changed


def unique_name(graph: ir.Graph, hint: str) -> str:
    """A value name that is not in use, the hint itself if possible."""
    names = graph.meta.get(_NAMES)
    if names is None:
        names = {value.name for value in (*graph.inputs, *graph.initializers.values())}
        for node in graph.all_nodes():
            names.update((node.name, *(output.name for output in node.outputs)))
        for inner in graph.subgraphs():
            names.update(value.name for value in (*inner.inputs, *inner.initializers.values()))
        graph.meta[_NAMES] = names
    name, number = hint, 1
    while name in names:
        number += 1
        name = f"{hint}_{number}"
    names.add(name)
    return name


def add_initializer(graph: ir.Graph, array: ArrayLike, hint: str) -> ir.Value:
    """A new initializer that holds ``array``."""
    data = np.asarray(array)
    return named_initializer(graph, data, unique_name(graph, hint))


def named_initializer(graph: ir.Graph, data: NDArray[Any], name: str) -> ir.Value:
    """A new initializer under a name that the caller knows to be free."""
    tensor = ir.Tensor(data, name=name)
    value = ir.Value(name=name, shape=ir.Shape(data.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def new_node(
    before: ir.Node,
    op_type: str,
    inputs: Sequence[ir.Value | None],
    attributes: Mapping[str, Any] | None = None,
    *,
    name: str,
    dtype: ir.DataType | None = None,
    shape: ir.Shape | None = None,
) -> ir.Value:
    """Insert a node with one output in front of another; its output is returned."""
    graph = graph_of(before)
    node = ir.node(op_type, inputs, attributes or {}, name=unique_name(graph, name))
    node.outputs[0].name = unique_name(graph, f"{node.name}_output")
    node.outputs[0].shape = shape
    if dtype is not None:
        node.outputs[0].dtype = dtype
    graph.insert_before(before, node)
    return node.outputs[0]


def become(
    node: ir.Node, op_type: str, inputs: Sequence[ir.Value | None], attributes: Mapping[str, Any] | None = None
) -> None:
    """Change a node in place: its name and its outputs stay, the rest is new."""
    graph, old = graph_of(node), list(node.inputs)
    node.op_type = op_type
    node.attributes.clear()
    set_attributes(node, attributes or {})
    node.resize_inputs(len(inputs))
    for index, value in enumerate(inputs):
        node.replace_input_with(index, value)
    drop_unread(graph, *(value for value in old if value is not None))


def replace(node: ir.Node, replacement: ir.Value) -> bool:
    """Let the readers of a node's first output read ``replacement``, and drop the node.

    A model output keeps its name: ``replacement`` takes it over. That is impossible for a model input, an initializer
    or a second output; then nothing changes.
    """
    old = node.outputs[0]
    if old.is_graph_output():
        if replacement.is_graph_input() or replacement.is_initializer() or replacement.is_graph_output():
            return False
        name = old.name
        old.replace_all_uses_with(replacement, replace_graph_outputs=True)
        old.name = unique_name(graph_of(node), f"{name}_replaced")
        replacement.name = name
        if old.shape is not None:
            replacement.shape = old.shape
        if old.type is not None:
            replacement.type = old.type
    else:
        old.replace_all_uses_with(replacement)
        if replacement.shape is None:
            replacement.shape = old.shape
        if replacement.type is None:
            replacement.type = old.type
    graph_of(node).remove(node, safe=True)
    return True


def replace_by_constant(node: ir.Node, array: NDArray[Any], *, output: int = 0) -> None:
    """Turn one output of a node into an initializer of the same name; the caller removes the node."""
    old = node.outputs[output]
    name = str(old.name)
    old.name = unique_name(graph_of(node), f"{name}_folded")
    value = named_initializer(graph_of(node), array, name)
    old.replace_all_uses_with(value, replace_graph_outputs=True)


def drop_unread(graph: ir.Graph, *values: ir.Value | None) -> None:
    """Remove initializers, and DequantizeLinear nodes over them, that nobody reads any more."""
    for value in values:
        if value is None or value.uses() or value.is_graph_output():
            continue
        producer = value.producer()
        if producer is None:
            if value.is_initializer():
                graph.initializers.pop(str(value.name))
        elif is_op(producer, "DequantizeLinear"):
            inputs = list(producer.inputs)
            graph.remove(producer, safe=True)
            drop_unread(graph, *inputs)
