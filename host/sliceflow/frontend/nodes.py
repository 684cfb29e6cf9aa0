"""Checks of single nodes: arity and attribute types by the operator's schema, windows of convolutions and pools."""

from __future__ import annotations

import math
from typing import Any

import onnx
import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.frontend.schemas import schema
from sliceflow.passes.view import attribute, dims, input_at, integers, is_op, static_shape

_WINDOWED = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool")
_ALONG = frozenset({"ArgMax", "ArgMin", "Concat", "Flatten", "Gather", "GatherElements", "Hardmax", "LogSoftmax"})
_ALONG |= {"LayerNormalization", "LpNormalization", "ScatterElements", "Softmax", "Split", "TopK"}
"""Operators with an attribute ``axis`` of their first input."""
_AXES_INPUT = {"Slice": 3, "Squeeze": 1, "Pad": 3}
_AXES_INPUT |= {f"Reduce{kind}": 1 for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum")}
_AXES_INPUT |= {"ReduceSumSquare": 1}
"""Operators with axes of their first input, and the number of the input that holds them."""
_SINGLE = onnx.defs.OpSchema.FormalParameterOption.Single
_LARGEST = (1 << 31) - 1
_LARGEST_WINDOW = 1 << 24
"""Cells of a window: ONNX Runtime visits them all, for each result, even where they lie in the padding."""
_FIX = "the exporter is at fault: check the model with onnx.checker and export it again"


def verify_nodes(model: ir.Model, where: str) -> None:
    """Check every node of the standard domain against its operator's schema; operators without one are not looked at.

    Raises:
        UserError: too few or too many inputs or outputs, a required attribute missing or of another type, or a window
        with
            impossible sizes.
    """
    version = model.graph.opset_imports.get("", 0)
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.domain != "":
            continue
        known = schema(node.op_type, version)
        if known is None:
            continue
        problem = _arity(node, known) or _attributes(node, known) or _window(node)
        if problem:
            raise _error(node, problem, where)


def verify_windows(model: ir.Model) -> None:
    """Check that layers fit their inputs, where the shapes are known.

    Raises:
        UserError: channels, weights or bias of a layer contradict each other, or a window is larger than its padded
        input.
    """
    for node in model.graph:
        problem = _layer_problem(node)
        if problem:
            raise _error(node, problem, "the model")


def _error(node: ir.Node, problem: str, where: str) -> UserError:
    shapes = ", ".join(str(value.shape) for value in node.inputs if value is not None and value.shape is not None)
    at = f"node {node.name or '(unnamed)'} ({node.op_type}{': ' + shapes if shapes else ''}) of {where}"
    return UserError(f"the node is not valid: {problem}", where=at, fix=_FIX)


def _arity(node: ir.Node, schema: Any) -> str:
    if not schema.min_input <= len(node.inputs) <= schema.max_input:
        return f"it has {len(node.inputs)} inputs; {schema.min_input} to {schema.max_input} are allowed"
    if not schema.min_output <= len(node.outputs) <= schema.max_output:
        return f"it has {len(node.outputs)} outputs; {schema.min_output} to {schema.max_output} are allowed"
    for value, parameter in zip(node.inputs, schema.inputs, strict=False):
        if value is None and parameter.option == _SINGLE:
            return f"its input {parameter.name} is missing"
    return ""


def _attributes(node: ir.Node, schema: Any) -> str:
    for name, expected in schema.attributes.items():
        found = node.attributes.get(name)
        if found is None:
            if expected.required:
                return f"its attribute {name} is missing"
        elif int(found.type) != expected.type.value:
            return f"its attribute {name} must be of type {expected.type.name}, not {found.type.name}"
    return ""


def _window(node: ir.Node) -> str:
    """Sizes that are impossible for any input."""
    if not is_op(node, *_WINDOWED):
        return ""
    lengths = set()
    for name, low in (("kernel_shape", 1), ("strides", 1), ("dilations", 1), ("pads", 0)):
        sizes = attribute(node, name)
        if sizes is None:
            continue
        if any(not low <= size <= _LARGEST for size in sizes):
            return f"{name} must be {low} or more, not {sizes}"
        if name == "pads" and len(sizes) % 2:
            return f"pads must have a begin and an end for each axis, not {sizes}"
        if name == "kernel_shape" and math.prod(sizes) > _LARGEST_WINDOW:
            return f"its window covers {math.prod(sizes)} cells; {_LARGEST_WINDOW} are allowed"
        lengths.add(len(sizes) // (2 if name == "pads" else 1))
    weights = dims(input_at(node, 1)) if is_op(node, "Conv", "ConvTranspose") else None
    if lengths and weights is not None and len(weights) > 2:
        lengths.add(len(weights) - 2)
    if len(lengths) > 1:
        return "kernel_shape, strides, dilations and pads must have one entry (pads: two) for each axis"
    if not 1 <= attribute(node, "group", 1) <= _LARGEST:
        return f"group must be 1 or more, not {attribute(node, 'group')}"
    if attribute(node, "auto_pad", "NOTSET") not in ("", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        return f"auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, not {attribute(node, 'auto_pad')!r}"
    return ""


def _layer_problem(node: ir.Node) -> str:
    if is_op(node, "Conv"):
        return _conv_problem(node) or _reach_problem(node)
    if is_op(node, "MaxPool", "AveragePool"):
        return _reach_problem(node)
    if is_op(node, "BatchNormalization"):
        return _batch_norm_problem(node)
    return _product_problem(node) if is_op(node, "Gemm", "MatMul") else _axis_problem(node)


def _conv_problem(node: ir.Node) -> str:
    weights, found, group = static_shape(node.inputs[1]), dims(node.inputs[0]), attribute(node, "group", 1)
    if weights is None:
        return ""
    if len(weights) < 3 or (found is not None and len(found) != len(weights)):
        return f"its weights have shape {list(weights)}, its input {'?' if found is None else list(found)}"
    if weights[0] % group or 0 in weights:
        return f"{weights[0]} output channels cannot be split into {group} groups of weights {list(weights)}"
    if found is not None and isinstance(found[1], int) and found[1] != weights[1] * group:
        return f"its input has {found[1]} channels, its weights read {weights[1] * group}"
    kernel = attribute(node, "kernel_shape")
    if kernel is not None and kernel != list(weights[2:]):
        return f"kernel_shape is {kernel}, its weights have {list(weights[2:])}"
    bias = static_shape(input_at(node, 2))
    if bias is not None and bias != (weights[0],):
        return f"its bias has shape {list(bias)}, not [{weights[0]}]"
    return ""


def _reach_problem(node: ir.Node) -> str:
    """Whether the window is larger than the padded input."""
    found, weights = dims(node.inputs[0]), dims(input_at(node, 1)) if is_op(node, "Conv") else None
    kernel = attribute(node, "kernel_shape") or (list(weights[2:]) if weights is not None else [])
    if found is None or not kernel or attribute(node, "auto_pad", "NOTSET") not in ("", "NOTSET", "VALID"):
        return ""
    if len(found) != len(kernel) + 2:
        return f"its window has {len(kernel)} axes, its input has shape {list(found)}"
    pads = attribute(node, "pads") or [0] * (2 * len(kernel))
    dilations = attribute(node, "dilations") or [1] * len(kernel)
    for i, (size, window) in enumerate(zip(found[2:], kernel, strict=True)):
        if not isinstance(size, int) or not isinstance(window, int):
            continue
        reach, room = (window - 1) * dilations[i] + 1, size + pads[i] + pads[i + len(kernel)]
        if room < reach:
            return f"its window covers {reach} cells of axis {i + 2}, its padded input has {room}"
    return ""


def _axis_problem(node: ir.Node) -> str:
    """Whether the operator works along an axis that its input does not have."""
    found = dims(node.inputs[0]) if node.inputs else None
    if found is None or node.domain != "":
        return ""
    axes: list[int] | tuple[int, ...] | None = None
    if node.op_type in _ALONG:
        axis = attribute(node, "axis", None)
        axes = None if axis is None else [axis]
    elif node.op_type in _AXES_INPUT:
        axes = integers(input_at(node, _AXES_INPUT[node.op_type]))
    last = len(found) if node.op_type == "Flatten" else max(len(found) - 1, 0)
    wrong = next((axis for axis in axes or () if not -len(found) <= axis <= last), None)
    return "" if wrong is None else f"it has the axis {wrong}, its input {len(found)} dimensions"


def _batch_norm_problem(node: ir.Node) -> str:
    sizes = {static_shape(value) for value in node.inputs[1:5]} - {None}
    found = dims(node.inputs[0])
    channels = found[1] if found is not None and len(found) > 1 else None
    if len(sizes) > 1 or any(len(size) != 1 for size in sizes if size is not None):
        return "its scale, bias, mean and variance have different shapes"
    if isinstance(channels, int) and sizes and sizes != {(channels,)}:
        return f"its input has {channels} channels, its statistics {sorted(map(str, sizes))}"
    return ""


def _product_problem(node: ir.Node) -> str:
    left, right = static_shape(node.inputs[0]), static_shape(node.inputs[1])
    if is_op(node, "Gemm"):
        if any(shape is not None and len(shape) != 2 for shape in (dims(node.inputs[0]), right)):
            return "its operands must have two dimensions"
        inner = right[1 if attribute(node, "transB", 0) else 0] if right is not None else None
        seen = dims(node.inputs[0])
        reads = seen[0 if attribute(node, "transA", 0) else 1] if seen is not None else None
        bias = static_shape(input_at(node, 2))
        outputs = right[0 if attribute(node, "transB", 0) else 1] if right is not None else None
        if bias and outputs is not None and (len(bias) > 2 or bias[-1] not in (1, outputs)):
            return f"its bias has shape {list(bias)} for {outputs} outputs"
    else:
        if left is None or right is None or len(left) == 0 or len(right) == 0:
            return "" if () not in (left, right) else "its operands must have a dimension"
        reads, inner = left[-1], right[-2] if len(right) > 1 else right[0]
    if isinstance(reads, int) and isinstance(inner, int) and reads != inner:
        return f"its input has {reads} values, its weights read {inner}"
    return ""
