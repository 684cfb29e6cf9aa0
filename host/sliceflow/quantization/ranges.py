"""The range of an activation, from its histogram.

Three methods. ``minmax`` takes what was seen. ``percentile`` drops the rarest values. ``mse`` searches the range with
the least expected squared error between a value and its quantized form; it is the method that N2D2, the tool behind
the thesis (section 7.2.2), uses by default. N2D2's recipe has three steps: rescale the weights to [-1, 1]; rescale the
activations of each layer to [-1, 1], or [0, 1] where none is negative; quantize both, and the biases, to N bits. With
explicit scales the first two steps are a choice of units: dividing a tensor by its threshold T and quantizing to
-127..127 is the same as quantizing with the scale T / 127. So what remains of them is the choice of T, made here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sliceflow.quantization.histogram import BINS, Histogram
from sliceflow.quantization.options import QuantizationOptions
from sliceflow.quantization.scales import bits_of, levels, scheme_of

_FACTORS = 2.0 ** -(np.arange(0, 96) / 8.0)
"""Shares of the extreme value that the search tries: eight in each of twelve octaves."""
_FINE = 2.0
"""Steps narrower than so many bins are rated by the uniform-noise formula, step^2 / 12."""


def find_range(histogram: Histogram, options: QuantizationOptions) -> tuple[float, float]:
    """The range to quantize, always with 0 inside.

    Args:
        histogram: what calibration saw of one tensor.
        options: method, percentile and scheme.

    Returns:
        Least and greatest value; (0, 0) if the tensor was always zero.
    """
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    if low == high or options.method == "minmax":
        return low, high
    if options.method == "percentile":
        return _percentile(histogram, options.percentile)
    return _least_error(histogram, scheme_of(low, high, options.activations), bits_of(options.activations))


def _percentile(histogram: Histogram, percentile: float) -> tuple[float, float]:
    """Clip ``100 - percentile`` per cent of the values, half at each end, or all at the one end that has values."""
    sides = (histogram.low < 0) + (histogram.high > 0)
    dropped = histogram.total * (100.0 - percentile) / 100.0 / sides
    ends = []
    for counts, extreme in ((histogram.negative, -histogram.low), (histogram.positive, histogram.high)):
        above = np.cumsum(counts[::-1])[::-1]  # values in bin i and beyond
        kept = np.flatnonzero(above > dropped)
        edge = (kept[-1] + 1) * histogram.width if kept.size else 0.0
        ends.append(float(min(edge, max(extreme, 0.0))))
    if ends == [0.0, 0.0]:  # nearly all values are zero: clipping the rest would leave nothing
        return min(histogram.low, 0.0), max(histogram.high, 0.0)
    return -ends[0], ends[1]


def _least_error(histogram: Histogram, scheme: str, bits: int) -> tuple[float, float]:
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    centres, counts = _occupied(histogram)
    if scheme == "symmetric":
        low, high = -max(-low, high), max(-low, high)

    def best(lows: NDArray[np.float64], highs: NDArray[np.float64]) -> tuple[float, float]:
        errors = _errors(centres, counts, histogram.width, lows, highs, levels(scheme, bits))
        winner = int(np.argmin(errors))
        return float(lows[winner]), float(highs[winner])

    low, high = best(low * _FACTORS, high * _FACTORS)
    if scheme == "asymmetric":
        full_low, full_high = min(histogram.low, 0.0), max(histogram.high, 0.0)
        low, high = best(np.full_like(_FACTORS, low), full_high * _FACTORS)
        low, high = best(full_low * _FACTORS, np.full_like(_FACTORS, high))
    return low, high


def _occupied(histogram: Histogram) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres and counts of the bins that are not empty."""
    centres = (np.arange(BINS) + 0.5) * histogram.width
    both = np.concatenate([-centres[::-1], centres])
    counts = np.concatenate([histogram.negative[::-1], histogram.positive])
    occupied = counts > 0
    return both[occupied], counts[occupied].astype(np.float64)


def _errors(
    centres: NDArray[np.float64],
    counts: NDArray[np.float64],
    width: float,
    lows: NDArray[np.float64],
    highs: NDArray[np.float64],
    steps: int,
) -> NDArray[np.float64]:
    """Sum of squared errors of each candidate range, shape (candidates,)."""
    errors = np.empty(lows.size)
    for index, (low, high) in enumerate(zip(lows, highs, strict=True)):
        step = (high - low) / steps
        inside = np.clip(centres, low, high)
        clipped = centres - inside
        if step < _FINE * width:
            rounded = np.where(clipped == 0, step * step / 12, 0.0)
        else:
            rounded = (inside - np.rint(inside / step) * step) ** 2
        errors[index] = counts @ (rounded + clipped**2)
    return errors
