"""Reshapes that keep the batch and join the rest."""

from __future__ import annotations

import math

import onnx_ir as ir

from sliceflow.passes.base import Pass
from sliceflow.passes.edit import become, set_attributes
from sliceflow.passes.view import attribute, axis_of, dims, input_at, integers, is_op, rank


class ToFlatten(Pass):
    """What turns ``[N, ...]`` into ``[N, rest]`` becomes Flatten(axis=1).

    1. Flatten with another spelling of axis 1 (-3 of rank 4).
    2. Reshape to a constant ``[0, -1]``, ``[-1, rest]`` or ``[N, -1]``, where ``rest`` is the product of the other
       dimensions or N the known batch.
    3. Reshape or Squeeze whose result has rank 2 and the same first dimension, by shape inference.
    """

    name = "to-flatten"
    summary = "write Reshape and Squeeze to [N, rest] as Flatten(axis=1)"

    def rewrite(self, node: ir.Node) -> bool:
        """Rewrite one node."""
        source = input_at(node, 0)
        dimensions = rank(source)
        if dimensions is None or dimensions < 1:
            return False
        if is_op(node, "Flatten"):
            axis = int(attribute(node, "axis", 1))
            return axis < 0 and axis_of(axis, dimensions) == 1 and set_attributes(node, {"axis": 1})
        if not is_op(node, "Reshape", "Squeeze") or dimensions == 2:
            return False
        if not (_by_target(node) or _by_shapes(node)):
            return False
        become(node, "Flatten", [source], {"axis": 1})
        return True


def _by_target(node: ir.Node) -> bool:
    """Rule 2."""
    before, wanted = dims(node.inputs[0]), integers(input_at(node, 1))
    if not is_op(node, "Reshape") or before is None or wanted is None or len(wanted) != 2:
        return False
    tail = [size for size in before[1:] if isinstance(size, int)]
    rest = math.prod(tail) if len(tail) == len(before) - 1 else None
    keeps_batch = wanted[0] == before[0] or (wanted[0] == 0 and not attribute(node, "allowzero", 0))
    if 0 in before:
        return False
    return (keeps_batch and wanted[1] in (-1, rest)) or (wanted[0] == -1 and rest is not None and wanted[1] == rest)


def _by_shapes(node: ir.Node) -> bool:
    """Rule 3."""
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    if before is None or after is None or len(after) != 2 or before[0] is None or 0 in before:
        return False
    return before[0] == after[0]
