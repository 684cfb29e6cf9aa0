"""Operator-oriented quantization by its definition, in NumPy: whole sums, one multiplication, one rounding."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.models import Graph

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Grid:
    """Scale and zero point of a type."""

    scale: Any
    zero: Any
    dtype: str

    @classmethod
    def random(cls, rng: np.random.Generator, dtype: str = "uint8", scale: float = 0.05) -> Grid:
        info = np.iinfo(dtype)
        zero = int(rng.integers(info.min + 60, info.max - 60))
        return cls(np.float32(scale * rng.uniform(0.5, 2)), zero, dtype)

    def real(self, stored: Array, axis: int | None = None) -> Array:
        shape = [1] * stored.ndim
        if axis is not None:
            shape[axis] = -1
        scale, zero = (np.asarray(each, np.float64).reshape(shape if np.ndim(each) else ()) for each in self.parts)
        return (stored.astype(np.float64) - zero) * scale

    def steps(self, real: Array) -> Array:
        """Where a real number lies between the integers of the grid, before rounding."""
        return real / float(self.scale) + self.zero

    @property
    def parts(self) -> tuple[Any, Any]:
        return self.scale, self.zero

    def values(self, rng: np.random.Generator, *shape: int) -> Array:
        info = np.iinfo(self.dtype)
        return rng.integers(info.min, info.max, shape, dtype=self.dtype, endpoint=True)

    def names(self, g: Graph, *, vector: bool = False) -> tuple[str, str]:
        """Constants that hold them."""
        scale, zero = ([self.scale], [self.zero]) if vector and np.ndim(self.scale) == 0 else self.parts
        return g.constant(scale), g.constant(zero, self.dtype)


def conv(x: Array, w: Array, *, pads: int = 0, stride: int = 1, group: int = 1) -> Array:
    """Cross-correlation of ``[N, C, H, W]`` with ``[O, C / group, KH, KW]`` in float64 (whole numbers stay whole)."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pads, pads), (pads, pads)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[2:], (2, 3))[:, :, ::stride, ::stride]
    inputs, outputs = np.split(windows, group, axis=1), np.split(w.astype(np.float64), group)
    parts = [np.einsum("nchwij,ocij->nohw", i, o) for i, o in zip(inputs, outputs, strict=True)]
    return np.concatenate(parts, axis=1)


def assert_rounded(found: Array, steps: Array, dtype: str, context: object) -> None:
    """Every value is the rounded, saturated step; a neighbour is right only at a tie."""
    info = np.iinfo(dtype)
    assert found.dtype == dtype
    assert found.shape == steps.shape
    wanted = np.clip(np.rint(steps), info.min, info.max)
    wrong = found != wanted
    at_tie = np.abs(steps - np.floor(steps) - 0.5) < 1e-3
    assert not (wrong & ~at_tie).any(), context
    assert np.abs(found.astype(np.int64) - wanted).max(initial=0) <= 1, context
