"""Magnitude of single weights.

Source: S. Han, J. Pool, J. Tran and W. Dally, "Learning both weights and connections for efficient neural networks",
2015.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from sliceflow.pruning.training.task import Task


class Magnitude:
    """A weight is worth its absolute value."""

    def score_weights(self, model: nn.Module, task: Task, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See ``WeightCriterion``."""
        return {name: weight.detach().abs() for name, weight in weights.items()}
