"""What changed in the standard operators between opset 7 and the canonical one, and how a node follows.

Each rule states below which opset it applies. Operators that only gained types, inputs or attributes need none.
Source: the operator changelog of ONNX (docs/Changelog.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.passes.edit import add_initializer, become, new_node
from sliceflow.passes.view import attribute, constant, dims, input_at

Rule = Callable[[ir.Node, ir.Graph, str], None]
Rules = dict[str, tuple[tuple[int, Rule], ...]]
_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")


def _refuse(node: ir.Node, where: str, why: str) -> UserError:
    return UserError(
        f"{node.op_type} of this opset cannot be converted",
        where=f"node {node.name or '(unnamed)'} of {where}",
        why=why,
        fix="export the model with opset 21",
    )


def _float_type(node: ir.Node) -> Any:
    dtype = node.inputs[0].dtype if node.inputs[0] is not None else None
    return np.dtype((dtype or ir.DataType.FLOAT).numpy())


def _attributes_to_inputs(node: ir.Node, graph: ir.Graph, names: Sequence[str], dtype: Any) -> None:
    """Turn attributes into inputs behind the existing ones; absent ones stay absent."""
    values: list[ir.Value | None] = list(node.inputs)
    for name in names:
        found = attribute(node, name)
        values.append(None if found is None else add_initializer(graph, np.array(found, dtype), f"{node.name}_{name}"))
        node.attributes.pop(name, None)
    while values and values[-1] is None:
        values.pop()
    node.resize_inputs(len(values))
    for index, value in enumerate(values):
        node.replace_input_with(index, value)


def _axes(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """Squeeze and Unsqueeze (below 13), reductions (below 18), ReduceSum (below 13): ``axes`` is an input."""
    _attributes_to_inputs(node, graph, ["axes"], np.int64)


def _split(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """Split: the sizes are an input (13); equal parts state their number (18)."""
    if len(node.inputs) < 2:
        _attributes_to_inputs(node, graph, ["split"], np.int64)
    if len(node.inputs) < 2:
        node.attributes["num_outputs"] = ir.AttrInt64("num_outputs", len(node.outputs))


def _slice(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """Slice: starts, ends and axes are inputs (10)."""
    _attributes_to_inputs(node, graph, ["starts", "ends", "axes"], np.int64)


def _pad(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """Pad: pads and value are inputs (11)."""
    _attributes_to_inputs(node, graph, ["pads"], np.int64)
    _attributes_to_inputs(node, graph, ["value"], _float_type(node))


def _clip(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """Clip: min and max are inputs (11)."""
    _attributes_to_inputs(node, graph, ["min", "max"], _float_type(node))


def _top_k(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """TopK: k is an input (10), a vector of one."""
    node.attributes["k"] = ir.AttrInt64s("k", [int(attribute(node, "k"))])
    _attributes_to_inputs(node, graph, ["k"], np.int64)


def _dropout(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """Dropout: in inference the ratio does not matter (12)."""
    node.attributes.pop("ratio", None)


def _dft(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """DFT: the axis is an input (20), counted from the end by default."""
    values = [node.inputs[0], input_at(node, 1)]
    axis = add_initializer(graph, np.array(attribute(node, "axis", 1), np.int64), f"{node.name}_axis")
    node.attributes.pop("axis", None)
    node.resize_inputs(3)
    for index, value in enumerate((*values, axis)):
        node.replace_input_with(index, value)


def _batch_norm(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """BatchNormalization: ``spatial`` is gone (9), so are the outputs of training (14)."""
    if not attribute(node, "spatial", 1):
        raise _refuse(node, where, "statistics for each position (spatial = 0) exist no more")
    node.attributes.pop("spatial", None)
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        raise _refuse(node, where, "its training outputs are used")
    if any(output.name for output in node.outputs[1:]) and not attribute(node, "is_test", 0):
        node.attributes["training_mode"] = ir.AttrInt64("training_mode", 1)
    node.resize_outputs(1)


def _upsample(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """Upsample becomes Resize (10), which repeats cells of the floored position."""
    if len(node.inputs) < 2:
        _attributes_to_inputs(node, graph, ["scales"], np.float32)
    _become_resize(node, where, "floor")


def _resize(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """Resize: the region is an input and positions are rounded as stated (11).

    Before, the nearest position was left open; ONNX Runtime took the floor when enlarging, the ceiling when shrinking.
    """
    scales = constant(input_at(node, 1))
    rounding = "floor"
    if attribute(node, "mode", "nearest") == "nearest" and scales is not None and (scales < 1).any():
        if (scales > 1).any():
            raise _refuse(node, where, "it enlarges one axis and shrinks another")
        rounding = "ceil"
    _become_resize(node, where, rounding)


def _become_resize(node: ir.Node, where: str, rounding: str) -> None:
    """A Resize with the old coordinates, which are now called asymmetric."""
    mode = str(attribute(node, "mode", "nearest"))
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    if mode not in ("nearest", "linear", "cubic"):
        raise _refuse(node, where, f"the mode {mode[:40]!r} is unknown")
    if len(node.inputs) != 2:
        raise _refuse(node, where, "it must have two inputs")
    attributes = {"mode": mode, "coordinate_transformation_mode": "asymmetric"}
    if mode == "nearest":
        attributes["nearest_mode"] = rounding
    become(node, "Resize", [node.inputs[0], None, node.inputs[1]], attributes)


def _resize_11(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """Resize: empty scales stand for absent ones; one coordinate mode is gone (13)."""
    if attribute(node, "coordinate_transformation_mode") == "tf_half_pixel_for_nn":
        raise _refuse(node, where, "the coordinates tf_half_pixel_for_nn exist no more")
    for index in (1, 2):
        array = constant(input_at(node, index))
        if array is not None and array.size == 0:
            node.replace_input_with(index, None)


def _softmax(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """Softmax, LogSoftmax, Hardmax: below 13 they work on the tensor flattened at ``axis`` (1 by default).

    1. At the last axis, or if all axes behind it have size 1, the new definition says the same.
    2. Otherwise the node is put between a Flatten and a Reshape.
    """
    source, axis = node.inputs[0], int(attribute(node, "axis", 1))
    found = dims(source)
    if found is None or source is None:
        raise _refuse(node, where, "the rank of its input is unknown")
    axis = axis + len(found) if axis < 0 else axis
    if not 0 <= axis <= len(found):
        raise _refuse(node, where, f"axis {axis} does not exist in {len(found)} dimensions")
    if axis < len(found) and all(size == 1 for size in found[axis + 1 :]):
        node.attributes["axis"] = ir.AttrInt64("axis", axis)
        return
    name, op_type, target = node.name or node.op_type, node.op_type, node.graph
    assert target is not None  # a node under conversion is in a graph
    flat = new_node(node, "Flatten", [source], {"axis": axis}, name=f"{name}_flatten", dtype=source.dtype)
    inner = new_node(node, op_type, [flat], {"axis": 1}, name=f"{name}_flat", dtype=source.dtype)
    shape = new_node(node, "Shape", [source], name=f"{name}_shape", dtype=ir.DataType.INT64)
    become(node, "Reshape", [inner, shape], {"allowzero": 0})


def _group_norm(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """GroupNormalization: scale and bias are per channel (21), not per group."""
    found, groups = dims(node.inputs[0]), int(attribute(node, "num_groups", 1))
    for index in (1, 2):
        array = constant(node.inputs[index])
        if array is None or found is None or not isinstance(found[1], int) or groups < 1 or found[1] % groups:
            raise _refuse(node, where, "its scale and bias are not constant, or its channels are unknown")
        wide = np.repeat(array, found[1] // groups)
        node.replace_input_with(index, add_initializer(graph, wide, f"{node.name}_{index}"))


def _grid_sample(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """GridSample: modes have new names (20)."""
    mode = str(attribute(node, "mode", "bilinear"))
    node.attributes["mode"] = ir.AttrString("mode", {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode))


def _roi_align(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """RoiAlign: the old coordinates are called output_half_pixel (16)."""
    if "coordinate_transformation_mode" not in node.attributes:
        name = "coordinate_transformation_mode"
        node.attributes[name] = ir.AttrString(name, "output_half_pixel")


def _scatter(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """Scatter is called ScatterElements (11)."""
    become(node, "ScatterElements", list(node.inputs), {"axis": int(attribute(node, "axis", 0))})


def _scan(node: ir.Node, graph: ir.Graph, where: str) -> None:
    """Scan: another operator below 9."""
    raise _refuse(node, where, "Scan was redefined in opset 9")


RULES: Rules = {
    "BatchNormalization": ((14, _batch_norm),),
    "Clip": ((11, _clip),),
    "DFT": ((20, _dft),),
    "Dropout": ((12, _dropout),),
    "GridSample": ((20, _grid_sample),),
    "Pad": ((11, _pad),),
    "ReduceSum": ((13, _axes),),
    "Resize": ((11, _resize), (13, _resize_11)),
    "RoiAlign": ((16, _roi_align),),
    "Scan": ((9, _scan),),
    "Scatter": ((21, _scatter),),
    "Slice": ((10, _slice),),
    "Split": ((18, _split),),
    "Squeeze": ((13, _axes),),
    "TopK": ((10, _top_k),),
    "Unsqueeze": ((13, _axes),),
    "Upsample": ((21, _upsample),),
    **{f"Reduce{name}": ((18, _axes),) for name in _REDUCTIONS},
}
"""Operator -> (opset below which the rule applies, rule), in the order of application."""

SHAPE_RULES: Rules = {
    "GroupNormalization": ((21, _group_norm),),
    "Hardmax": ((13, _softmax),),
    "LogSoftmax": ((13, _softmax),),
    "Softmax": ((13, _softmax),),
}
"""Rules that read shapes. They come after all others, once shapes are inferred at the canonical opset."""
