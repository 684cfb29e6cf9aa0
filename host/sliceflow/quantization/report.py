"""What quantization decided, as plain data."""

from __future__ import annotations

import dataclasses
from typing import Any

from sliceflow.quantization.options import QuantizationOptions
from sliceflow.quantization.quality import Quality


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorQuantization:
    """One activation tensor: ``real = scale * (q - zero_point)``.

    Attributes:
        name: the tensor's name in the float model.
        scale: float32 value of one step.
        zero_point: integer that stands for 0.
        dtype: ``"uint8"``, ``"int8"``, ``"uint16"`` or ``"int16"``.
        low: least value that calibration kept (the union over the tensors that share the scale).
        high: greatest value that calibration kept.
        method: how the range was found.
        shares: name of the tensor whose scale this one has; its own name if it leads.
    """

    name: str
    scale: float
    zero_point: int
    dtype: str
    low: float
    high: float
    method: str
    shares: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerQuantization:
    """The weights of one convolution or fully connected layer.

    Attributes:
        name: the node's name.
        op: its ONNX operator.
        channels: output channels.
        zero_channels: output channels whose weights are all zero.
        scale_min: least weight scale.
        scale_max: greatest weight scale.
        snr_db: signal to noise ratio of the weights, in dB; None if nothing was lost.
        raised_channels: channels whose scale was raised so that bias and sum fit the int32 accumulator.
        accumulator_bits: bits (with sign) that the largest possible sum of this layer needs.
    """

    name: str
    op: str
    channels: int
    zero_channels: int
    scale_min: float
    scale_max: float
    snr_db: float | None
    raised_channels: tuple[int, ...]
    accumulator_bits: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantizationReport:
    """The decisions of one quantization.

    Attributes:
        options: what was asked for.
        method: how the ranges were found: what was asked for, or what ``auto`` chose.
        samples: calibration samples used.
        tensors: the quantized activations, in execution order.
        layers: the layers with weights, in execution order.
        float_nodes: names of the nodes that stay float.
        notes: sentences on anything a user should look at.
        quality: the comparison with the float model; None if there was none.
    """

    options: QuantizationOptions
    method: str
    samples: int
    tensors: tuple[TensorQuantization, ...]
    layers: tuple[LayerQuantization, ...]
    float_nodes: tuple[str, ...]
    notes: tuple[str, ...]
    quality: Quality | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on outputs that are not good enough to be used unseen."""
        return () if self.quality is None else self.quality.warnings(self.options)

    def to_json(self) -> dict[str, Any]:
        """All fields, as plain data."""
        return {**dataclasses.asdict(self), "options": self.options.to_json(), "warnings": list(self.warnings)}
