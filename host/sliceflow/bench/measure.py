"""Wall times."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Timing:
    """Wall times of one call, in milliseconds, over ``repeats`` calls that followed ``warmup`` calls."""

    median_ms: float
    p95_ms: float
    best_ms: float
    warmup: int
    repeats: int


def measure(call: Callable[[], object], *, warmup: int, repeats: int) -> Timing:
    """Time a call.

    Args:
        call: what to time.
        warmup: calls that do not count.
        repeats: calls that do.
    """
    for _ in range(warmup):
        call()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - begin))
    return Timing(statistics.median(times), percentile(times, 95), min(times), warmup, repeats)


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that at least so many per cent of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
