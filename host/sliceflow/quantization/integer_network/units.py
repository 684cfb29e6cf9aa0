"""Powers of two that tensors are multiplied by, so that no operator of the graph has to rescale.

An exporter's ``Add -> Mul(0.5)`` is, for an accelerator, one addition whose result has another scale. So each tensor
may stand for ``2^e`` times what the file says; the readers' weights make up for it.
"""

from __future__ import annotations

import onnx_ir as ir


class Units:
    """An exponent for each tensor, known up to what ties it to others (union-find with distances)."""

    def __init__(self) -> None:
        self._parent: dict[ir.Value, tuple[ir.Value, int]] = {}
        self._fixed: dict[ir.Value, int] = {}

    def _root(self, value: ir.Value) -> tuple[ir.Value, int]:
        """The tensor that stands for the set, and by how much the exponent of ``value`` exceeds its own."""
        above = 0
        while value in self._parent:
            value, step = self._parent[value]
            above += step
        return value, above

    def tie(self, first: ir.Value, second: ir.Value, difference: int = 0) -> bool:
        """State that the exponent of ``second`` exceeds that of ``first``; False if that contradicts what is known."""
        (one, above_one), (two, above_two) = self._root(first), self._root(second)
        step = above_one + difference - above_two  # of two's exponent over one's
        if one is two:
            return step == 0
        if two in self._fixed:
            wanted = self._fixed[two] - step
            if self._fixed.setdefault(one, wanted) != wanted:
                return False
        self._parent[two] = (one, step)
        return True

    def fix(self, value: ir.Value) -> bool:
        """State that a tensor stands for what the file says; False if that contradicts what is known."""
        root, above = self._root(value)
        return self._fixed.setdefault(root, -above) == -above

    def exponent(self, value: ir.Value) -> int:
        """The exponent of a tensor; 0 where nothing says otherwise."""
        root, above = self._root(value)
        return self._fixed.get(root, 0) + above
