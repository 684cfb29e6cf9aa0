"""Batch normalization that stands alone."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sliceflow.passes.affine import affine_of
from sliceflow.passes.base import Pass
from sliceflow.passes.edit import add_initializer, become
from sliceflow.passes.view import constant, graph_of, is_op, rank

_WINDOW = {"kernel_shape": [1, 1], "strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0]}


class BatchNormToConv(Pass):
    """A BatchNormalization that no layer can take becomes a layer of its own.

    1. On a rank 4 tensor: a depthwise 1x1 Conv with bias, of the same name.

    Others (rank 2 and 3, statistics that are not constant) stay.
    """

    name = "batch-norm-to-conv"
    summary = "write a BatchNormalization that cannot be folded as a depthwise 1x1 Conv"

    def rewrite(self, node: ir.Node) -> bool:
        """Rewrite one BatchNormalization."""
        affine = affine_of(node) if is_op(node, "BatchNormalization") else None
        gamma = constant(node.inputs[1]) if affine is not None else None
        if affine is None or gamma is None or rank(affine.source) != 4:
            return False
        channels = gamma.size
        both = affine.over(channels)
        if both is None:
            return False
        dtype = np.dtype((node.outputs[0].dtype or affine.source.dtype or ir.DataType.FLOAT).numpy())
        scale, shift = both
        weights = add_initializer(graph_of(node), scale.astype(dtype).reshape(-1, 1, 1, 1), f"{node.name}_weight")
        bias = add_initializer(graph_of(node), shift.astype(dtype), f"{node.name}_bias")
        become(node, "Conv", [affine.source, weights, bias], {**_WINDOW, "group": channels})
        return True
