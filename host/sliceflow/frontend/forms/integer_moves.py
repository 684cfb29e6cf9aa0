"""Operators that move or select values, on integers.

Files of operator-oriented quantization have them there, since they need no scale.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sliceflow.frontend.forms.form import Form, nodes
from sliceflow.frontend.forms.qdq import dequantize
from sliceflow.passes.edit import add_initializer, unique_name
from sliceflow.passes.view import attribute, constant, graph_of, input_at, is_op, scalar

_MOVES = frozenset(
    {"Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "Reshape", "Resize"}
    | {"Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"}
)
_Grid = tuple[ir.Value, ir.Value]
"""Scale and zero point."""


class IntegerMoves(Form):
    """They are put between DequantizeLinear and QuantizeLinear of the same scale and zero point: no value changes.

    The grid is that of the QuantizeLinear that made their input, or of the DequantizeLinear that reads their output.
    """

    name = "integer-moves"
    summary = "pools, reshapes, concatenations ... of integers are put between DequantizeLinear and QuantizeLinear"

    @classmethod
    def note(cls, count: int) -> str:
        """One sentence for the user."""
        return f"operators that move quantized values work between DequantizeLinear and QuantizeLinear: {nodes(count)}"

    def rewrite(self, node: ir.Node) -> bool:
        """Rewrite one node."""
        if not is_op(node, *_MOVES) or (is_op(node, "Resize") and attribute(node, "mode", "nearest") != "nearest"):
            return False
        count = len(node.inputs) if is_op(node, "Concat") else 1
        data = [value for value in node.inputs[:count] if value is not None]
        if len(data) != count or any(constant(value) is not None for value in data):
            return False
        grids = [_made(value) for value in data]
        grid = grids[0] if grids[0] is not None else _read(node) if count == 1 else None
        if grid is None or any(other is not None and not _same(grid, other) for other in grids) or None in grids[1:]:
            return False
        return _move(node, count, grid)


def _made(value: ir.Value) -> _Grid | None:
    producer = value.producer()
    return _grid(producer) if producer is not None and is_op(producer, "QuantizeLinear") else None


def _read(node: ir.Node) -> _Grid | None:
    """The grid of all readers, if they are DequantizeLinear nodes of one grid."""
    source = node.inputs[0]
    if source is None or source.dtype not in (ir.DataType.INT8, ir.DataType.UINT8):
        return None
    grids = [_grid(reader) if is_op(reader, "DequantizeLinear") else None for reader, _ in node.outputs[0].uses()]
    first = grids[0] if grids else None
    same = first is not None and all(grid is not None and _same(first, grid) for grid in grids)
    return first if same else None


def _grid(node: ir.Node) -> _Grid | None:
    scale, zero = input_at(node, 1), input_at(node, 2)
    if scale is None or zero is None or scalar(scale) is None or scalar(zero) is None:
        return None
    return scale, zero


def _same(one: _Grid, other: _Grid) -> bool:
    return one == other or (
        scalar(one[0]) == scalar(other[0]) and scalar(one[1]) == scalar(other[1]) and (one[1].dtype == other[1].dtype)
    )


def _move(node: ir.Node, count: int, grid: _Grid) -> bool:
    if is_op(node, "MaxPool") and len(node.outputs) > 1:
        return False
    fill = input_at(node, 2) if is_op(node, "Pad") else None
    if is_op(node, "Pad") and attribute(node, "mode", "constant") == "constant":
        number = 0.0 if fill is None else scalar(fill)
        if number is None:
            return False
        scale, zero = scalar(grid[0]) or 0.0, scalar(grid[1]) or 0.0
        real = add_initializer(graph_of(node), np.array((number - zero) * scale, np.float32), f"{node.name}_fill")
        node.resize_inputs(max(3, len(node.inputs)))
        node.replace_input_with(2, real)
    for index in range(count):
        stored = node.inputs[index]
        assert stored is not None  # the caller looked
        node.replace_input_with(index, dequantize(node, stored, *grid))
    for output in node.outputs:
        _quantize_output(node, output, grid)
    return True


def _quantize_output(node: ir.Node, output: ir.Value, grid: _Grid) -> None:
    """A QuantizeLinear behind a node takes over one of its outputs, name and readers and all."""
    graph = graph_of(node)
    stored = ir.node("QuantizeLinear", [output, *grid], name=unique_name(graph, f"{output.name}_quantize"))
    result = stored.outputs[0]
    result.type, result.shape = output.type, output.shape
    output.replace_all_uses_with(result, replace_graph_outputs=True)
    stored.replace_input_with(0, output)
    result.name = output.name
    output.name = unique_name(graph, f"{node.name}_real")
    output.type = ir.TensorType(ir.DataType.FLOAT)
    graph.insert_after(node, stored)
