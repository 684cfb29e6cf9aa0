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
        dtype: ``"uint8"``, ``"int8"``, ``"uint16"`` or ``"int16"``.
    """

    scale: float
    zero_point: int
    dtype: str

    @property
    def reach(self) -> tuple[int, int]:
        """Least and greatest ``q - zero_point``."""
        limits = np.iinfo(self.dtype)
        return int(limits.min) - self.zero_point, int(limits.max) - self.zero_point


def scheme_of(low: float, high: float, activations: str) -> str:
    """Which of the three schemes a range gets: ``"unsigned"``, ``"symmetric"`` or ``"asymmetric"``.

    Args:
        low: least value of the tensor.
        high: greatest value.
        activations: see :class:`~sliceflow.quantization.options.QuantizationOptions`.
    """
    if activations in ("int8", "int16"):
        return "symmetric"
    if low >= 0:
        return "unsigned"
    if activations in ("uint8", "uint16"):
        return "asymmetric"
    lopsided = max(high, 0.0) - low < _LOPSIDED * 2 * max(-low, high)
    return "asymmetric" if activations == "auto" and lopsided else "symmetric"


def bits_of(activations: str) -> int:
    """Bits of an activation in a scheme of :class:`~sliceflow.quantization.options.QuantizationOptions`."""
    return 16 if activations in ("int16", "uint16") else 8


def affine(low: float, high: float, activations: str) -> Affine:
    """Scale and zero point that cover ``[low, high]`` and hold 0 exactly.

    Signed tensors of N bits use the codes ``-(2^(N-1) - 1)`` to ``2^(N-1) - 1``, unsigned ones 0 to ``2^N - 1``. (The
    thesis prints ``-2^(N-1) - 1`` = -129 as the least signed code of eight bits, as the N2D2 manual does; the text
    around it describes the symmetric range, so this is ``-(2^(N-1) - 1)``.) A range without extent gets the scale 1.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    bits = bits_of(activations)
    if low == high:
        return Affine(1.0, 0, activations if activations == f"int{bits}" else f"uint{bits}")
    scheme = scheme_of(low, high, activations)
    codes = levels(scheme, bits)
    if scheme == "symmetric":
        return Affine(_float32(max(-low, high) / (codes // 2)), 0, f"int{bits}")
    scale = _float32((high - low) / codes)
    zero = min(codes, max(0, round(-low / scale)))
    return Affine(scale, zero, f"uint{bits}")


def levels(scheme: str, bits: int) -> int:
    """Steps from the least to the greatest code of a scheme."""
    return (1 << bits) - (2 if scheme == "symmetric" else 1)


def _float32(scale: float) -> float:
    return float(np.float32(max(scale, LEAST_SCALE)))
