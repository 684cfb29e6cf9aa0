"""From a wanted compression ratio to the share that a method is asked to prune."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sliceflow.pruning.channels.group import ChannelGroup
from sliceflow.pruning.definitions import parameters

_STEPS = 40
_MOST = 0.999


def weight_share(ratio: float) -> float:
    """Share of the weights that goes if so many times fewer are to remain."""
    return 1 - 1 / ratio


def channel_share(model: Any, groups: Sequence[ChannelGroup], ratio: float) -> float:
    """Share of channels that goes, the same in each group, so that so many times fewer parameters remain.

    A method that takes channels of all groups together, or that finds its own share, ends elsewhere: what counts is
    what is measured.

    Args:
        model: a torch network.
        groups: the channels that may be pruned.
        ratio: original parameters divided by the remaining ones.

    Returns:
        0 to 1; the largest possible if the ratio is out of reach.
    """
    low, high = 0.0, _MOST
    wanted = parameters(model) / ratio
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if remaining(model, groups, middle) > wanted:
            low = middle
        else:
            high = middle
    return high


def remaining(model: Any, groups: Collection[ChannelGroup], share: float) -> int:
    """Parameters of a network without a share of the channels of each group; a group keeps one at least.

    Args:
        model: a torch network.
        groups: of channels.
        share: 0 to 1.
    """
    made: dict[Any, float] = defaultdict(lambda: 1.0)
    read: dict[Any, float] = defaultdict(lambda: 1.0)
    for group in groups:
        kept = max(1, group.size - math.floor(group.size * share)) / group.size
        for member in group.members:
            side = made if member.makes else read
            # A layer that reads several groups keeps of each what that keeps.
            part = member.positions.numel() / _channels(member.module, makes=member.makes)
            side[member.module] -= part * (1 - kept)
    total = 0.0
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            inputs = read[module] if name == "weight" and parameter.dim() > 1 else 1.0
            total += parameter.numel() * made[module] * inputs
    return round(total)


def _channels(module: Any, *, makes: bool) -> int:
    """Channels on one side of a layer; norms and the like have one side."""
    names = ("out_channels", "out_features") if makes else ("in_channels", "in_features")
    for name in (*names, "num_features", "num_parameters"):
        if hasattr(module, name):
            return int(getattr(module, name))
    return int(next(module.parameters(recurse=False)).numel())
