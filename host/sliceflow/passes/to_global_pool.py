"""Pools over the whole map."""

from __future__ import annotations

import onnx_ir as ir

from sliceflow.passes.base import Pass
from sliceflow.passes.edit import become, new_node
from sliceflow.passes.view import attribute, axis_of, dims, input_at, integers, is_op, rank

_GLOBAL = {"ReduceMean": "GlobalAveragePool", "ReduceMax": "GlobalMaxPool"}
_WINDOWED = {"AveragePool": "GlobalAveragePool", "MaxPool": "GlobalMaxPool"}


class ToGlobalPool(Pass):
    """Reductions and pools over the whole map become GlobalAveragePool and GlobalMaxPool.

    1. ReduceMean, ReduceMax of a rank 4 float tensor over axes 2 and 3, in any order and sign, with keepdims.
    2. The same without keepdims: the global pool and a Flatten(axis=1).
    3. AveragePool, MaxPool with the window as large as the (known) map, and no padding.
    """

    name = "to-global-pool"
    summary = "write ReduceMean/ReduceMax over H, W and pools over the whole map as global pools"

    def rewrite(self, node: ir.Node) -> bool:
        """Rewrite one node."""
        source = input_at(node, 0)
        if source is None or rank(source) != 4:
            return False
        if is_op(node, *_GLOBAL) and source.dtype in (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE):
            axes = integers(input_at(node, 1))
            if axes is None or sorted(axis_of(axis, 4) for axis in axes) != [2, 3]:
                return False
            if attribute(node, "keepdims", 1):
                become(node, _GLOBAL[node.op_type], [source])
                return True
            pooled = new_node(node, _GLOBAL[node.op_type], [source], name=f"{node.name}_pool", dtype=source.dtype)
            pooled.shape = ir.Shape([*(dims(source) or ())[:2], 1, 1])
            become(node, "Flatten", [pooled], {"axis": 1})
            return True
        if is_op(node, *_WINDOWED) and len(node.outputs) == 1 and _whole_map(node, source):
            become(node, _WINDOWED[node.op_type], [source])
            return True
        return False


def _whole_map(node: ir.Node, source: ir.Value) -> bool:
    """Rule 3."""
    found, kernel = dims(source), attribute(node, "kernel_shape")
    if found is None or kernel is None or list(found[2:]) != kernel or "auto_pad" in node.attributes:
        return False
    return not any(attribute(node, "pads", [0])) and all(size == 1 for size in attribute(node, "dilations", [1]))
