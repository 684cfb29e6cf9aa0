"""Another division of the same examples into those that train and those that validate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from sliceflow.pruning.training.task import Loader, Task


class TensorLoader:
    """Examples in memory, in batches.

    Args:
        inputs: ``[N, ...]``.
        targets: ``[N, ...]``.
        batch: examples of a batch; the last may be smaller.
        shuffle: in another order each time, drawn from torch's global generator.
    """

    def __init__(self, inputs: Tensor, targets: Tensor, batch: int, *, shuffle: bool = False) -> None:
        self.inputs, self.targets = inputs, targets
        self._batch, self._shuffle = batch, shuffle

    def __len__(self) -> int:
        return -(-len(self.inputs) // self._batch)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if not self._shuffle:
            yield from zip(self.inputs.split(self._batch), self.targets.split(self._batch), strict=True)
            return
        for chosen in torch.randperm(len(self.inputs)).split(self._batch):
            yield self.inputs[chosen], self.targets[chosen]


def resplit(task: Task, seed: int) -> Task:
    """A task whose training and validation examples are drawn anew from both, in the same numbers.

    Each loader is read once; augmentation is frozen by that. All examples are held in memory.

    Args:
        task: the task.
        seed: of the draw.
    """
    torch.manual_seed(seed)
    train, validation = _all(task.train), _all(task.validation)
    inputs, targets = torch.cat([train[0], validation[0]]), torch.cat([train[1], validation[1]])
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    first, second = order[: len(train[0])], order[len(train[0]) :]
    return dataclasses.replace(
        task,
        train=TensorLoader(inputs[first], targets[first], _batch(task.train), shuffle=True),
        validation=TensorLoader(inputs[second], targets[second], _batch(task.validation)),
    )


def _all(loader: Loader) -> tuple[Tensor, Tensor]:
    batches = list(loader)
    return torch.cat([inputs for inputs, _ in batches]), torch.cat([targets for _, targets in batches])


def _batch(loader: Loader) -> int:
    return len(next(iter(loader))[0])
