"""Functional coverage: which combinations of properties have been tested, and which of those that exist have not."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence


class Coverage:
    """Counts for the cross of several axes.

    Args:
        axes: name of each axis, and the names of its bins.
        impossible: why a combination cannot exist, or ''; takes one bin for each axis, by the axis' name.
    """

    def __init__(self, axes: Mapping[str, Sequence[str]], impossible: Callable[..., str]) -> None:
        self._axes = {name: tuple(bins) for name, bins in axes.items()}
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._reasons = {
            cross: reason
            for cross in itertools.product(*self._axes.values())
            if (reason := impossible(**dict(zip(self._axes, cross, strict=True))))
        }

    @property
    def crosses(self) -> list[tuple[str, ...]]:
        """Every combination that exists."""
        return [cross for cross in itertools.product(*self._axes.values()) if cross not in self._reasons]

    @property
    def holes(self) -> list[tuple[str, ...]]:
        """Combinations that exist and have not been sampled."""
        return [cross for cross in self.crosses if not self._counts[cross]]

    def sample(self, **bins: str) -> None:
        """Count one combination.

        Raises:
            ValueError: there is no such bin, or the combination was said to be impossible.
        """
        cross = tuple(bins[name] for name in self._axes)
        if len(bins) != len(cross) or cross not in set(self.crosses):
            raise ValueError(f"{bins} does not exist: {self._reasons.get(cross, 'no such bin')}")
        self._counts[cross] += 1

    def count(self, *cross: str) -> int:
        """How often a combination was sampled."""
        return self._counts[cross]

    def table(self) -> str:
        """Counts: the last axis across, the others down; ``-`` where nothing exists, ``HOLE`` where nothing came."""
        *left, across = self._axes
        head = [*left, *(f"{across} {name}" for name in self._axes[across])]
        rows = [
            [*front, *(self._cell((*front, last)) for last in self._axes[across])]
            for front in itertools.product(*(self._axes[name] for name in left))
        ]
        rows = [row for row in rows if any(cell != "-" for cell in row[len(left) :])]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (head, *rows)
        ]
        total = len(self.crosses)
        reasons = [f"not possible: {reason}" for reason in dict.fromkeys(self._reasons.values())]
        samples = sum(self._counts.values())
        return "\n".join([*lines, f"{total - len(self.holes)} of {total} bins covered by {samples} samples", *reasons])

    def _cell(self, cross: tuple[str, ...]) -> str:
        if cross in self._reasons:
            return "-"
        return str(self._counts[cross]) if self._counts[cross] else "HOLE"
