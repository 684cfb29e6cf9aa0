"""Weights and biases as integers, so that no sum can leave the int32 accumulator."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.sqnr import sqnr_db

WEIGHT_MAX = {"int8": 127, "int4": 7}
"""Greatest code of a weight; the least is its negative, which keeps 0 in the middle and products narrow."""
_ACCUMULATOR_MAX = 2**31 - 1
_ANY_BYTE = (-255, 255)
"""Bound on ``q - zero_point`` of an 8-bit activation, in either representation."""
_SHARES = np.linspace(1.0, 0.5, 26)
"""Shares of the extreme weight that four-bit weights may be clipped to."""
_PART = 1 << 20
"""Weights that are quantized at a time."""
_LEAST_RATIO = 2.0**-38
"""Least ``s_x * s_w / s_y``. Below it, even a full accumulator is far under half a step of the output."""


@dataclasses.dataclass(frozen=True)
class QuantizedWeights:
    """Integer weights and bias of one layer, output channels first.

    Attributes:
        weights: int8 numbers, shape (O, ...); ``real = scale[o] * q``.
        dtype: the type to store them as, ``"int8"`` or ``"int4"``.
        scale: float32, shape (O,), over zero.
        bias: int32, shape (O,), at scale ``x_scale * scale[o]``; None without a bias.
        raised: channels whose scale was raised to make bias and sum fit.
        accumulator_bits: bits, with sign, of the largest possible sum.
    """

    weights: NDArray[np.int8]
    dtype: str
    scale: NDArray[np.float32]
    bias: NDArray[np.int32] | None
    raised: tuple[int, ...]
    accumulator_bits: int


def quantize_weights(
    weights: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
    x_scale: float,
    y_scale: float,
    *,
    dtype: str = "int8",
    reach: tuple[int, int] = _ANY_BYTE,
    where: str = "layer",
) -> QuantizedWeights:
    """Quantize one layer, symmetric, one scale for each output channel.

    The scale is ``max|w| / 127``, rounded to float32; four-bit weights take the share of ``max|w| / 7`` that has the
    least squared error. A channel without weights takes the median of the others, so
    that its bias keeps the layer's resolution. A scale grows only where the bias or the largest possible sum would
    not fit 32 bits, or where ``x_scale * scale`` would be too small to matter or to be a normal float32.

    Args:
        weights: finite float32 weights, shape (O, ...).
        bias: finite float32 bias, shape (O,), or None.
        x_scale: scale of the layer's input.
        y_scale: scale at which the accumulator is requantized.
        dtype: ``"int8"`` or ``"int4"``.
        reach: least and greatest ``q - zero_point`` of the layer's input.
        where: the layer, for error messages.

    Raises:
        UserError: a bias is so large against the input that no float32 scale brings it into 32 bits.
    """
    channels = weights.shape[0]
    flat = weights.reshape(channels, -1)
    extreme = np.maximum(flat.max(axis=1, initial=0), -flat.min(axis=1, initial=0)).astype(np.float64)
    live = extreme > 0
    wanted = extreme / WEIGHT_MAX[dtype] if dtype == "int8" else _clipped(flat, extreme, WEIGHT_MAX[dtype])
    wanted[~live] = np.median(wanted[live]) if live.any() else 1.0
    tiny = float(np.finfo(np.float32).tiny)
    scale = np.maximum(wanted, max(max(_LEAST_RATIO * y_scale, tiny) / x_scale, tiny))
    steps = np.empty(flat.shape, np.int8)
    offset = np.zeros(channels) if bias is None else bias.astype(np.float64)
    bound = np.zeros(channels)
    for part in _parts(flat):
        scale[part], steps[part], bound[part] = _fit(
            flat[part], offset[part], scale[part], x_scale, WEIGHT_MAX[dtype], reach
        )
    _check_scales(scale, offset, x_scale, where)
    raised = np.flatnonzero(live & (scale > wanted * (1 + 1e-6)))
    return QuantizedWeights(
        weights=steps.reshape(weights.shape),
        dtype=dtype,
        scale=scale.astype(np.float32),
        bias=None if bias is None else np.rint(offset / _bias_scale(x_scale, scale)).astype(np.int32),
        raised=tuple(int(channel) for channel in raised),
        accumulator_bits=int(bound.max(initial=0)).bit_length() + 1,
    )


def _check_scales(scale: NDArray[np.float64], offset: NDArray[np.float64], x_scale: float, where: str) -> None:
    beyond = np.flatnonzero(~np.isfinite(scale))
    if beyond.size:
        raise UserError(
            "a bias is too large for integers",
            where=f"{where}, output channel {beyond[0]}, bias {offset[beyond[0]]:g}",
            why=f"the layer's input has steps of {x_scale:g}",
            fix="check the model, or leave this layer out of quantization",
        )


def _parts(flat: NDArray[np.generic]) -> list[slice]:
    """Runs of channels, so that float64 copies of large layers never exist as a whole."""
    rows = max(1, _PART // max(1, flat.shape[1]))
    return [slice(start, start + rows) for start in range(0, flat.shape[0], rows)]


def _clipped(flat: NDArray[np.float32], extreme: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """For each channel the scale, at most ``extreme / most``, with the least squared error."""
    best = extreme / most
    for part in _parts(flat):
        real, widest = flat[part].astype(np.float64), np.where(extreme[part] > 0, extreme[part], 1.0) / most
        least = np.full(len(real), np.inf)
        for share in _SHARES:
            scale = share * widest[:, None]
            error = np.square(real - scale * np.clip(np.rint(real / scale), -most, most)).sum(axis=1)
            better = error < least
            least[better], best[part][better] = error[better], (share * extreme[part] / most)[better]
    return best


def _fit(
    flat: NDArray[np.float32],
    offset: NDArray[np.float64],
    scale: NDArray[np.float64],
    x_scale: float,
    most: int,
    reach: tuple[int, int],
) -> tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.float64]]:
    """Scales (float32 values), weights and largest sums of some channels, raised until 32 bits hold the sums."""
    while True:
        with np.errstate(over="ignore"):
            scale = scale.astype(np.float32).astype(np.float64)
        steps = np.clip(np.rint(flat / scale[:, None]), -most, most)
        positive, negative = np.maximum(steps, 0).sum(axis=1), np.maximum(-steps, 0).sum(axis=1)
        low, high = reach
        sums = np.maximum(positive * high - negative * low, negative * high - positive * low)
        bound = sums + np.abs(np.rint(offset / _bias_scale(x_scale, scale)))
        over = bound > _ACCUMULATOR_MAX
        if not over.any():
            return scale, steps.astype(np.int8), bound
        scale[over] *= 1.001 * bound[over] / _ACCUMULATOR_MAX


def bias_scale(x_scale: float, weight_scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scale of the bias, ``s_x * s_w[o]``, rounded to float32 as ONNX stores it; shape (O,)."""
    return _bias_scale(x_scale, weight_scale.astype(np.float64)).astype(np.float32)


def _bias_scale(x_scale: float, weight_scale: NDArray[np.float64]) -> NDArray[np.float64]:
    return (x_scale * weight_scale).astype(np.float32).astype(np.float64)


def snr_db(real: NDArray[np.float32], quantized: QuantizedWeights) -> float | None:
    """Signal to noise ratio of quantized weights in dB; None if they are exact or all zero."""
    signal = noise = 0.0
    scale = quantized.scale.astype(np.float64)[:, None]
    flat, steps = real.reshape(real.shape[0], -1), quantized.weights.reshape(real.shape[0], -1)
    for part in _parts(flat):
        signal += float(np.square(flat[part], dtype=np.float64).sum())
        noise += float(np.square(flat[part] - steps[part] * scale[part]).sum())
    return sqnr_db(signal, noise)
