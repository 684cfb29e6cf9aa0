"""Weights that are integers already, times a power of two."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.quantization.access import constant, constant_array, operand

CODE_MAX = 127
"""Greatest magnitude of an exported weight; the least code, -128, is taken as well."""
_BIAS_MAX = 2**31 - 1
LAYERS = ("Conv", "Gemm")
_GLANCE = 1024
"""Weights that are looked at first."""


@dataclasses.dataclass(frozen=True)
class Codes:
    """A layer's weights as integers: ``real = codes * scale[o]``, ``bias real = bias * scale[o]``, nothing lost.

    Attributes:
        codes: int64 ``[O, ...]``, output channels first, -128 to 127.
        bias: int64 ``[O]``.
        scale: float64 ``[O]``, powers of two; at most 1 where the codes allow it.
        axis: axis of the output channels in the layer's own weights.
    """

    codes: NDArray[np.int64]
    bias: NDArray[np.int64]
    scale: NDArray[np.float64]
    axis: int


def codes_of(layer: ir.Node) -> Codes | None:
    """The integers of a Conv or canonical Gemm with constant float weights; None if they are none of 8 bits.

    Normalization folds an exporter's division by a power of two into the weights, so each output channel may have a
    power of two of its own.
    """
    if layer.domain or layer.op_type not in LAYERS or constant(layer.inputs[1]) is None:
        return None
    weights = constant_array(operand(layer, 1))
    if weights.dtype != np.float32 or weights.ndim < 2 or not weights.size:
        return None
    if not _are_codes(weights.reshape(-1)[:_GLANCE]):
        return None  # most networks: seen without a pass over all weights
    axis = 1 if layer.op_type == "Gemm" and not layer.attributes.get_int("transB", 0) else 0
    weights = weights if axis == 0 else np.ascontiguousarray(weights.T)
    flat = weights.reshape(weights.shape[0], -1).astype(np.float64)
    bias = np.zeros(len(flat))
    if len(layer.inputs) > 2 and layer.inputs[2] is not None:
        if constant(layer.inputs[2]) is None:
            return None
        given = constant_array(layer.inputs[2]).astype(np.float64).reshape(-1)
        if given.size not in (1, len(flat)):
            return None
        bias = np.broadcast_to(given, bias.shape)
    if not (np.isfinite(flat).all() and np.isfinite(bias).all()):
        return None
    lowest = np.minimum(_lowest_bit(flat).min(axis=1), _lowest_bit(bias))
    exponent = np.minimum(lowest, 0)
    too_large = np.abs(flat).max(axis=1) * np.exp2(-exponent) > CODE_MAX + 1
    exponent = np.where(too_large, lowest, exponent)
    scale = np.exp2(exponent)
    codes, offset = flat / scale[:, None], bias / scale
    if codes.max() > CODE_MAX or codes.min() < -CODE_MAX - 1 or np.abs(offset).max() > _BIAS_MAX:
        return None
    return Codes(codes.astype(np.int64).reshape(weights.shape), offset.astype(np.int64), scale, axis)


def _are_codes(values: NDArray[np.generic]) -> bool:
    """Whether each number by itself is an integer of 8 bits times a power of two."""
    real = values.astype(np.float64)
    return bool(np.isfinite(real).all() and (np.abs(real) <= np.exp2(_lowest_bit(real)) * (CODE_MAX + 1)).all())


def are_telling(found: Codes) -> bool:
    """Whether such weights hardly come from a float network: more distinct integers than a fixed filter has."""
    return np.unique(found.codes).size >= 8


def _lowest_bit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each number the exponent of its lowest set bit; 0 for zero."""
    mantissa, exponent = np.frexp(values)
    whole = np.abs(mantissa * 2.0**53).astype(np.uint64)
    lowest = np.log2((whole & (~whole + np.uint64(1))).astype(np.float64), where=whole > 0, out=np.zeros(values.shape))
    return np.where(whole > 0, exponent - 53 + lowest, 0.0)
