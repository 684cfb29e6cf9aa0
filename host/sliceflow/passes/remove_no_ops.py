"""Nodes that change nothing."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sliceflow.passes.base import Pass
from sliceflow.passes.edit import drop_unread, replace
from sliceflow.passes.view import attribute, axis_of, constant, dims, graph_of, input_at, integers, is_op, rank, trains


class RemoveNoOps(Pass):
    """Nodes whose output equals their input are removed.

    1. Identity; Dropout (inference: the mask, if read, is all true and keeps the node); Cast and CastLike
       to the same type.
    2. Concat, Sum, Max, Min and Mean of one tensor.
    3. Pad by nothing.
    4. Transpose that keeps the order.
    5. Reshape, Flatten, Squeeze, Unsqueeze and Expand to the shape that the tensor has.
    6. Max and average pools of one cell, stride 1, no padding.
    7. Resize and Upsample by 1.
    8. Add or Sub of 0, Mul or Div by 1 (a constant that does not enlarge or convert the tensor).

    A node between a model input (or constant) and a model output stays, because both names must.
    """

    name = "remove-no-ops"
    summary = "remove Identity, Dropout, and casts, pads, reshapes, concatenations ... that change nothing"

    def rewrite(self, node: ir.Node) -> bool:
        """Remove one node."""
        source = input_at(node, 0)
        if node.domain != "" or source is None or any(output.uses() for output in node.outputs[1:]):
            return False
        kept = _kept(node, source)
        if kept is None:
            return False
        others, graph = list(node.inputs[1:]), graph_of(node)
        if not replace(node, kept):
            return False
        drop_unread(graph, *others)
        return True


def _kept(node: ir.Node, source: ir.Value) -> ir.Value | None:
    """The input that the node hands on unchanged."""
    op_type = node.op_type
    if op_type in ("Add", "Sub", "Mul", "Div"):
        return _neutral(node)
    if op_type in ("Sum", "Max", "Min", "Mean", "Concat"):
        same = len(node.inputs) == 1
    elif op_type in ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand"):
        same = _same_shape(node, source)
    elif op_type in ("MaxPool", "AveragePool"):
        same = _one_cell(node)
    elif op_type == "Pad":
        same = not any(integers(input_at(node, 1)) or [1])
    elif op_type == "Cast":
        same = source.dtype is not None and int(source.dtype) == attribute(node, "to")
    elif op_type == "CastLike":
        same = source.dtype is not None and node.inputs[1] is not None and node.inputs[1].dtype == source.dtype
    else:
        same = _identity(node, source)
    return source if same else None


def _identity(node: ir.Node, source: ir.Value) -> bool:
    if is_op(node, "Transpose"):
        return _same_order(node, source)
    if is_op(node, "Resize"):
        return _resized_by_one(node)
    return is_op(node, "Identity") or (is_op(node, "Dropout") and not trains(node))


def _same_order(node: ir.Node, source: ir.Value) -> bool:
    perm = attribute(node, "perm")
    if perm is None:
        return (rank(source) or 2) == 1
    return bool(perm == list(range(len(perm))))


def _resized_by_one(node: ir.Node) -> bool:
    scales = constant(input_at(node, 2))
    if scales is not None and scales.size:
        return bool((scales == 1).all()) and attribute(node, "coordinate_transformation_mode") != "tf_crop_and_resize"
    return False


def _one_cell(node: ir.Node) -> bool:
    kernel = attribute(node, "kernel_shape", [])
    unit = all(size == 1 for size in (*kernel, *attribute(node, "strides", [])))
    return (
        unit and not any(attribute(node, "pads", [])) and attribute(node, "auto_pad", "NOTSET") in ("NOTSET", "VALID")
    )


def _same_shape(node: ir.Node, source: ir.Value) -> bool:
    """Rule 5. Symbols count as equal only if they have a name."""
    before, after = dims(source), dims(node.outputs[0])
    if before is None:
        return False
    if is_op(node, "Flatten") and len(before) == 2 and axis_of(attribute(node, "axis", 1), 3) == 1:
        return attribute(node, "axis", 1) in (1, -1)
    if is_op(node, "Reshape"):
        wanted = integers(input_at(node, 1))
        if wanted is not None and len(wanted) == len(before) and not attribute(node, "allowzero", 0):
            known = [size == 0 or size == old for size, old in zip(wanted, before, strict=True)]
            if known.count(False) == 0 or (known.count(False) == 1 and -1 in wanted):
                return True
    return after is not None and before == after and None not in before


def _neutral(node: ir.Node) -> ir.Value | None:
    """Rule 8."""
    neutral = 0 if node.op_type in ("Add", "Sub") else 1
    for index in (1, 0) if node.op_type in ("Add", "Mul") else (1,):
        array, other = constant(input_at(node, index)), input_at(node, 1 - index)
        if array is None or other is None or not _does_not_enlarge(array.shape, other):
            continue
        if array.size and bool(np.all(array == neutral)):
            return other
    return None


def _does_not_enlarge(shape: tuple[int, ...], value: ir.Value) -> bool:
    found = dims(value)
    if found is None or len(shape) > len(found):
        return False
    return all(size in (1, have) for size, have in zip(reversed(shape), reversed(found), strict=False))
