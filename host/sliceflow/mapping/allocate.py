"""Activation memory with lifetimes: buffers whose tensors are never alive together share words."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclasses.dataclass(frozen=True)
class Lifetime:
    """A buffer's size in words, and the first and last step at which it is in use, both included."""

    words: int
    first: int
    last: int


def allocate(buffers: Mapping[Key, Lifetime], *, align: int = 1) -> tuple[dict[Key, int], int]:
    """Place buffers, the largest first, each at the lowest address that is free throughout its life.

    Args:
        buffers: what to place.
        align: words to whose multiples addresses are rounded up.

    Returns:
        The first word of each buffer, and the words used in all.
    """
    placed: list[tuple[int, Lifetime]] = []
    bases: dict[Key, int] = {}
    for key, life in sorted(buffers.items(), key=lambda item: (-item[1].words, item[1].first)):
        rivals = sorted(
            (base, base + other.words)
            for base, other in placed
            if other.first <= life.last and life.first <= other.last
        )
        base = 0
        for low, high in rivals:
            if base + life.words <= low:
                break
            base = max(base, -(-high // align) * align)
        bases[key] = base
        placed.append((base, life))
    return bases, max((base + life.words for base, life in placed), default=0)
