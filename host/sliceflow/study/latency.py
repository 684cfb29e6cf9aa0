"""Models timed side by side on the CPU: only the ratios say something about the models."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from sliceflow.onnx_runtime import user_session

_WARM_UP = 2


def side_by_side(models: Mapping[str, bytes], image: Mapping[str, NDArray[Any]], rounds: int) -> dict[str, list[float]]:
    """Processor time of ONNX Runtime with one thread, in rounds in each of which every model runs once.

    So all models meet the same machine, whatever else it does.

    Args:
        models: ONNX files by name.
        image: an array for each input.
        rounds: how many count, besides two to warm up.

    Returns:
        For each model its milliseconds, round by round.

    Raises:
        UserError: ONNX Runtime refuses a model.
    """
    sessions = {name: user_session(model, 1, where=name) for name, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(rounds + _WARM_UP):
        for name, session in sessions.items():
            begin = time.thread_time()  # ONNX Runtime's only thread is this one
            session.run(None, image)
            if turn >= _WARM_UP:
                times[name].append(1e3 * (time.thread_time() - begin))
    return times


def median_ratio(times: Mapping[str, list[float]], over: str, under: str) -> float:
    """Median of the rounds' quotients of two models: how much faster ``under`` is."""
    return statistics.median(a / b for a, b in zip(times[over], times[under], strict=True))
