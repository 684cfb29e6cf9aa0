"""Reshape targets that are computed from the shape of a tensor."""

from __future__ import annotations

import onnx_ir as ir

from sliceflow.passes.base import Pass
from sliceflow.passes.edit import (
    add_initializer,
    attribute,
    axis_of,
    dims,
    graph_of,
    input_at,
    integers,
    is_op,
)

_Item = int | tuple[int, str]
"""An element of a shape vector: a number, or (position, symbol) of a dimension that is not known."""
_DEPTH = 32


class ResolveReshape(Pass):
    """A Reshape target computed by Shape, Gather, Slice, Concat ... becomes a constant where possible.

    1. Each element is a number, or the dimension of the reshaped tensor at the same position: that is a 0.
    2. Each element is a number but one unknown: that is a -1 (if no other is).

    So ``x.reshape(x.shape[0], -1)`` becomes Reshape(x, [0, -1]), for any batch.
    """

    name = "resolve-reshape"
    summary = "make Reshape targets constant that only copy dimensions of the tensor"

    def rewrite(self, node: ir.Node) -> bool:
        """Rewrite one Reshape."""
        target = input_at(node, 1)
        if not is_op(node, "Reshape") or integers(target) is not None or attribute(node, "allowzero", 0):
            return False
        items, before = shape_items(target, _DEPTH), dims(node.inputs[0])
        if items is None or before is None:
            return False
        wanted: list[int] = []
        for position, item in enumerate(items):
            if isinstance(item, int):
                wanted.append(item)
            elif position < len(before) and before[position] == item[1]:
                wanted.append(0)
            else:
                wanted.append(-1)
        if wanted.count(-1) > 1:
            return False
        node.replace_input_with(1, add_initializer(graph_of(node), wanted, f"{node.name}_shape"))
        return True


def shape_items(value: ir.Value | None, depth: int) -> list[_Item] | None:
    """The elements of an integer vector or scalar, as far as they follow from named dimensions."""
    known = integers(value)
    if known is not None:
        return list(known)
    node = value.producer() if value is not None else None
    if node is None or depth == 0 or node.domain != "":
        return None
    if is_op(node, "Shape"):
        found = dims(node.inputs[0])
        if found is None or None in found:
            return None
        items: list[_Item] = [size if isinstance(size, int) else (i, str(size)) for i, size in enumerate(found)]
        return items[attribute(node, "start", 0) : attribute(node, "end", len(items))]
    if is_op(node, "Concat"):
        parts = [shape_items(part, depth - 1) for part in node.inputs]
        known_parts = [part for part in parts if part is not None]
        return [item for part in known_parts for item in part] if len(known_parts) == len(parts) else None
    if is_op(node, "Unsqueeze", "Squeeze", "Identity", "Cast", "Reshape"):
        return shape_items(node.inputs[0], depth - 1)
    source = shape_items(node.inputs[0], depth - 1) if is_op(node, "Gather", "Slice") else None
    return None if source is None else _select(node, source)


def _select(node: ir.Node, source: list[_Item]) -> list[_Item] | None:
    arguments = [integers(value) for value in node.inputs[1:]]
    if None in arguments:
        return None
    first = arguments[0] or []
    if is_op(node, "Gather"):
        return [source[axis_of(index, len(source))] for index in first]
    steps = arguments[3] if len(arguments) > 3 else [1]
    if len(first) != 1 or steps != [1] or not arguments[1]:
        return None
    return source[first[0] : arguments[1][0]]
