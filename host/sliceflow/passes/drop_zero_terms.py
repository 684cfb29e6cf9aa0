"""Terms of sums that are zero whatever comes in."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sliceflow.passes.base import Pass
from sliceflow.passes.channels import channels, constants
from sliceflow.passes.edit import replace
from sliceflow.passes.view import dims, is_op


class DropZeroTerms(Pass):
    """A sum of two activations becomes one of them where the other is zero in all channels, for any input.

    So a residual block whose branch was pruned as a whole goes as a whole: its layers have no readers any more.
    Otherwise one channel of each would stay, because every tensor keeps one. Only where both have the sum's shape.
    """

    name = "drop-zero-terms"
    summary = "let sums be their other operand where one is always zero"

    def begin(self, model: ir.Model) -> None:
        """Find the constants."""
        self._known = constants(model.graph)

    def rewrite(self, node: ir.Node) -> bool:
        """Replace one sum."""
        if not is_op(node, "Add"):
            return False
        shape = dims(node.outputs[0])
        for term, other in (node.inputs, reversed(node.inputs)):
            if term is None or other is None or not channels(term) or dims(term) != shape or dims(other) != shape:
                continue
            if shape is not None and None not in shape and np.all(self._known.flat(term) == 0):
                return replace(node, other)
        return False
