"""Reading a graph: operators, inputs, constants, attributes, shapes, readers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


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


def trains(node: ir.Node) -> bool:
    """Whether a node does what it does in training: statistics of the batch, values dropped at random."""
    if is_op(node, "BatchNormalization"):
        return bool(attribute(node, "training_mode", 0))
    mode = input_at(node, 2) if is_op(node, "Dropout") else None
    return mode is not None and scalar(mode) != 0.0


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
    """The node of the same graph that alone reads the value, once.

    None if there are other readers, it leaves the model, or a subgraph reads it, which may not run.
    """
    if value is None or value.is_graph_output():
        return None
    uses = list(value.uses())
    return uses[0][0] if len(uses) == 1 and uses[0][0].graph is value.graph else None


def sole_producer(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The producer of a value that nobody else reads, if it is one of these operators."""
    if value is None or only_consumer(value) is None:
        return None
    node = value.producer()
    return node if is_op(node, *op_types) else None
