"""How far two executions of a model may be apart where float arithmetic and rounding are in between."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.graph.program import Program
from sliceflow.sqnr import sqnr_db

Array = NDArray[Any]
_FAR = 1e9  # stands for infinity, which JSON does not have
_NO_SIGNAL = 1e-30  # stands for the energy of zeros
NEAR_TIE = 0.02
"""How near to a rounding tie a float32 sum may come out on the other side of it, in steps of eight bits."""
_EXACT_DB, _ROUNDED_DB = 80.0, 30.0


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """What a layer may be off, given the same numbers, and an output end to end (docs/numerics.md).

    Attributes:
        steps: for quantized values: all may differ by so many steps. Behind inner quantizers, where one rounding tie
            can become more steps, one value in 1,000 may be further off.
        float_db: SQNR of values that are not quantized, in decibels.
        rounded_db: the same behind inner quantizers.
        layers_decide: whether each layer must keep it, or only each output end to end.
    """

    steps: float
    float_db: float
    rounded_db: float
    layers_decide: bool

    @classmethod
    def between(cls, program: Program, *, model_is_quantized: bool, decibels: float) -> Tolerance:
        """The tolerance for a program and a model.

        Args:
            program: of an integer or a float profile.
            model_is_quantized: whether the model has quantizers.
            decibels: what each output must reach if the program is quantized and the model is not.
        """
        if not (program.profile.is_float or model_is_quantized):
            return cls(math.inf, decibels, decibels, layers_decide=False)
        # Float32 sums are no finer than steps of sixteen bits.
        return cls(8.0 if program.profile.activation_bits == 16 else 1.0, _EXACT_DB, _ROUNDED_DB, layers_decide=True)

    def told(self) -> str:
        """In words."""
        if not self.layers_decide:
            return f"every output end to end has an SQNR of at least {self.float_db:g} dB"
        return (
            f"quantized values are off by {self.steps:g} {'step' if self.steps == 1 else 'steps'} at most (behind "
            f"inner quantizers 1 in 1,000 by more), others have an SQNR of {self.float_db:g} dB (behind quantizers "
            f"{self.rounded_db:g} dB)"
        )


@dataclasses.dataclass
class Agreement:
    """Comparison of one layer's results with the model's, over all images.

    Attributes:
        layer: the layer.
        value: the model's value.
        step: of its scale; None if it is not quantized.
        roundings: inner quantizers.
        values: how many were compared.
        beyond: how many differ by more than the tolerance's steps.
        off: how many differ at all, if there is a step.
        unexplained: how many of them although the model's own value, in front of the quantizer, is not near a tie.
        max_error: largest difference, in steps if there is a step.
        signal, noise: energy of the model's values and of the differences.
        place: image and index, expected and got, of the first value beyond; of the largest error without steps.
    """

    layer: str
    value: str
    step: float | None
    roundings: int
    values: int = 0
    beyond: int = 0
    off: int = 0
    unexplained: int = 0
    max_error: float = 0.0
    signal: float = 0.0
    noise: float = 0.0
    place: tuple[int, tuple[int, ...], float, float] | None = None

    def add(self, expected: Array, got: Array, image: int, tolerance: Tolerance, exact: Array | None = None) -> None:
        """Count the differences of one image.

        Args:
            expected: the model's values.
            got: ours, of the same shape.
            image: its number.
            tolerance: what may differ.
            exact: the model's values before they were rounded.
        """
        difference = distance(expected, got)
        error = difference / self.step if self.step else difference
        wrong = error > tolerance.steps + 1e-3 if self.step else error > self.max_error
        if wrong.any() and (self.place is None or not self.step):
            index = np.unravel_index(int(wrong.argmax() if self.step else error.argmax()), error.shape)
            self.place = (image, tuple(int(i) for i in index), float(expected[index]), float(got[index]))
        if self.step:
            apart = error > 0.5
            self.off += int(apart.sum())
            if exact is not None and apart.any():
                steps = exact[apart].astype(np.float64) / self.step
                self.unexplained += int((np.abs(np.abs(steps - np.floor(steps)) - 0.5) > NEAR_TIE).sum())
        self.values += error.size
        self.beyond += int(wrong.sum()) if self.step else 0
        self.max_error = max(self.max_error, round(float(error.max(initial=0)), 6))
        finite = np.where(np.isfinite(expected), expected, 0).astype(np.float64)
        self.signal += float(np.square(finite).sum())
        self.noise += float(np.square(difference).sum())

    def match(self, tolerance: Tolerance) -> bool:
        """Whether the layer agrees."""
        if self.step and math.isfinite(tolerance.steps):
            return self.beyond <= (max(1, self.values // 1000) if self.roundings else 0)
        needed = tolerance.rounded_db if self.roundings else tolerance.float_db
        return not self.noise or (self.sqnr_db is not None and self.sqnr_db >= needed)

    @property
    def sqnr_db(self) -> float | None:
        """Energy of the model's values over that of the differences, in decibels; None if there are none."""
        return sqnr_db(max(self.signal, _NO_SIGNAL), self.noise)

    @property
    def relative_noise(self) -> float:
        """Energy of the differences as a share of the values'."""
        return self.noise / max(self.signal, _NO_SIGNAL)

    def told(self) -> dict[str, Any]:
        """Where it first differs, as plain data."""
        image, index, expected, got = self.place or (0, (), 0.0, 0.0)
        place = {"image": image, "index": list(index), "expected": expected, "got": got}
        return {"layer": self.layer, "value": self.value, **place}

    def to_json(self, tolerance: Tolerance) -> dict[str, Any]:
        """Plain data."""
        return {
            "layer": self.layer,
            "value": self.value,
            "match": self.match(tolerance),
            "values": self.values,
            "roundings": self.roundings,
            "off": self.off,
            "unexplained": self.unexplained,
            "beyond": self.beyond,
            "max_error": self.max_error,
            "in_steps": self.step is not None,
            "sqnr_db": self.sqnr_db,
        }


def distance(expected: Array, got: Array) -> NDArray[np.float64]:
    """Absolute differences; equal infinities and NaN beside NaN count as equal."""
    same = (expected == got) | ((expected != expected) & (got != got))
    with np.errstate(invalid="ignore"):
        difference = np.abs(expected.astype(np.float64) - got.astype(np.float64))
    return np.where(same, 0.0, np.nan_to_num(np.minimum(difference, _FAR), nan=_FAR))
