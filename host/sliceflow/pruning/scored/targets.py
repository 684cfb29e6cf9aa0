"""What can be pruned in a network: single weights or channels, named, scored and masked alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels.group import ChannelGroup
from sliceflow.pruning.channels.groups import check_layers, find_groups
from sliceflow.pruning.channels.layers import own_weights
from sliceflow.pruning.scored.criteria import ChannelCriterion, Criterion, WeightCriterion
from sliceflow.pruning.training.masks import Masks
from sliceflow.pruning.training.task import Task

Layers = Literal["all", "conv", "linear"]


class Targets(Protocol):
    """All that may go, in named parts: parameters, or groups of channels."""

    def shapes(self) -> dict[str, torch.Size]:
        """Shape of each part's scores."""
        ...

    def score(self, model: nn.Module, task: Task) -> dict[str, Tensor]:
        """Scores of each part."""
        ...

    def prune(self, masks: Masks, gone: Mapping[str, Tensor]) -> None:
        """Mask what is gone."""
        ...


class Weights:
    """Weights of convolutions and fully connected layers; biases and normalizations stay."""

    def __init__(self, criterion: WeightCriterion, model: nn.Module, layers: Layers, protect: Collection[str]) -> None:
        check_layers(model, protect)
        self._criterion = criterion
        found = own_weights(model, frozenset(protect))
        self._weights = {name: weight for name, (module, weight) in found.items() if _wanted(module, layers)}

    def shapes(self) -> dict[str, torch.Size]:
        """Shapes of the weights."""
        return {name: weight.shape for name, weight in self._weights.items()}

    def score(self, model: nn.Module, task: Task) -> dict[str, Tensor]:
        """Scores of the weights."""
        return self._criterion.score_weights(model, task, self._weights)

    def prune(self, masks: Masks, gone: Mapping[str, Tensor]) -> None:
        """Mask single weights."""
        for name, chosen in gone.items():
            masks.prune(name, chosen)


class Channels:
    """Coupled channels; with a channel goes all that makes it: weights, bias, scale and shift of normalization."""

    def __init__(self, criterion: ChannelCriterion, groups: Sequence[ChannelGroup], layers: Layers) -> None:
        self._criterion = criterion
        self._groups = {
            group.name: group for group in groups if all(_wanted(maker.module, layers) for maker in group.makers)
        }

    def shapes(self) -> dict[str, torch.Size]:
        """Channels of the groups."""
        return {name: torch.Size([group.size]) for name, group in self._groups.items()}

    def score(self, model: nn.Module, task: Task) -> dict[str, Tensor]:
        """Scores of the channels."""
        return self._criterion.score_channels(model, task, list(self._groups.values()))

    def prune(self, masks: Masks, gone: Mapping[str, Tensor]) -> None:
        """Mask whole channels."""
        for name, channels in gone.items():
            for parameter, elements in self._groups[name].parameters_of(channels):
                masks.prune(parameter, elements)


def find_targets(
    criterion: Criterion, model: nn.Module, example: Tensor, *, layers: Layers, protect: Collection[str]
) -> Targets:
    """What a criterion can prune.

    Args:
        criterion: of weights or of channels.
        model: the network.
        example: inputs, ``[1, ...]``.
        layers: ``conv`` takes convolutions only, ``linear`` fully connected layers only.
        protect: layers that stay whole.

    Raises:
        UserError: there is nothing to prune, a protected layer does not exist, or the network cannot be traced.
    """
    targets: Targets
    if isinstance(criterion, WeightCriterion):
        targets = Weights(criterion, model, layers, protect)
    else:
        targets = Channels(criterion, find_groups(model, example, protect), layers)
    if not targets.shapes():
        kind = {"all": "convolution or fully connected layer", "conv": "convolution", "linear": "fully connected layer"}
        raise UserError(
            "there is nothing to prune in this network",
            where=type(model).__name__,
            why=f"no {kind[layers]} besides those that make the outputs or are protected",
        )
    return targets


def _wanted(module: nn.Module, layers: Layers) -> bool:
    return layers == "all" or (layers == "linear") == isinstance(module, nn.Linear)
