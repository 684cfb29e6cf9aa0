"""Padding that the next layer can do."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from sliceflow.passes.base import Pass
from sliceflow.passes.edit import drop_unread, replace, set_attributes
from sliceflow.passes.view import (
    attribute,
    axis_of,
    dims,
    graph_of,
    input_at,
    integers,
    is_op,
    rank,
    scalar,
    sole_producer,
)


class MergePad(Pass):
    """A constant Pad of height and width is merged into the ``pads`` of the layer that alone reads it.

    1. Into a Conv, if it pads with zero.
    2. Into an AveragePool, if it pads with zero and the pool has no padding of its own that does not count:
       ``count_include_pad`` becomes 1.
    3. Into a MaxPool, if it pads with the lowest number of the type or -inf, or with zero behind a Relu or a Clip at 0
       or above; the padding of the pool must stay below its window, so that every window meets a real value.
    4. Each of these also through a QuantizeLinear and a DequantizeLinear with one scale: a Pad before the pair pads
       with real zero, a Pad between the two with the zero point. Rule 3 then accepts zero behind Relu only.

    Negative padding, padding of batch or channels, other modes, and pools with ``ceil_mode`` are left alone.
    """

    name = "merge-pad"
    summary = "merge Pad into the padding of Conv and pools"

    def rewrite(self, node: ir.Node) -> bool:
        """Merge the Pad in front of one Conv or pool."""
        if not is_op(node, "Conv", "AveragePool", "MaxPool") or "pads" not in node.attributes:
            return False
        if len(node.outputs) > 1 and any(output.uses() for output in node.outputs[1:]):
            return False
        pad, pair = _find_pad(node)
        if pad is None or attribute(pad, "mode", "constant") != "constant":
            return False
        pads = _spatial_pads(pad)
        source = pad.inputs[0]
        if pads is None or source is None or not _reads_alike(node, pad, pair):
            return False
        merged = [a + b for a, b in zip(attribute(node, "pads"), pads, strict=True)]
        if not _legal(node, merged):
            return False
        set_attributes(node, {"pads": merged})
        if node.op_type == "AveragePool":
            set_attributes(node, {"count_include_pad": 1})
        graph, constants = graph_of(pad), list(pad.inputs[1:])
        for member in pair:  # these tensors lose their border
            member.outputs[0].shape = ir.Shape(dims(source) or ())
        replace(pad, source)
        drop_unread(graph, *constants)
        return True


def _find_pad(node: ir.Node) -> tuple[ir.Node | None, list[ir.Node]]:
    """The Pad in front of a node, and the quantizing nodes between it and the Pad or around the Pad."""
    pair: list[ir.Node] = []
    value = node.inputs[0]
    for op_type in ("DequantizeLinear", "QuantizeLinear", ""):
        pad = sole_producer(value, "Pad")
        if pad is not None:
            return pad, pair
        quantizer = sole_producer(value, op_type)
        if quantizer is None or scalar(quantizer.inputs[1]) is None:
            return None, []
        pair.append(quantizer)
        value = quantizer.inputs[0]
    return None, []


def _spatial_pads(pad: ir.Node) -> list[int] | None:
    """Begin and end padding of the axes from 2 on, None if anything else is padded."""
    pads, dimensions = integers(input_at(pad, 1)), rank(pad.inputs[0])
    if pads is None or dimensions is None or dimensions < 3 or min(pads, default=0) < 0:
        return None
    chosen = integers(input_at(pad, 3))
    if input_at(pad, 3) is not None and chosen is None:
        return None
    axes = list(range(dimensions)) if chosen is None else [axis_of(axis, dimensions) for axis in chosen]
    if len(pads) != 2 * len(axes) or len(set(axes)) != len(axes):
        return None
    full = [0] * (2 * dimensions)
    for index, axis in enumerate(axes):
        full[axis], full[dimensions + axis] = pads[index], pads[len(axes) + index]
    if any(full[:2]) or any(full[dimensions : dimensions + 2]):
        return None
    return full[2:dimensions] + full[dimensions + 2 :]


def _reads_alike(node: ir.Node, pad: ir.Node, pair: list[ir.Node]) -> bool:
    """Whether the padded value is what the layer's own padding stands for."""
    given = input_at(pad, 2)
    value: Any = 0 if given is None else scalar(given)
    if value is None:
        return False
    between = len(pair) == 1
    if between:
        zero = input_at(pair[0], 2)
        neutral: Any = 0 if zero is None else scalar(zero)
    else:
        neutral = 0
    if node.op_type == "Conv":
        return bool(value == neutral)
    if node.op_type == "AveragePool":
        return bool(value == neutral) and not attribute(node, "ceil_mode", 0) and _counts_alike(node)
    if attribute(node, "ceil_mode", 0):
        return False
    if not pair and value <= np.finfo(np.float32).min:
        return True
    return value == neutral and not between and _never_negative(pad.inputs[0])


def _counts_alike(node: ir.Node) -> bool:
    """Rule 2."""
    return bool(attribute(node, "count_include_pad", 0)) or not any(attribute(node, "pads"))


def _never_negative(value: ir.Value | None, depth: int = 6) -> bool:
    """Whether a float tensor comes from a Relu or the like, also through sums, pools and joins."""
    node = value.producer() if value is not None else None
    if node is None or depth == 0:
        return False
    if is_op(node, "Clip"):
        low = scalar(input_at(node, 1))
        return low is not None and low >= 0
    if is_op(node, "MaxPool", "AveragePool", "Identity", "Reshape", "Transpose"):
        return _never_negative(node.inputs[0], depth - 1)
    if is_op(node, "Add", "Mul", "Concat"):
        return all(_never_negative(item, depth - 1) for item in node.inputs[:16]) and len(node.inputs) <= 16
    return is_op(node, "Relu", "Sigmoid", "HardSigmoid", "Softmax")


def _legal(node: ir.Node, pads: list[int]) -> bool:
    """Pools must pad by less than their window."""
    if node.op_type == "Conv":
        return True
    kernel = attribute(node, "kernel_shape")
    return all(pad < kernel[i % len(kernel)] for i, pad in enumerate(pads))
