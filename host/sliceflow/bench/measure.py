"""Wall times, and the machine they were taken on."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path


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


def cpu_model() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
