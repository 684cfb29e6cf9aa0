"""1,797 handwritten digits of 8x8 pixels, which scikit-learn carries, and a network for them: seconds to train.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
CC BY 4.0. The images are read from the installed package: ``pip install scikit-learn``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sliceflow.errors import UserError

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import TensorDataset

SPLIT_SEED = 1
TRAIN, VALIDATION = 1100, 297
"""Images; the other 400 are the test set."""


def datasets() -> tuple[TensorDataset, TensorDataset, TensorDataset]:
    """Sets for training, validation and test, for recipes: ``load = "models.digits:datasets"``.

    Returns:
        Three sets of images [1, 8, 8], float32 from 0 (paper) to 1 (ink), and labels. The split never changes.

    Raises:
        UserError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UserError("the digits are not here", why=str(error), fix="pip install scikit-learn") from error
    import torch
    from torch.utils.data import TensorDataset

    found: Any = load_digits()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(found.target))
    images = torch.from_numpy((found.images[order, None] / 16).astype(np.float32))
    labels = torch.from_numpy(found.target[order].astype(np.int64))
    parts = slice(TRAIN), slice(TRAIN, TRAIN + VALIDATION), slice(TRAIN + VALIDATION, None)
    first, second, third = (TensorDataset(images[part], labels[part]) for part in parts)
    return first, second, third


def network(width: int = 16) -> nn.Module:
    """Two 3x3 convolutions with batch normalization, each with a pool behind it, and two fully connected layers."""
    from torch import nn

    return nn.Sequential(
        *(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(2 * width * 4, 2 * width), nn.ReLU(), nn.Linear(2 * width, 10)),
    )
