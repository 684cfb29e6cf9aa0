"""Constant folding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.passes.base import Pass
from sliceflow.passes.edit import drop_unread, replace_by_constant
from sliceflow.passes.evaluate import evaluate, evaluates
from sliceflow.passes.view import constant, dims, graph_of, is_op, static_shape

MAX_TOTAL_BYTES = 4 << 30
"""Bytes of constants that folding may add to one model, views counted in full."""


class FoldConstants(Pass):
    """Nodes that read only constants become initializers.

    1. A Constant node, whatever attribute holds its value.
    2. A node of ``evaluate``'s operators whose inputs are all initializers. DequantizeLinear is not among them: it
       carries the quantization of a weight.
    3. Shape and Size of a tensor of known shape; Shape also if only its part from ``start`` to ``end`` is known.

    Raises:
        UserError: the results are too large in sum.
    """

    name = "fold-constants"
    summary = "compute what depends only on constants (DequantizeLinear of weights stays)"

    def begin(self, model: ir.Model) -> None:
        """Start counting bytes."""
        self._bytes = 0

    def ensures(self, model: ir.Model) -> None:
        """No Constant node is left in the main graph."""
        left = [node.name for node in model.graph if is_op(node, "Constant")]
        if left:
            raise ir.passes.PostconditionError(f"Constant nodes are left: {left[:5]}")

    def rewrite(self, node: ir.Node) -> bool:
        """Fold one node."""
        if node.domain != "":
            return False
        arrays = _known_shape(node)
        if arrays is None:
            try:
                arrays = self._values(node)
            except UserError as error:
                error.where = error.where or f"node {node.name} ({node.op_type})"
                raise
        if arrays is None:
            return False
        self._bytes += sum(array.nbytes for array in arrays)
        if self._bytes > MAX_TOTAL_BYTES:
            raise UserError(
                f"the constants of the model need more than {MAX_TOTAL_BYTES >> 30} GiB",
                where=f"node {node.name} ({node.op_type})",
                fix="store the weights in the model instead of computing them",
            )
        inputs, graph = list(node.inputs), graph_of(node)
        for index, array in enumerate(arrays[: len(node.outputs)]):
            if node.outputs[index].uses() or node.outputs[index].is_graph_output():
                replace_by_constant(node, array, output=index)
        graph.remove(node, safe=True)
        drop_unread(graph, *inputs)
        return True

    def _values(self, node: ir.Node) -> tuple[NDArray[Any], ...] | None:
        if not evaluates(node.op_type):
            return None
        inputs = list(node.inputs)
        while inputs and inputs[-1] is None:
            inputs.pop()
        arrays = [constant(value) for value in inputs]
        known = [array for array in arrays if array is not None]
        results = evaluate(node, known) if len(known) == len(arrays) else None
        if results is None or any(output.uses() for output in node.outputs[len(results) :]):
            return None
        return results


def _known_shape(node: ir.Node) -> tuple[NDArray[Any], ...] | None:
    """Rule 3."""
    if is_op(node, "Size"):
        shape = static_shape(node.inputs[0])
        return None if shape is None else (np.array(math.prod(shape), np.int64),)
    if not is_op(node, "Shape"):
        return None
    found = dims(node.inputs[0])
    if found is None:
        return None
    part = found[node.attributes.get_int("start", 0) : node.attributes.get_int("end", len(found))]
    return (np.array(part, np.int64),) if all(isinstance(size, int) for size in part) else None
