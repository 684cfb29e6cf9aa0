"""Streaming histograms of activations: one pass over the data, constant memory."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BINS = 8192
"""Bins of each sign."""
_CHUNK = 1 << 18
_LEAST_EXPONENT = -100


class Histogram:
    """Counts of magnitudes, for positive and negative values apart.

    Bin i of a sign holds the values with ``i * width <= |x| < (i + 1) * width``. The width is a power of two: when a
    larger value arrives, it doubles as often as needed and neighbouring bins merge, so no count is ever approximated
    and the order of the batches does not matter. Exact zeros are counted apart, since every scheme keeps them exact.

    Attributes:
        low: least value seen (infinity before the first).
        high: greatest value seen.
        zeros: exact zeros seen.
        positive: counts of the positive values, shape (BINS,).
        negative: counts of the negative values, shape (BINS,).
    """

    def __init__(self) -> None:
        self.low = math.inf
        self.high = -math.inf
        self.zeros = 0
        self.positive: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.negative: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self._exponent = _LEAST_EXPONENT

    @property
    def width(self) -> float:
        """Width of a bin."""
        return math.ldexp(1.0, self._exponent) / BINS

    @property
    def total(self) -> int:
        """Values seen."""
        return self.zeros + int(self.positive.sum()) + int(self.negative.sum())

    def add(self, values: NDArray[np.float32]) -> bool:
        """Count the values of an array of any shape.

        Returns:
            False, with nothing counted, if there is a NaN or an infinity among them.
        """
        flat = values.reshape(-1)
        if flat.size == 0:
            return True
        low, high = float(flat.min()), float(flat.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            return False
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._widen(max(-low, high))
        per_value = np.float32(1.0 / self.width)
        for start in range(0, flat.size, _CHUNK):
            chunk = flat[start : start + _CHUNK]
            for part, counts in ((chunk[chunk > 0], self.positive), (-chunk[chunk < 0], self.negative)):
                if part.size:
                    counts += np.bincount((part * per_value).astype(np.int32), minlength=BINS)
            self.zeros += chunk.size - int(np.count_nonzero(chunk))
        return True

    def _widen(self, magnitude: float) -> None:
        exponent = math.frexp(magnitude)[1]
        doublings = exponent - self._exponent
        if doublings <= 0:
            return
        for counts in (self.positive, self.negative):
            factor = 1 << min(doublings, BINS.bit_length() - 1)
            merged = counts.reshape(-1, factor).sum(axis=1)
            counts[:] = 0
            counts[: merged.size] = merged
        self._exponent = exponent
