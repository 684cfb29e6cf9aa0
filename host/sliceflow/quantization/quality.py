"""How far a quantized model is from the float model: at its outputs, and what each layer adds by itself.

Figures are signal-to-quantization-noise ratios (SQNR): ten times the decimal logarithm of the sum of squares of the
float model's values over that of the differences, in dB, over all samples.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from sliceflow.quantization.options import QuantizationOptions

LEAST_DB = 15.0
"""SQNR of an output under which a user is warned."""
LEAST_PART_DB = 3.0
"""The same for a single channel or column of an output: half of what it has is error."""
LEAST_LAYER_DB = 20.0
"""SQNR of a single layer under which the ranges of the channels that it reads are looked at."""
_FEWEST_VALUES = 8
"""A channel or column of fewer values than that is no ground for a warning."""
_NAMED = 3
_MUCH_LESS_DB = 10.0
"""A layer that loses so much less than the worst one is not named with it."""
_FEW_SAMPLES = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartQuality:
    """The channel or column of an output that lost most.

    Attributes:
        axis: axis of the output.
        index: its position there.
        sqnr_db: its SQNR; None if nothing was lost.
        largest: its largest magnitude in the float model.
        values: values that it has in all samples.
    """

    axis: int
    index: int
    sqnr_db: float | None
    largest: float
    values: int

    @property
    def is_lost(self) -> bool:
        """Whether about half of it, or more, is error."""
        return self.values >= _FEWEST_VALUES and self.sqnr_db is not None and self.sqnr_db < LEAST_PART_DB


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputQuality:
    """One output of the model.

    Attributes:
        name: its name.
        sqnr_db: its SQNR; None where there is none, for the reason in ``note``.
        worst: its worst part along axis 1 or along the last axis, whichever has parts that differ more in magnitude.
        agreement: share of equal values, for outputs of integers.
        note: what is special: nothing was lost, it is all zero, there are values that are not finite ...
        lost: what is special and bad; as a sentence without its subject.
    """

    name: str
    sqnr_db: float | None
    worst: PartQuality | None = None
    agreement: float | None = None
    note: str = ""
    lost: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerQuality:
    """What one layer adds by itself, with the float model's values in front of it.

    Attributes:
        name: the node, as ``exclude`` takes it.
        op: its operator.
        tensor: its result, at which it is measured.
        sqnr_db: SQNR of the result, with inputs, weights and result quantized; None if nothing was lost, or nothing
            can be said: the result is all zero, or not finite.
    """

    name: str
    op: str
    tensor: str
    sqnr_db: float | None

    @property
    def db(self) -> float:
        """The figure as a number to sort by: infinite if there is none."""
        return math.inf if self.sqnr_db is None else self.sqnr_db


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputRange:
    """What the samples of one input hold.

    Attributes:
        name: the input.
        low: least value.
        high: greatest value.
    """

    name: str
    low: float
    high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quality:
    """The comparison of a quantized model with its float model.

    Attributes:
        samples: samples compared.
        held_back: whether calibration did not see them.
        inputs: what the samples hold.
        outputs: the outputs, in the model's order.
        layers: the layers, in execution order.
        notes: sentences on tensors that explain a layer's loss.
    """

    samples: int
    held_back: bool
    inputs: tuple[InputRange, ...]
    outputs: tuple[OutputQuality, ...]
    layers: tuple[LayerQuality, ...]
    notes: tuple[str, ...] = ()

    def warnings(self, options: QuantizationOptions) -> tuple[str, ...]:
        """Sentences on outputs that are not good enough to be used unseen, with what to try."""
        found = []
        for output in self.outputs:
            if output.sqnr_db is not None and output.sqnr_db < LEAST_DB:
                found.append(
                    f"output {output.name!r} is far from the float model's: SQNR {output.sqnr_db:.1f} dB, "
                    f"under {LEAST_DB:g} dB. {self._cure(options)}"
                )
            elif output.lost:
                found.append(f"output {output.name!r}: {output.lost}. {self._cure(options)}")
            elif (part := output.worst) is not None and part.is_lost:
                found.append(
                    f"output {output.name!r} has lost a part that is much smaller than others: index {part.index} of "
                    f"axis {part.axis} (up to {part.largest:.3g}) has an SQNR of {part.sqnr_db:.1f} dB, the output as "
                    f"a whole {output.sqnr_db:.1f} dB. Give the parts outputs of their own in front of what joins "
                    f"them, or scale the small one up. {self._cure(options, layers=False)}"
                )
        return tuple(found)

    def _cure(self, options: QuantizationOptions, *, layers: bool = True) -> str:
        tries = []
        if self.samples < _FEW_SAMPLES:
            tries.append("more and more typical calibration samples")
        if options.method != "auto":
            tries.append("--method auto")
        if not options.activations.endswith("16"):
            tries.append("--activations int16 (profiles of 16-bit activations)")
        losers = self.worst_layers[:_NAMED]
        worst = [layer.name for layer in losers if layer.db < losers[0].db + _MUCH_LESS_DB]
        if layers and worst:
            named = " ".join(f"--exclude {name}" for name in worst)
            tries.append(f"{named} (they lose most, and would run on the CPU in float)")
        return f"Try {'; '.join(tries)}."

    @property
    def worst_layers(self) -> tuple[LayerQuality, ...]:
        """The layers that lose something, those that lose most first."""
        return tuple(sorted((x for x in self.layers if x.sqnr_db is not None), key=lambda layer: layer.db))

    def to_json(self) -> dict[str, Any]:
        """All fields, as plain data."""
        return dataclasses.asdict(self)
