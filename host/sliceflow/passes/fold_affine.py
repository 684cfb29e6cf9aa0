"""Batch normalization and per-channel arithmetic, folded into the layers beside them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.passes.affine import Affine, Layer, affine_of
from sliceflow.passes.base import Pass
from sliceflow.passes.edit import drop_unread, replace
from sliceflow.passes.view import attribute, graph_of, is_op, only_consumer, rank


class FoldAffineBackward(Pass):
    """A per-channel affine node is folded into the layer that alone feeds it.

    The affine nodes are BatchNormalization, and Add, Sub, Mul, Div with a constant for each channel (or one for all).

    1. Behind Conv, ConvTranspose or canonical Gemm with float weights: weights and bias are scaled and shifted.
    2. Behind such a layer with dequantized weights: the scales of the channels are multiplied, if all factors are
       positive; the integers stay.
    """

    name = "fold-affine-backward"
    summary = "fold BatchNormalization and per-channel Mul, Add, Sub, Div into the layer before"

    def rewrite(self, node: ir.Node) -> bool:
        """Fold one affine node."""
        affine = affine_of(node)
        if affine is None or only_consumer(affine.source) is not node:
            return False
        layer = Layer.of(affine.source.producer())
        both = affine.over(layer.outputs) if layer is not None else None
        if layer is None or both is None or rank(affine.source) not in (None, layer.weights.ndim):
            return False
        graph, constants = graph_of(node), [value for value in node.inputs if value is not affine.source]
        if not layer.scale_outputs(*both):
            return False
        replace(node, affine.source)
        drop_unread(graph, *constants)
        return True


class FoldAffineForward(Pass):
    """A per-channel affine node is folded into the convolution or Gemm that alone reads it.

    1. Into a Conv with float weights and no padding: the weights of input channel c are multiplied by ``scale[c]``,
       the bias grows by the sum of weights times ``shift[c]``.
    2. Into a Conv with padding only if there is no shift: padding must read as zero on both sides.
    3. Into a canonical Gemm with float weights, like rule 1.

    A node that a layer before could take is left to fold-affine-backward.
    """

    name = "fold-affine-forward"
    summary = "fold BatchNormalization and per-channel arithmetic into the layer behind, where padding allows it"

    def rewrite(self, node: ir.Node) -> bool:
        """Fold one affine node."""
        affine = affine_of(node)
        reader = only_consumer(node.outputs[0])
        if (
            affine is None
            or reader is None
            or not is_op(reader, "Conv", "Gemm")
            or reader.inputs[0] is not node.outputs[0]
        ):
            return False
        layer = Layer.of(reader)
        if layer is None or layer.dequantize is not None or rank(affine.source) != layer.weights.ndim:
            return False
        if reader.op_type == "Conv" and (any(attribute(reader, "pads", [1])) and affine.shift.any()):
            return False
        if "auto_pad" in reader.attributes or attribute(reader, "transA", 0):
            return False
        graph, constants = graph_of(node), [value for value in node.inputs if value is not affine.source]
        if not _scale_inputs(layer, affine):
            return False
        replace(node, affine.source)
        drop_unread(graph, *constants)
        return True


def _scale_inputs(layer: Layer, affine: Affine) -> bool:
    groups = int(attribute(layer.node, "group", 1))
    weights: NDArray[np.float64] = layer.weights.astype(np.float64)
    outputs, inputs = weights.shape[:2]
    both = affine.over(inputs * groups)
    if both is None or outputs % groups:
        return False
    # Row o of these matrices is what output channel o reads: the channels of its group.
    scale, shift = (np.repeat(vector.reshape(groups, inputs), outputs // groups, axis=0) for vector in both)
    taps = tuple(range(2, weights.ndim))
    bias = layer.bias + (weights.sum(axis=taps) * shift).sum(axis=1)
    scaled = (weights * scale.reshape(outputs, inputs, *(1 for _ in taps))).astype(layer.weights.dtype)
    if not np.isfinite(scaled).all():
        return False
    layer.replace_input(1, scaled, "weight")
    layer.set_bias(bias)
    return True
