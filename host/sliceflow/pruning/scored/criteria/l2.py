"""L2 norm of filters, and of the weights that lead into a neuron."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sliceflow.pruning.channels.group import ChannelGroup
from sliceflow.pruning.scored.criteria.base import filters, sum_over
from sliceflow.pruning.training.task import Task


class L2:
    """A channel is worth the Euclidean norm of its weights, summed over the layers that make it."""

    def score_channels(self, model: nn.Module, task: Task, groups: Sequence[ChannelGroup]) -> dict[str, Tensor]:
        """See ``ChannelCriterion``."""
        return {group.name: sum_over([filters(maker).norm(dim=1) for maker in group.makers]) for group in groups}
