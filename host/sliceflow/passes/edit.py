"""Small steps that all passes share: reading constants and attributes, and replacing values without losing names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import ArrayLike, NDArray

_NAMES = "sliceflow.names"


def is_op(node: ir.Node | None, *op_types: str) -> bool:
    """Whether the node is one of these operators of the standard domain."""
    return node is not None and node.domain in ("", "ai.onnx") and node.op_type in op_types


def graph_of(node: ir.Node) -> ir.Graph:
    """The graph that holds the node."""
    graph = node.graph
    if not isinstance(graph, ir.Graph):
        raise TypeError(f"node {node.name} is in no graph")
    return graph


def input_at(node: ir.Node, index: int) -> ir.Value | None:
    """Input number ``index``, None if it is absent."""
    return node.inputs[index] if index < len(node.inputs) else None


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """The array of an initializer, None for anything else. Do not write to it."""
    if value is None or value.const_value is None or not value.is_initializer() or value.is_graph_input():
        return None
    return np.asarray(value.const_value.numpy())


def scalar(value: ir.Value | None) -> float | None:
    """The number in a constant of one element."""
    array = constant(value)
    return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


def integers(value: ir.Value | None) -> list[int] | None:
    """A constant as a flat list of integers."""
    array = constant(value)
    return None if array is None else [int(item) for item in array.reshape(-1)]


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    """An attribute as plain Python data, ``default`` if it is absent."""
    found = node.attributes.get(name)
    if found is None or found.value is None:
        return default
    return list(found.value) if isinstance(found.value, (list, tuple)) else found.value


def set_attributes(node: ir.Node, values: Mapping[str, Any]) -> bool:
    """Write attributes; True if any was different before."""
    changed = False
    for name, value in values.items():
        if attribute(node, name) != value:
            node.attributes[name] = ir.convenience.convert_attribute(name, value)
            changed = True
    return changed


def rank(value: ir.Value | None) -> int | None:
    """Number of dimensions, if known."""
    return None if value is None or value.shape is None else len(value.shape)


def dims(value: ir.Value | None) -> tuple[int | str | None, ...] | None:
    """The shape with symbols as text and unknown dimensions as None."""
    if value is None or value.shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else getattr(dim, "value", None) for dim in value.shape)


def static_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """The shape if every dimension is a number."""
    found = dims(value)
    if found is None:
        return None
    numbers = tuple(dim for dim in found if isinstance(dim, int))
    return numbers if len(numbers) == len(found) else None


def axis_of(number: int, dimensions: int) -> int:
    """A possibly negative axis as 0 .. dimensions-1.

    Raises:
        ValueError: there is no such axis.
    """
    if not -dimensions <= number < max(dimensions, 1):
        raise ValueError(f"axis {number} does not exist in {dimensions} dimensions")
    return number % dimensions if dimensions else 0


def only_consumer(value: ir.Value | None) -> ir.Node | None:
    """The node that alone reads the value, once; None if there are other readers or it leaves the model."""
    if value is None or value.is_graph_output():
        return None
    uses = list(value.uses())
    return uses[0][0] if len(uses) == 1 else None


def sole_producer(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The producer of a value that nobody else reads, if it is one of these operators."""
    if value is None or only_consumer(value) is None:
        return None
    node = value.producer()
    return node if is_op(node, *op_types) else None


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
