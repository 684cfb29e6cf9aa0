"""Channels that nobody needs are cut out."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from sliceflow.passes.base import Pass
from sliceflow.passes.channels import Closure, needed
from sliceflow.passes.channels.table import rule_of


class RemoveChannels(Pass):
    """Channels that no output of the model depends on are removed, from the layer that makes them to its readers.

    A channel is needed if a layer that is needed itself has a non-zero weight for it, or a node that is not understood
    reads it. Channels that are coupled, through residual sums, concatenations, groups, reshapes, go only together: what
    one branch needs, the others keep. Inputs and outputs of the model keep their shapes, and every tensor at least one
    channel. Values of other channels do not change.

    Args:
        multiple: keep so many more channels of each layer that their number is a multiple of this, where there are
            enough. Kernels that work on blocks of channels may need it to be fast.
    """

    name = "remove-channels"
    summary = "cut channels that no output depends on out of all layers"

    def __init__(self, multiple: int = 1) -> None:
        super().__init__()
        self._multiple = multiple

    def begin(self, model: ir.Model) -> None:
        """Find what stays."""
        common.RemoveUnusedNodesPass()(model)  # a dead branch must not hold channels
        self._keep = needed(model.graph)
        Closure(model.graph, self._keep).align(self._multiple)
        # Rules read the shapes of tensors, so they are settled before the first is changed.
        self._rules = {node: rule_of(node) for node in model.graph}

    def rewrite(self, node: ir.Node) -> bool:
        """Slice the constants of one node."""
        partial = [
            value
            for value in (*node.inputs, *node.outputs)
            if value is not None and len(self._keep[value]) and not self._keep[value].all()
        ]
        if partial:
            self._rules[node].cut(node, self._keep)
        return bool(partial)

    def finish(self, model: ir.Model) -> None:
        """Write the new shapes: the rules needed the old ones until now."""
        for value, mask in self._keep.items():
            if value.shape is not None and len(mask) and not mask.all():
                sizes = list(value.shape)
                sizes[1] = int(np.count_nonzero(mask))
                value.shape = ir.Shape(sizes)
