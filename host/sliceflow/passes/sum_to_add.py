"""Sums of several tensors."""

from __future__ import annotations

import onnx_ir as ir

from sliceflow.passes.base import Pass
from sliceflow.passes.edit import become, new_node
from sliceflow.passes.view import is_op


class SumToAdd(Pass):
    """Sum becomes Add, which is what the accelerator and its quantizers know.

    1. Sum of two tensors is an Add under the same name.
    2. Sum of more is a chain of Adds, in the order of the inputs; the last one keeps the name.
    """

    name = "sum-to-add"
    summary = "write Sum as Add"

    def rewrite(self, node: ir.Node) -> bool:
        """Rewrite one Sum."""
        if not is_op(node, "Sum") or len(node.inputs) < 2 or None in node.inputs:
            return False
        total = node.inputs[0]
        for index, value in enumerate(node.inputs[1:-1], start=1):
            total = new_node(node, "Add", [total, value], name=f"{node.name}_{index}", dtype=node.outputs[0].dtype)
        become(node, "Add", [total, node.inputs[-1]])
        return True
