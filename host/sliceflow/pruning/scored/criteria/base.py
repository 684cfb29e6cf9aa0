"""What every criterion offers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels.group import ChannelGroup, Member
from sliceflow.pruning.channels.layers import by_output
from sliceflow.pruning.training.task import Task


@dataclasses.dataclass(frozen=True)
class Choices:
    """What criteria can be told: batches of training examples to look at, and the seed of what is random."""

    batches: int = 8
    seed: int = 0


@runtime_checkable
class WeightCriterion(Protocol):
    """Scores single weights."""

    def score_weights(self, model: nn.Module, task: Task, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores of parameters.

        Args:
            model: the network; it is not changed.
            task: its examples and loss.
            weights: parameters by name.

        Returns:
            For each name the scores, in the parameter's shape.
        """
        ...


@runtime_checkable
class ChannelCriterion(Protocol):
    """Scores channels."""

    def score_channels(self, model: nn.Module, task: Task, groups: Sequence[ChannelGroup]) -> dict[str, Tensor]:
        """Scores of channels.

        Args:
            model: the network; it is not changed.
            task: its examples and loss.
            groups: coupled channels.

        Returns:
            For each group's name the scores, ``[size]``.
        """
        ...


def filters(member: Member) -> Tensor:
    """The weights that make each channel: ``[channels, weights of one channel]``, without biases."""
    weight = by_output(member.module, member.module.weight.detach())
    return weight[member.positions.flatten().to(weight.device)].reshape(len(member.positions), -1)


def sum_over(scores: Sequence[Tensor]) -> Tensor:
    """The sum of what several layers say about the same channels."""
    total = scores[0].clone()
    for other in scores[1:]:
        total += other
    return total


def first_batches(task: Task, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The first batches of the training examples.

    Raises:
        UserError: there are none.
    """
    found = False
    for batch in islice(iter(task.train), count):
        found = True
        yield batch
    if not found:
        raise UserError("there is no example to score channels with", fix="give a training set that is not empty")
