"""Reshape targets that are computed from the shape of a tensor."""

from __future__ import annotations

import onnx_ir as ir

from sliceflow.passes.base import Pass
from sliceflow.passes.edit import add_initializer
from sliceflow.passes.view import attribute, axis_of, dims, graph_of, input_at, integers, is_op, rank

_Item = int | tuple[int, str]
"""An element of a shape vector: a number, or (position, symbol) of a dimension that is not known."""
_BUDGET = 500
"""Nodes looked at for one target: sharing could make their number exponential."""
_MAX_RANK = 32


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
        items, before = _Reader().items(target), dims(node.inputs[0])
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


class _Reader:
    """Reads shape vectors, and gives up when it has looked at too many nodes."""

    def __init__(self) -> None:
        self._left = _BUDGET

    def items(self, value: ir.Value | None) -> list[_Item] | None:
        """The elements of an integer vector or scalar, as far as they follow from named dimensions."""
        known = integers(value) if value is not None and (rank(value) or 0) <= 1 else None
        if known is not None:
            return list(known)
        node = value.producer() if value is not None else None
        self._left -= 1
        if node is None or self._left < 0 or node.domain != "":
            return None
        if is_op(node, "Shape"):
            return _dimensions(node)
        if is_op(node, "Concat"):
            return self._concat(node)
        if is_op(node, "Unsqueeze", "Squeeze", "Identity", "Cast", "Reshape"):
            return self.items(node.inputs[0])
        source = self.items(node.inputs[0]) if is_op(node, "Gather", "Slice") else None
        return None if source is None else _select(node, source)

    def _concat(self, node: ir.Node) -> list[_Item] | None:
        joined: list[_Item] = []
        for value in node.inputs:
            part = self.items(value)
            if part is None or len(joined) + len(part) > _MAX_RANK:
                return None
            joined += part
        return joined


def _dimensions(node: ir.Node) -> list[_Item] | None:
    found = dims(node.inputs[0])
    if found is None or None in found:
        return None
    items: list[_Item] = [size if isinstance(size, int) else (i, str(size)) for i, size in enumerate(found)]
    return items[attribute(node, "start", 0) : attribute(node, "end", len(items))]


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
