"""What alignment did to a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class GroupChange:
    """A group of coupled channels before and after.

    Attributes:
        name: the layer that makes them.
        before, after: channels that live.
        loss: share of the importance of those that lived that went, 0 to 1.
    """

    name: str
    before: int
    after: int
    loss: float


@dataclasses.dataclass(frozen=True)
class AlignReport:
    """What alignment did.

    Attributes:
        groups: all groups that might have changed, in the network's order.
        cycles_before, cycles_after: predicted from the shapes of the layers.
    """

    groups: Sequence[GroupChange]
    cycles_before: int
    cycles_after: int

    @property
    def changed(self) -> bool:
        """Whether any group has another size."""
        return any(group.before != group.after for group in self.groups)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return dataclasses.asdict(self)
