"""Random scores: the control that every criterion has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from sliceflow.pruning.channels.group import ChannelGroup
from sliceflow.pruning.training.task import Task


class RandomWeights:
    """Weights in an order that the seed alone decides, the same in every round."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def score_weights(self, model: nn.Module, task: Task, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See ``WeightCriterion``."""
        generator = torch.Generator().manual_seed(self._seed)
        return {name: torch.rand(weight.shape, generator=generator) for name, weight in weights.items()}


class RandomChannels:
    """Channels in an order that the seed alone decides, the same in every round."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def score_channels(self, model: nn.Module, task: Task, groups: Sequence[ChannelGroup]) -> dict[str, Tensor]:
        """See ``ChannelCriterion``."""
        generator = torch.Generator().manual_seed(self._seed)
        return {group.name: torch.rand(group.size, generator=generator) for group in groups}
