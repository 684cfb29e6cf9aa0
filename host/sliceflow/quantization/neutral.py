"""A float model as quantization would leave it, but for the numbers: what decides where its nodes can run.

No calibration, no sample, no weight: every scale that could differ does, every weight is zero. Where a layer runs
depends on neither (the ranges of a quantized model that do matter are chosen so that they do not).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from sliceflow.quantization.access import layer_constants, operand
from sliceflow.quantization.options import QuantizationOptions
from sliceflow.quantization.placement import place
from sliceflow.quantization.quantizer import check_float
from sliceflow.quantization.rewrite import Rewriter
from sliceflow.quantization.scales import affine
from sliceflow.quantization.weights import QuantizedWeights

_WEIGHT_SCALE = 2.0**-7
_APART = 2.0**-12
"""By what share the ranges of two tensors differ: enough that no two scales are equal."""


def quantize_neutrally(
    model: ir.Model, options: QuantizationOptions | None = None, *, cpu_nodes: Collection[str] = ()
) -> ir.Model:
    """Put quantization points and integer weights that mean nothing into a copy of a float model.

    Args:
        model: as ``quantize`` takes it; it is not changed.
        options: types of activations and weights, and nodes that stay float.
        cpu_nodes: names of further nodes that stay float.

    Raises:
        UserError: as ``quantize`` does, as far as the model alone is the reason.
    """
    options = options or QuantizationOptions()
    check_float(model, options)
    work = model.clone()
    placement = place(work.graph, options.exclude | frozenset(cpu_nodes))
    leaders = dict.fromkeys(placement.groups.leader(value) for value in placement.points)
    parameters = {}
    for number, leader in enumerate(leaders):
        reach = 1.0 + number * _APART
        parameters[leader] = affine(-reach, reach, options.activations)
    rewriter = Rewriter(work.graph, placement, parameters)
    for layer in placement.layers:
        source = parameters[placement.groups.leader(operand(layer, 0))]
        axis, weights, bias = layer_constants(layer)
        rewriter.add_weights(layer, _zeros(weights.shape, bias is not None, options.weights), source.scale, axis)
    rewriter.add_points()
    return work


def _zeros(shape: tuple[int, ...], biased: bool, dtype: str) -> QuantizedWeights:
    return QuantizedWeights(
        weights=np.zeros(shape, np.int8),
        dtype=dtype,
        scale=np.full(shape[0], _WEIGHT_SCALE, np.float32),
        bias=np.zeros(shape[0], np.int32) if biased else None,
        raised=(),
        accumulator_bits=1,
    )
