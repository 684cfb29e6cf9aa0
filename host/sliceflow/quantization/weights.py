"""Weights and biases as integers, so that no sum can leave the int32 accumulator."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

WEIGHT_MAX = 127
"""Weights use the codes -127..127, which keeps 0 in the middle and every product in 16 bits."""
_ACCUMULATOR_MAX = 2**31 - 1
_ACTIVATION_SPAN = 256
"""Bound on ``|q - zero_point|`` of an 8-bit activation, in either representation."""
_LEAST_RATIO = 2.0**-38
"""Least ``s_x * s_w / s_y``. Below it, even a full accumulator is far under half a step of the output."""


@dataclasses.dataclass(frozen=True)
class QuantizedWeights:
    """Integer weights and bias of one layer, output channels first.

    Attributes:
        weights: int8, shape (O, ...); ``real = scale[o] * q``.
        scale: float32, shape (O,), over zero.
        bias: int32, shape (O,), at scale ``x_scale * scale[o]``; None without a bias.
        raised: channels whose scale was raised to make bias and sum fit.
        accumulator_bits: bits, with sign, of the largest possible sum.
    """

    weights: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.int32] | None
    raised: tuple[int, ...]
    accumulator_bits: int


def quantize_weights(
    weights: NDArray[np.float32], bias: NDArray[np.float32] | None, x_scale: float, y_scale: float
) -> QuantizedWeights:
    """Quantize one layer, symmetric, one scale for each output channel.

    The scale is ``max|w| / 127``, rounded to float32; a channel without weights takes the median of the others, so
    that its bias keeps the layer's resolution. A scale grows only where the bias or the largest possible sum would
    not fit 32 bits, or where ``x_scale * scale`` would be too small to matter or to be a normal float32.

    Args:
        weights: finite float32 weights, shape (O, ...).
        bias: finite float32 bias, shape (O,), or None.
        x_scale: scale of the layer's input.
        y_scale: scale at which the accumulator is requantized.
    """
    channels = weights.shape[0]
    flat = weights.reshape(channels, -1).astype(np.float64)
    offset = np.zeros(channels) if bias is None else bias.astype(np.float64)
    extreme = np.abs(flat).max(axis=1, initial=0.0)
    live = extreme > 0
    wanted = extreme / WEIGHT_MAX
    wanted[~live] = np.median(wanted[live]) if live.any() else 1.0
    least = max(_LEAST_RATIO * y_scale, float(np.finfo(np.float32).tiny)) / x_scale
    scale = np.maximum(wanted, max(least, float(np.finfo(np.float32).tiny)))
    while True:
        scale = scale.astype(np.float32).astype(np.float64)
        steps = np.clip(np.rint(flat / scale[:, None]), -WEIGHT_MAX, WEIGHT_MAX)
        bias_steps = np.rint(offset / _bias_scale(x_scale, scale))
        bound = np.abs(steps).sum(axis=1) * _ACTIVATION_SPAN + np.abs(bias_steps)
        over = bound > _ACCUMULATOR_MAX
        if not over.any():
            break
        scale[over] *= 1.001 * bound[over] / _ACCUMULATOR_MAX
    raised = np.flatnonzero(live & (scale > wanted * (1 + 1e-6)))
    return QuantizedWeights(
        weights=steps.astype(np.int8).reshape(weights.shape),
        scale=scale.astype(np.float32),
        bias=None if bias is None else bias_steps.astype(np.int32),
        raised=tuple(int(channel) for channel in raised),
        accumulator_bits=int(bound.max(initial=0)).bit_length() + 1,
    )


def bias_scale(x_scale: float, weight_scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scale of the bias, ``s_x * s_w[o]``, rounded to float32 as ONNX stores it; shape (O,)."""
    return _bias_scale(x_scale, weight_scale.astype(np.float64)).astype(np.float32)


def _bias_scale(x_scale: float, weight_scale: NDArray[np.float64]) -> NDArray[np.float64]:
    return (x_scale * weight_scale).astype(np.float32).astype(np.float64)


def snr_db(real: NDArray[np.float32], quantized: QuantizedWeights) -> float | None:
    """Signal to noise ratio of quantized weights in dB; None if they are exact or all zero."""
    scale = quantized.scale.astype(np.float64).reshape(-1, *[1] * (real.ndim - 1))
    signal = float(np.square(real, dtype=np.float64).sum())
    noise = float(np.square(real - quantized.weights * scale).sum())
    return 10 * float(np.log10(signal / noise)) if signal > 0 and noise > 0 else None
