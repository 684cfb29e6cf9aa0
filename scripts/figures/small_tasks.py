"""Small classification tasks for figures on pruning, split by a seed; and means over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from models.data import mnist5k
from sliceflow.pruning.training.resplit import TensorLoader
from sliceflow.pruning.training.task import Task

BATCH = 64


def digits(seed: int) -> Task:
    """1,797 handwritten digits of 8x8 pixels from scikit-learn: 1,097 to train, 350 to validate, 350 to test.

    The split of the test images never changes; that of the others depends on the seed.
    """
    table = load_digits()
    images = torch.from_numpy(table.images).float()[:, None] / 16
    labels = torch.from_numpy(table.target).long()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    test, rest = order[:350], order[350:]
    return _task(images[rest], labels[rest], images[test], labels[test], 350, seed)


def mnist(seed: int, *, flat: bool = False) -> Task:
    """5,000 digits of MNIST: 3,400 to train, 600 to validate, the 1,000 held-back ones to test.

    Args:
        seed: of the split between training and validation.
        flat: images are ``[N, 784]``, else ``[N, 1, 28, 28]``.
    """
    images, labels, test_images, test_labels = map(torch.from_numpy, mnist5k())
    if flat:
        images, test_images = images.flatten(1), test_images.flatten(1)
    return _task(images, labels, test_images, test_labels, 600, seed)


def _task(images: Tensor, labels: Tensor, test_images: Tensor, test_labels: Tensor, held: int, seed: int) -> Task:
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    validation, train = order[:held], order[held:]
    return Task(
        train=TensorLoader(images[train], labels[train], BATCH, shuffle=True),
        validation=TensorLoader(images[validation], labels[validation], 512),
        test=TensorLoader(test_images, test_labels, 512),
    )


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean and sample standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):,.{digits}f} ± {deviation:,.{digits}f}"
