"""Constant channels move into the biases behind them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sliceflow.passes.base import Pass
from sliceflow.passes.channels import constants
from sliceflow.passes.channels.linear import Linear
from sliceflow.passes.view import is_op


class PropagateConstants(Pass):
    """A layer stops reading channels that are constant.

    A channel is constant if its producer has no non-zero weight for it, and stays so through activations, pools,
    concatenations, sums of constants ... (``sliceflow.passes.channels``).

    1. Conv without padding and Gemm, float weights: the bias grows by the constant times the sum of the weights, and
       the weights become zero.
    2. A constant of zero: the weights become zero, also with padding and in ConvTranspose.
    3. Integer weights behind DequantizeLinear: only rule 2.

    Nothing is removed: remove-channels does that, because now nobody reads the channel. Constants before padding are
    left to merge-constants.
    """

    name = "propagate-constants"
    summary = "fold constant channels into the biases of the layers that read them"

    def begin(self, model: ir.Model) -> None:
        """Find the constants."""
        self._known = constants(model.graph)

    def rewrite(self, node: ir.Node) -> bool:
        """Fold the constant inputs of one layer."""
        linear = Linear.of(node) if is_op(node, "Conv", "ConvTranspose", "Gemm") else None
        if linear is None:
            return False
        values = self._known.flat(linear.source)
        foldable = values == 0 if linear.uneven or linear.layer.dequantize is not None else ~np.isnan(values)
        read = (linear.by_group(foldable)[:, None] & linear.nonzero()).any(axis=1).reshape(-1)
        if not read.any():
            return False
        bias = linear.layer.bias + linear.sums(np.where(foldable & read, values, 0.0))
        if not np.isfinite(bias).all():
            return False
        linear.clear(read)
        if linear.layer.dequantize is None:
            linear.layer.set_bias(bias)
        return True
