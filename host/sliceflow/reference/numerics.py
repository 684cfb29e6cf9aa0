"""The number formats and roundings of docs/numerics.md."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.errors import UserError

MAX_SHIFT = 62
"""Largest right shift of a product: the sum of a 63-bit value and its rounding stays inside 64 bits."""
_SIGNIFICAND_BITS = 24
_MAX_MULTIPLIER = 2**31 - 1

Integers = NDArray[np.int64]


def round_half_even_shift(values: Integers, shift: int | NDArray[Any]) -> Integers:
    """``values / 2**shift``, rounded to the nearest integer, ties to even.

    Args:
        values: int64, any shape.
        shift: 0..62, one or an array that broadcasts.

    Returns:
        int64, the broadcast shape.
    """
    shift = np.asarray(shift, np.int64)
    floor = values >> shift
    remainder = values - (floor << shift)
    half = np.int64(1) << np.maximum(shift - 1, 0)
    up = (remainder > half) | ((remainder == half) & (floor & 1 == 1))
    rounded: Integers = floor + (up & (shift > 0))
    return rounded


def rescale(values: Integers, multiplier: int | Integers, shift: int | NDArray[Any], zero: int) -> Integers:
    """``zero + values * multiplier / 2**shift`` with a whole product and one rounding; not yet clamped."""
    return zero + round_half_even_shift(values * multiplier, shift)


def wrap(values: Integers, bits: int) -> Integers:
    """The low ``bits`` bits of each value, as a signed number."""
    half = np.int64(1) << np.int64(bits - 1)
    return ((values + half) & (2 * half - 1)) - half


def fixed_point(scales: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Write float32 scales as ``multiplier * 2**-shift``.

    The multiplier is the 24-bit significand, so the pair equals the scale, except for scales so small that the shift
    would pass 62: those are rounded (ties to even) to a multiple of ``2**-62``.

    Args:
        scales: finite float32, any shape.

    Returns:
        Multipliers (int32) and shifts (uint8, 0..62) of the same shape.

    Raises:
        UserError: a scale is not finite, or 2**31 or larger.
    """
    scales = np.asarray(scales, np.float32)
    if not np.isfinite(scales).all():
        raise UserError("a scale is not a finite number", fix="quantize the model again")
    fraction, exponent = np.frexp(scales.astype(np.float64))
    significand = (fraction * 2.0**_SIGNIFICAND_BITS).astype(np.int64)
    shift = np.where(significand == 0, 0, _SIGNIFICAND_BITS - exponent.astype(np.int64))
    too_small = np.clip(shift - MAX_SHIFT, 0, MAX_SHIFT)
    multiplier = round_half_even_shift(significand, too_small) << np.clip(-shift, 0, 32)
    if (np.abs(multiplier) > _MAX_MULTIPLIER).any():
        raise UserError(
            f"a scale must be below 2**31, not {float(np.abs(scales).max()):g}",
            why="it is the ratio of an operation's scales",
            fix="quantize the model again",
        )
    return multiplier.astype(np.int32), np.clip(shift, 0, MAX_SHIFT).astype(np.uint8)


def quantize(
    real: NDArray[np.float32], scale: float | NDArray[np.float32], zero_point: int, dtype: type[np.integer[Any]]
) -> NDArray[Any]:
    """ONNX QuantizeLinear: float32 division, ties to even, saturation. Not-a-number becomes the zero point.

    Args:
        real: values, any shape.
        scale: one, or an array that broadcasts.
        zero_point: in the range of ``dtype``.
        dtype: integer type of the result, e.g. ``np.uint8``.

    Returns:
        Quantized values of type ``dtype``, the shape of ``real``.
    """
    limits = np.iinfo(dtype)
    steps = np.rint(np.asarray(real, np.float32) / np.asarray(scale, np.float32)).astype(np.float64)
    shifted = np.where(np.isnan(steps), 0.0, steps) + zero_point
    saturated: NDArray[Any] = np.clip(shifted, limits.min, limits.max).astype(dtype)
    return saturated


def dequantize(quantized: NDArray[Any], scale: float | NDArray[np.float32], zero_point: int) -> NDArray[np.float32]:
    """ONNX DequantizeLinear: ``(quantized - zero_point) * scale`` in float32."""
    return (quantized.astype(np.int32) - zero_point).astype(np.float32) * np.asarray(scale, np.float32)
