"""Scores: how much a weight or a channel is worth. The larger, the longer it stays.

A criterion knows nothing of ratios, rounds or training; ``selection`` and ``schedules`` do. A channel that several
layers make (a residual sum) has the sum of their scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sliceflow.errors import UserError
from sliceflow.pruning.scored.criteria.apoz import Apoz
from sliceflow.pruning.scored.criteria.base import ChannelCriterion, Choices, WeightCriterion
from sliceflow.pruning.scored.criteria.l1 import L1
from sliceflow.pruning.scored.criteria.l2 import L2
from sliceflow.pruning.scored.criteria.magnitude import Magnitude
from sliceflow.pruning.scored.criteria.random import RandomChannels, RandomWeights
from sliceflow.pruning.scored.criteria.taylor import Taylor

__all__ = ["CRITERIA", "ChannelCriterion", "Choices", "Criterion", "WeightCriterion", "make_criterion"]

Criterion = WeightCriterion | ChannelCriterion

CRITERIA: Mapping[str, Callable[[Choices], Criterion]] = {
    "magnitude": lambda choices: Magnitude(),
    "random-weights": lambda choices: RandomWeights(choices.seed),
    "l1": lambda choices: L1(),
    "l2": lambda choices: L2(),
    "random": lambda choices: RandomChannels(choices.seed),
    "apoz": lambda choices: Apoz(choices.batches),
    "taylor": lambda choices: Taylor(choices.batches),
}


def make_criterion(name: str, choices: Choices) -> Criterion:
    """A criterion by name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in CRITERIA:
        raise UserError(f"there is no criterion {name!r}", fix=f"the criteria are {', '.join(CRITERIA)}")
    return CRITERIA[name](choices)
