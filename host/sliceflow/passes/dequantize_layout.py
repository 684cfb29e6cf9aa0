"""Layout changes of dequantized weights."""

from __future__ import annotations

import onnx_ir as ir

from sliceflow.passes.affine import stored_weights
from sliceflow.passes.base import Pass
from sliceflow.passes.edit import add_initializer, drop_unread, new_node, replace
from sliceflow.passes.evaluate import evaluate
from sliceflow.passes.view import attribute, axis_of, constant, graph_of, is_op, scalar

_LAYOUT = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")


class DequantizeLayout(Pass):
    """A layout change of a dequantized constant is applied to its integers: DequantizeLinear stays the last step.

    1. Transpose: also with a scale for each channel; its axis moves along.
    2. Reshape, Flatten, Squeeze, Unsqueeze, Identity: with one scale.
    """

    name = "dequantize-layout"
    summary = "move Transpose and Reshape of a dequantized weight in front of its DequantizeLinear"

    def rewrite(self, node: ir.Node) -> bool:
        """Move one layout change."""
        if not is_op(node, *_LAYOUT) or node.outputs[0].is_graph_output():
            return False
        stored, dequantize = stored_weights(node.inputs[0])
        others = [constant(value) for value in node.inputs[1:]]
        if stored is None or dequantize is None or attribute(dequantize, "block_size", 0):
            return False
        known = [array for array in others if array is not None]
        attributes = {}
        if scalar(dequantize.inputs[1]) is None:
            if not is_op(node, "Transpose"):
                return False
            perm = attribute(node, "perm") or list(range(stored.ndim))[::-1]
            axis = axis_of(int(attribute(dequantize, "axis", 1)), stored.ndim)
            attributes = {"axis": perm.index(axis)}
        results = evaluate(node, [stored, *known]) if len(known) == len(others) else None
        if results is None:
            return False
        moved = results[0]
        graph, old = graph_of(node), list(node.inputs)
        data = add_initializer(graph, moved, f"{node.name}_folded")
        inputs = [data, *dequantize.inputs[1:]]
        name, dtype = f"{node.name}_dequantize", dequantize.outputs[0].dtype
        value = new_node(
            node, "DequantizeLinear", inputs, attributes, name=name, dtype=dtype, shape=ir.Shape(moved.shape)
        )
        replace(node, value)
        drop_unread(graph, *old)
        return True
