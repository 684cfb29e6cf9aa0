"""What a user can choose about post-training quantization."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

from sliceflow.errors import UserError

METHODS = ("auto", "minmax", "percentile", "mse")
"""How the range of an activation is chosen from the calibration data."""
SCHEMES = ("auto", "thesis", "uint8", "int8", "uint16", "int16")
"""How a range becomes integers (see :class:`QuantizationOptions`)."""
WEIGHTS = ("int8", "int4")
"""Types of quantized weights."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantizationOptions:
    """Choices of one quantization.

    Attributes:
        method: ``"auto"`` tries the others on a few samples and takes the one with the least error at the model's
            outputs; ``"minmax"`` keeps every value that calibration saw; ``"percentile"`` clips the rarest values;
            ``"mse"`` takes the range with the smallest mean squared error.
        percentile: for ``"percentile"``: per cent of the values that stay inside the range, in (50, 100].
        activations: ``"thesis"``: unsigned with zero point 0 for tensors without negative values, signed symmetric
            for the others. ``"auto"``: the same, but unsigned with a zero point where a lopsided range would leave
            over a quarter of the signed codes unused. ``"uint8"``: always unsigned with a zero point. ``"int8"``:
            always signed symmetric. ``"uint16"``, ``"int16"``: the same with sixteen bits. ``"int16"`` leaves the
            int32 accumulator more room: a tensor without negative values uses half of its codes.
        weights: ``"int8"`` or ``"int4"``, always symmetric.
        exclude: names of nodes that stay float.
        batch_megabytes: bound on the activations that calibration holds at a time, in MiB. One sample is the least.
        threads: threads of ONNX Runtime during calibration; 0 lets it choose.

    Raises:
        UserError: a value outside its domain.
    """

    method: str = "auto"
    percentile: float = 99.99
    activations: str = "auto"
    weights: str = "int8"
    exclude: frozenset[str] = frozenset()
    batch_megabytes: int = 256
    threads: int = 0

    def __post_init__(self) -> None:
        for field, known in (("method", METHODS), ("activations", SCHEMES), ("weights", WEIGHTS)):
            if getattr(self, field) not in known:
                raise UserError(
                    f"{field} must be one of {', '.join(known)}, not {getattr(self, field)!r}",
                    where="quantization options",
                    fix=f"choose {known[0]!r} if you are not sure",
                )
        for field, low, high in (
            ("percentile", 50.0, 100.0),
            ("batch_megabytes", 0, 1 << 20),
            ("threads", -1, 1 << 10),
        ):
            if not low < getattr(self, field) <= high:
                raise UserError(
                    f"{field} must be over {low} and at most {high}, not {getattr(self, field)!r}",
                    where="quantization options",
                    fix="correct that value",
                )

    @classmethod
    def for_widths(
        cls,
        activation_bits: int = 8,
        weight_bits: int = 8,
        *,
        activations: str = "auto",
        weights: str = "auto",
        **choices: Any,
    ) -> Self:
        """Options in which ``auto`` means the integers that an accelerator has.

        Args:
            activation_bits: the accelerator's; ``auto`` becomes ``int16`` for 16.
            weight_bits: the accelerator's; ``auto`` becomes ``int4`` for 4, and else ``int8``.
            activations: as the user said.
            weights: as the user said.
            choices: the other fields.
        """
        if activations == "auto" and activation_bits == 16:
            activations = "int16"
        if weights == "auto":
            weights = "int4" if weight_bits == 4 else "int8"
        return cls(activations=activations, weights=weights, **choices)

    def to_json(self) -> dict[str, Any]:
        """All fields, as plain data."""
        return {**dataclasses.asdict(self), "exclude": sorted(self.exclude)}
