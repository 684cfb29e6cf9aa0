"""What the timed int8 answers are worth: the model as it is timed against what it means, and against float."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.onnx_runtime import OnnxSession, exact_session, user_session
from sliceflow.sqnr import sqnr_db

Array = NDArray[Any]
LARGEST, UNLABELLED = 1000, 32
"""Images that are compared at most, with labels and without."""
_TIES_DB = 30.0
"""Rounding ties alone leave more than this between two executions of a model, in decibels."""
_FAR = 1e30
"""Stands for what is infinite or no number on one side only: JSON has neither."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """The int8 model as a user runs it, beside its exact meaning.

    Attributes:
        images: compared.
        max_error: largest difference of the timed answers from the exact ones.
        sqnr_db: of the timed answers against the exact ones, lowest of all outputs; None if they are equal.
        differ: whether that is more than rounding ties explain.
        timed_db, exact_db: SQNR of both against the fp32 model; None without one, or where they are equal to it.
        accuracy: share of the images whose label has the largest output, for ``fp32``, ``timed`` and ``exact``; None
            without labels.
    """

    images: int
    max_error: float
    sqnr_db: float | None
    differ: bool
    timed_db: float | None
    exact_db: float | None
    accuracy: dict[str, float] | None


def compare_answers(
    models: Mapping[str, Path | bytes], images: Sequence[Mapping[str, Array]], labels: Array | None, threads: int
) -> Answers | None:
    """Compare on all images, one at a time.

    Args:
        models: ``int8`` and, if there is one, ``fp32``.
        images: for each an array for each input.
        labels: class of each image.
        threads: of ONNX Runtime.

    Returns:
        What was found; None without an int8 model.

    Raises:
        UserError: ONNX Runtime cannot run a model.
    """
    if "int8" not in models:
        return None
    sessions = {
        "timed": user_session(models["int8"], threads, where="int8 model"),
        "exact": exact_session(models["int8"], threads, where="int8 model"),
    }
    if "fp32" in models:
        sessions["fp32"] = exact_session(models["fp32"], threads, where="fp32 model")
    count = min(UNLABELLED if labels is None else LARGEST, len(images))
    found = {name: _outputs(session, images[:count]) for name, session in sessions.items()}
    sqnr, real = _ratio(found["exact"], found["timed"]), found.get("fp32")
    pairs = zip(found["exact"], found["timed"], strict=True)
    return Answers(
        images=count,
        max_error=max(float(_distance(a, b).max(initial=0)) for a, b in pairs),
        sqnr_db=sqnr,
        differ=sqnr is not None and sqnr < _TIES_DB,
        timed_db=None if real is None else _ratio(real, found["timed"]),
        exact_db=None if real is None else _ratio(real, found["exact"]),
        accuracy=_accuracy(found, labels, count),
    )


def _outputs(session: OnnxSession, images: Sequence[Mapping[str, Array]]) -> list[NDArray[np.float64]]:
    """Each output over all images, ``[N, ...]``."""
    answers = [session.run(None, session.typed(image)) for image in images]
    return [np.stack([np.asarray(part, np.float64) for part in parts]) for parts in zip(*answers, strict=True)]


def _ratio(expected: list[NDArray[np.float64]], got: list[NDArray[np.float64]]) -> float | None:
    """Lowest SQNR of all outputs, in decibels; None if all are equal, or are not the same outputs."""
    if [array.shape for array in expected] != [array.shape for array in got]:
        return None
    ratios = []
    for a, b in zip(expected, got, strict=True):
        noise = float(np.square(_distance(a, b)).sum())
        signal = float(np.square(np.clip(a[np.isfinite(a)], -_FAR, _FAR)).sum())
        ratios.append(sqnr_db(max(signal, 1e-30), noise))  # of zeros, anything is lost
    return min((ratio for ratio in ratios if ratio is not None), default=None)


def _distance(expected: NDArray[np.float64], got: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far values are apart; 0 where both are the same infinity, or no number."""
    same = (expected == got) | (np.isnan(expected) & np.isnan(got))
    with np.errstate(invalid="ignore"):
        apart = np.abs(expected - got)
    return np.where(same, 0.0, np.nan_to_num(np.minimum(apart, _FAR), nan=_FAR))


def _accuracy(
    found: Mapping[str, list[NDArray[np.float64]]], labels: Array | None, count: int
) -> dict[str, float] | None:
    first = found["exact"][0]
    if labels is None or labels.ndim != 1 or len(labels) < count or first[0].size < 2:
        return None
    classes = {name: outputs[0].reshape(count, -1).argmax(1) for name, outputs in found.items()}
    return {name: round(float((each == labels[:count]).mean()), 4) for name, each in classes.items()}
