"""Channel shuffles."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sliceflow.passes.base import Pass
from sliceflow.passes.channels import channels
from sliceflow.passes.edit import add_initializer, become, drop_unread
from sliceflow.passes.view import attribute, dims, graph_of, is_op, sole_producer


class ShuffleToGather(Pass):
    """A channel shuffle becomes one Gather along the channels, which also works when some of them are gone.

    The shuffle is Reshape to ``[N, a, b, H, W]`` or ``[N, a, b, H*W]``, Transpose of axes 1 and 2, Reshape to
    ``[N, a*b, H, W]``, with nobody else reading the tensors between.
    """

    name = "shuffle-to-gather"
    summary = "write Reshape-Transpose-Reshape channel shuffles as Gather"

    def rewrite(self, node: ir.Node) -> bool:
        """Rewrite the last Reshape of a shuffle."""
        transpose = sole_producer(node.inputs[0], "Transpose") if is_op(node, "Reshape") else None
        split = sole_producer(transpose.inputs[0], "Reshape") if transpose is not None else None
        if transpose is None or split is None or split.inputs[0] is None:
            return False
        source = split.inputs[0]
        before, middle, after = dims(source), dims(split.outputs[0]), dims(node.outputs[0])
        count = channels(source)
        if before is None or middle is None or before != after or None in before or count is None:
            return False
        rest = tuple(range(3, len(middle)))
        if attribute(transpose, "perm") != [0, 2, 1, *rest] or middle[0] != before[0]:
            return False
        if not isinstance(middle[1], int) or not isinstance(middle[2], int) or middle[1] * middle[2] != count:
            return False
        order = np.arange(count).reshape(middle[1], middle[2]).T.reshape(-1)
        graph, targets = graph_of(node), (split.inputs[1], node.inputs[1])
        become(node, "Gather", [source, add_initializer(graph, order, f"{node.name}_order")], {"axis": 1})
        for dead in (transpose, split):
            graph.remove(dead, safe=True)
        drop_unread(graph, *targets)
        return True
