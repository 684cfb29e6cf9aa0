"""The decision: down, up, or as it is, for each group of coupled channels."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sliceflow.errors import UserError

logger = logging.getLogger(__name__)

Mode = Literal["down", "up", "auto"]
Sizes = Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Group:
    """Channels that are coupled: each stays, or goes, in all layers that share it.

    Attributes:
        name: unique.
        importance: ``[size]``, not negative, comparable within the group.
        kept: bool ``[size]``, those that live now; at least one. The others may be brought back.
    """

    name: str
    importance: NDArray[np.float64]
    kept: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.importance.shape != self.kept.shape or self.kept.ndim != 1 or not self.kept.any():
            raise ValueError(f"group {self.name!r} needs an importance for each channel, and one channel that is kept")

    def choice(self, size: int) -> NDArray[np.bool_]:
        """The best channels: those kept before others, by importance; bool ``[size of the group]``."""
        order = np.lexsort((-self.importance, ~self.kept))
        chosen = np.zeros(len(self.kept), np.bool_)
        chosen[order[:size]] = True
        return chosen

    def loss(self, size: int) -> float:
        """Share of the importance of all that is kept now, 0 to 1, that goes when only so many channels stay."""
        total = float(self.importance[self.kept].sum())
        left = float(self.importance[self.kept & self.choice(size)].sum())
        return 1.0 - left / total if total > 0 else 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How to decide.

    Attributes:
        mode: ``down`` drops the least important channels of a group wherever that saves cycles. ``up`` brings pruned
            channels back into lanes that idle, at no more cycles. ``auto`` goes down where the cycles are worth it, and
            then up.
        multiples: sizes to look at are multiples of these: lanes of the accelerator.
        price: ``auto``: share of all cycles that must be saved for the loss of a share of importance, as the mean over
            all groups.
        most: ``auto`` and ``down``: no group loses more than this share of its importance.
    """

    mode: Mode = "auto"
    multiples: tuple[int, ...] = (8,)
    price: float = 1.0
    most: float = 1.0

    def __post_init__(self) -> None:
        if self.mode not in ("down", "up", "auto"):
            raise UserError(f"alignment goes 'down', 'up' or 'auto', not {self.mode!r}", where="alignment options")
        if not self.multiples or min(self.multiples) < 1 or self.price < 0 or not 0 <= self.most <= 1:
            raise UserError(
                "multiples must be at least 1, the price not negative, and the largest loss a share",
                where="alignment options",
                why=f"multiples {self.multiples}, price {self.price}, largest loss {self.most}",
            )


@dataclasses.dataclass(frozen=True)
class Decision:
    """What to keep.

    Attributes:
        keep: for each group bool ``[size]``.
        cycles_before, cycles_after: predicted.
    """

    keep: dict[str, NDArray[np.bool_]]
    cycles_before: int
    cycles_after: int


def decide(groups: Sequence[Group], cycles: Callable[[Sizes], int], options: Options) -> Decision:
    """Choose sizes of groups, one move after the other, the best one first, each judged with all those before it.

    No group becomes empty, and the predicted cycles never rise.

    Args:
        groups: the groups that may change.
        cycles: predicted cycles of the network for the sizes of all groups.
        options: how.
    """
    by_name = {group.name: group for group in groups}
    sizes = {group.name: int(group.kept.sum()) for group in groups}
    before = now = cycles(sizes)
    if options.mode in ("down", "auto"):
        now = _go_down(by_name, sizes, cycles, options)
    if options.mode in ("up", "auto"):
        now = _go_up(by_name, sizes, cycles, options)
    return Decision({name: group.choice(sizes[name]) for name, group in by_name.items()}, before, now)


def _go_down(
    groups: Mapping[str, Group], sizes: dict[str, int], cycles: Callable[[Sizes], int], options: Options
) -> int:
    now = total = cycles(sizes)
    price = options.price / max(1, len(groups)) if options.mode == "auto" else 0.0
    waiting = {name: _drops(group, sizes[name], options) for name, group in groups.items()}
    while True:
        best: tuple[float, str, int, int] | None = None
        for name, drops in waiting.items():
            for size, loss in drops:
                cost = cycles({**sizes, name: size})
                saved = (now - cost) / total if total else 0.0
                worth = saved / max(loss, 1e-12)
                if saved > 0 and saved >= price * loss and (best is None or worth > best[0]):
                    best = worth, name, size, cost
        if best is None:
            return now
        _, name, size, now = best
        logger.debug("%s: %d channels become %d, %d cycles are left", name, sizes[name], size, now)
        sizes[name] = size
        del waiting[name]


def _drops(group: Group, size: int, options: Options) -> list[tuple[int, float]]:
    """Smaller sizes to look at, and the share of importance that each loses."""
    losses = [(smaller, group.loss(smaller)) for smaller in _below(size, options.multiples)]
    return [(smaller, loss) for smaller, loss in losses if loss <= options.most]


def _go_up(groups: Mapping[str, Group], sizes: dict[str, int], cycles: Callable[[Sizes], int], options: Options) -> int:
    """Fill lanes that idle, the groups whose pruned channels matter most first."""
    now = cycles(sizes)
    order = sorted(groups, key=lambda name: -float(groups[name].importance[~groups[name].choice(sizes[name])].sum()))
    for name in order:
        limit = len(groups[name].kept)
        for size in sorted(_above(sizes[name], limit, options.multiples), reverse=True):
            cost = cycles({**sizes, name: size})
            if cost <= now:
                logger.debug("%s: %d channels become %d in %d cycles", name, sizes[name], size, cost)
                sizes[name], now = size, cost
                break
    return now


def _below(size: int, multiples: Sequence[int]) -> list[int]:
    """The next smaller multiple of each number, if it is not zero and the size is none."""
    return sorted({size - size % step for step in multiples if size > step and size % step})


def _above(size: int, limit: int, multiples: Sequence[int]) -> set[int]:
    """The next larger multiple of each number, or all channels if there are fewer."""
    return {min(limit, -(-size // step) * step) for step in multiples if size % step and size < limit}
