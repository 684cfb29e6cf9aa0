"""What `verify` tells about the values of a layer besides whether they match."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass
class Saturation:
    """Values that one clamp of a layer saw.

    Attributes:
        values: all of them.
        below: those that the lower limit changed (for a fused ReLU: the negative ones).
        above: those that the upper limit changed.
    """

    values: int = 0
    below: int = 0
    above: int = 0


@dataclasses.dataclass
class LayerStatistics:
    """Counts of one execution of a layer.

    Attributes:
        overflows: accumulators that did not fit 32 bits; the mapper promises none.
        saturation: by clamp: ``requantize``, ``add`` and ``pool``, if the layer has it.
    """

    overflows: int = 0
    saturation: dict[str, Saturation] = dataclasses.field(default_factory=dict)

    def clamp(self, name: str, values: NDArray[Any], low: float, high: float) -> NDArray[Any]:
        """Limit ``values`` to ``low..high`` in their own type, and count what that changed."""
        seen = self.saturation.setdefault(name, Saturation())
        seen.values += values.size
        seen.below += int(np.count_nonzero(values < low))
        seen.above += int(np.count_nonzero(values > high))
        limited: NDArray[Any] = np.clip(values, values.dtype.type(low), values.dtype.type(high))
        return limited
