"""What is known of the channels of each tensor."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.passes.view import dims

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]
Index = NDArray[np.intp]


def channels(value: ir.Value | None) -> int | None:
    """Channels of an activation: the size of axis 1, if it is a number. None for constants."""
    if value is None or value.is_initializer():
        return None
    found = dims(value)
    size = found[1] if found is not None and len(found) >= 2 else None
    return size if isinstance(size, int) and size > 0 else None


class Constants:
    """Values of constant channels, NaN for the others.

    Attributes:
        flat: a channel has one value everywhere, whatever the input of the model and its size.
        multiples: a channel is this number times a map that the channels of this tensor share.
    """

    def __init__(self) -> None:
        self._flat: dict[ir.Value, Vector] = {}
        self._multiples: dict[ir.Value, Vector] = {}

    def flat(self, value: ir.Value) -> Vector:
        """Constants of a tensor with known channels, ``[C]``. Do not write to it."""
        return _vector(self._flat, value)

    def multiples(self, value: ir.Value) -> Vector:
        """Factors of the shared map of a tensor, ``[C]``. Do not write to it."""
        return _vector(self._multiples, value)

    def set_flat(self, value: ir.Value, vector: Vector) -> None:
        """Store constants; infinities count as unknown."""
        self._flat[value] = np.where(np.isfinite(vector), vector, np.nan)

    def set_multiples(self, value: ir.Value, vector: Vector) -> None:
        """Store factors of a shared map."""
        self._multiples[value] = vector


def _vector(table: dict[ir.Value, Vector], value: ir.Value) -> Vector:
    found = table.get(value)
    return np.full(channels(value) or 0, np.nan) if found is None else found


class Masks:
    """A set of channels for each tensor, which can only grow.

    Attributes:
        grown: tensors whose sets have grown since this was last emptied, in order.
    """

    def __init__(self) -> None:
        self._masks: dict[ir.Value, Mask] = {}
        self.grown: dict[ir.Value, None] = {}

    def __getitem__(self, value: ir.Value) -> Mask:
        """The set of a tensor with known channels, ``[C]``. Do not write to it."""
        if value not in self._masks:
            self._masks[value] = np.zeros(channels(value) or 0, np.bool_)
        return self._masks[value]

    def items(self) -> list[tuple[ir.Value, Mask]]:
        """All tensors that were looked at, with their sets."""
        return list(self._masks.items())

    def grow(self, value: ir.Value, mask: Mask) -> None:
        """Add the channels of a mask ``[C]``."""
        old = self[value]
        if (mask & ~old).any():
            self._masks[value] = old | mask
            self.grown[value] = None

    def grow_at(self, value: ir.Value, index: Index) -> None:
        """Add the channels at these positions."""
        mask = np.zeros(len(self[value]), np.bool_)
        mask[index] = True
        self.grow(value, mask)

    def grow_all(self, value: ir.Value | None) -> None:
        """Add all channels, if they are known."""
        count = channels(value)
        if value is not None and count is not None:
            self.grow(value, np.ones(count, np.bool_))
