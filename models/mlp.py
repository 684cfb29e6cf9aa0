"""Fully connected networks with ReLUs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import nn

UNITS = (784, 1000, 1000, 500, 200, 10)
"""A network for digits, 2,388,710 parameters; source: N. Gnanaratnam, survey of pruning with experiments, 2021."""


def mlp(widths: Sequence[int] = UNITS) -> nn.Sequential:
    """Linear layers with biases and a ReLU between any two: inputs ``[N, widths[0]]``, outputs ``[N, widths[-1]]``."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
