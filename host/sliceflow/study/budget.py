"""The same amount of training for every method."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from sliceflow.pruning.method import Method
from sliceflow.pruning.methods import make_method, options_of
from sliceflow.study.sections import StudySection

_ROUNDS = 4


def budgeted(name: str, section: StudySection, epochs: int) -> tuple[Method, int]:
    """A method that trains for so many epochs in all, as far as its options can say so.

    Methods with an option ``budget`` keep it themselves, in rounds of a quarter of it; steps of a schedule get equal
    parts.

    Args:
        name: of the method.
        section: its options in the study.
        epochs: in all.

    Returns:
        The method, and the most epochs of one stage of its training.
    """
    options = dict(section.options.get(name, {}))
    known = options_of(name)
    if "budget" in known:
        options.setdefault("budget", epochs)
        return make_method(name, **options), max(1, epochs // _ROUNDS)
    method = make_method(name, **options)
    chosen: dict[str, Any] = dataclasses.asdict(cast("Any", method))
    stages = chosen.get("rounds", 1) if chosen.get("schedule", "one-shot") != "one-shot" else 1
    return method, max(1, epochs // max(1, stages))
