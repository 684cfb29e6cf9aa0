"""From a range of real values to a scale and a zero point."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

LEAST_SCALE = math.ldexp(1.0, -100)
"""Activation scales below this are raised to it: products with weight scales then stay normal float32 numbers."""
_LOPSIDED = 0.75
"""Share of the symmetric range below which ``auto`` takes a zero point."""


@dataclasses.dataclass(frozen=True)
class Affine:
    """How a tensor is stored: ``real = scale * (q - zero_point)``.

    Attributes:
        scale: a float32 value, over zero.
        zero_point: integer that stands for 0.
        dtype: ``"uint8"`` or ``"int8"``.
    """

    scale: float
    zero_point: int
    dtype: str


def scheme_of(low: float, high: float, activations: str) -> str:
    """Which of the three schemes a range gets: ``"unsigned"``, ``"symmetric"`` or ``"asymmetric"``.

    Args:
        low: least value of the tensor.
        high: greatest value.
        activations: see :class:`~sliceflow.quantization.options.QuantizationOptions`.
    """
    if activations == "int8":
        return "symmetric"
    if low >= 0:
        return "unsigned"
    if activations == "uint8":
        return "asymmetric"
    lopsided = max(high, 0.0) - low < _LOPSIDED * 2 * max(-low, high)
    return "asymmetric" if activations == "auto" and lopsided else "symmetric"


def affine(low: float, high: float, activations: str) -> Affine:
    """Scale and zero point that cover ``[low, high]`` and hold 0 exactly.

    Signed tensors use the codes -127..127, unsigned ones 0..255. (The thesis prints ``-2^(N-1) - 1`` = -129 as the
    least signed code, as the N2D2 manual does; the text around it describes the symmetric range, so this is
    ``-(2^(N-1) - 1)``.) A range without extent gets the scale 1.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return Affine(1.0, 0, "int8" if activations == "int8" else "uint8")
    scheme = scheme_of(low, high, activations)
    if scheme == "symmetric":
        return Affine(_float32(max(-low, high) / 127), 0, "int8")
    scale = _float32((high - low) / 255)
    zero = min(255, max(0, round(-low / scale)))
    return Affine(scale, zero, "uint8")


def _float32(scale: float) -> float:
    return float(np.float32(max(scale, LEAST_SCALE)))
