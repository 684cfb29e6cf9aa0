"""What the graph tells about the range of a value: clamps, and tensors that are never negative."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from sliceflow.passes.view import attribute, constant, input_at, is_op

_KEEPERS = frozenset(
    {"AveragePool", "DepthToSpace", "DequantizeLinear", "Flatten", "GlobalAveragePool", "GlobalMaxPool", "Identity"}
    | {"MaxPool", "QuantizeLinear", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)
"""Operators that make no negative value of values that are not negative; the first input counts."""
_JOINS = frozenset({"Add", "Concat"})
_LARGEST_SEARCH = 64


def clamp_of(node: ir.Node) -> tuple[float, float] | None:
    """The bounds of a Relu or of a Clip with constant bounds, None for other nodes."""
    if is_op(node, "Relu"):
        return 0.0, math.inf
    if not is_op(node, "Clip"):
        return None
    bounds = []
    for index, free in ((1, -math.inf), (2, math.inf)):
        value = input_at(node, index)
        array = constant(value)
        if value is None:
            bounds.append(free)
        elif array is None or array.size != 1 or np.isnan(array).any():
            return None
        else:
            bounds.append(float(array.reshape(-1)[0]))
    return min(bounds), bounds[1]  # the upper bound wins where they cross


def never_negative(value: ir.Value | None) -> bool:
    """Whether a tensor, real or quantized, is provably at least zero: behind a Relu, a Clip, a Sigmoid and the like.

    Quantization keeps it so, since zero is always a point of the grid.
    """
    waiting, seen = [value], set[ir.Value]()
    while waiting:
        current = waiting.pop()
        if current is None or current in seen:
            continue
        seen.add(current)
        node = None if current.is_graph_input() else current.producer()
        if node is None or len(seen) > _LARGEST_SEARCH:
            return False
        clamp = clamp_of(node)
        if is_op(node, "Sigmoid", "HardSigmoid") or (clamp is not None and clamp[0] >= 0):
            continue
        if is_op(node, *_JOINS):
            waiting += node.inputs
        elif is_op(node, *_KEEPERS) or (is_op(node, "Resize") and attribute(node, "mode", "nearest") == "nearest"):
            waiting.append(node.inputs[0])
        else:
            return False
    return True
