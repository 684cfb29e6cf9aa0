"""Signal-to-quantization-noise ratio (SQNR), the figure of merit of everything that is compared with a float model."""

from __future__ import annotations

import math


def sqnr_db(signal: float, noise: float) -> float | None:
    """Ratio of two sums of squares in decibels, to a hundredth.

    Args:
        signal: sum of the squares of the exact values.
        noise: sum of the squares of the differences from them.

    Returns:
        Ten times the decimal logarithm of the ratio; None if that is no finite number: nothing is lost, or there is
        nothing that could be.
    """
    if not (0 < signal < math.inf and 0 < noise < math.inf):
        return None
    return round(10 * math.log10(signal / noise), 2)
