"""L1 norm of filters and neurons.

Source: H. Li, A. Kadav, I. Durdanovic, H. Samet and H. P. Graf, "Pruning filters for efficient ConvNets", 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sliceflow.pruning.channels.group import ChannelGroup
from sliceflow.pruning.scored.criteria.base import filters, sum_over
from sliceflow.pruning.training.task import Task


class L1:
    """A channel is worth the sum of its weights' absolute values, summed over the layers that make it."""

    def score_channels(self, model: nn.Module, task: Task, groups: Sequence[ChannelGroup]) -> dict[str, Tensor]:
        """See ``ChannelCriterion``."""
        return {group.name: sum_over([filters(maker).abs().sum(1) for maker in group.makers]) for group in groups}
