"""Orders in which blocks are removed, and how much two of them agree."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from sliceflow.errors import UserError


def order(removed: Sequence[str], scores: dict[str, float]) -> list[str]:
    """A full ranking in the midst of pruning: removed blocks, then the others by ascending score.

    Args:
        removed: in the order in which they went.
        scores: of the others, in the order in which they run; equal scores stay in that order.
    """
    return [*removed, *sorted(scores, key=lambda name: scores[name])]


def kendall_tau(one: Sequence[str], other: Sequence[str]) -> float:
    """Agreement of two orders of the same blocks: 1 the same, -1 reversed, about 0 if they have nothing in common.

    The share of pairs in the same order minus that of pairs in opposite orders.

    Raises:
        UserError: the blocks differ, or are fewer than two.
    """
    if sorted(one) != sorted(other) or len(set(one)) != len(one) or len(one) < 2:
        raise UserError("two orders of the same blocks are needed, two at least", where="Kendall's tau")
    place = {name: index for index, name in enumerate(other)}
    agree = [1 if place[a] < place[b] else -1 for a, b in itertools.combinations(one, 2)]
    return sum(agree) / len(agree)
