"""Reading a normalized ONNX graph: shapes, attributes, constants and quantization parameters of values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.graph.program import stored_offset
from sliceflow.passes.view import attribute, constant, input_at, is_op

QUANTIZED_TYPES = ("int8", "uint8", "int16", "uint16")
"""Types of a quantized activation."""
_WEIGHT_TYPES = ("int8", "uint8", "int4", "uint4", "int16")
_FAR = 2.0**40
"""Stands for every bias that no accumulator holds."""
_ACCUMULATOR_SPAN = 2.0**31
_FLOAT32_STEP = 2.0**-24
"""Below this share of a float32 number, an addend does not change it."""


@dataclasses.dataclass(frozen=True)
class Quant:
    """Per-tensor quantization of an activation: ``real = scale * (q - zero_point)``."""

    scale: float
    zero_point: int
    dtype: str

    @property
    def low(self) -> int:
        """Smallest stored value, in the model's type."""
        return int(np.iinfo(self.dtype).min)

    @property
    def high(self) -> int:
        """Largest stored value, in the model's type."""
        return int(np.iinfo(self.dtype).max)

    @property
    def offset(self) -> int:
        """What is subtracted to store it as a signed number."""
        return stored_offset(self.dtype)

    @property
    def bits(self) -> int:
        """Bits of a value."""
        return int(np.iinfo(self.dtype).bits)

    @property
    def stored_zero(self) -> int:
        """Zero point of the stored (signed) values."""
        return self.zero_point - self.offset

    def quantize(self, real: float) -> int:
        """Stored (signed) value nearest to a real number, ties to even, saturated."""
        with np.errstate(over="ignore"):
            step = float(np.rint(np.float32(real) / np.float32(self.scale)))
        return int(min(max(step + self.zero_point, self.low), self.high)) - self.offset


def chw(dims: Sequence[int] | None) -> tuple[int, int, int] | None:
    """(C, H, W) of a batch-1 activation, None for other shapes.

    Channels come first, columns last; whatever lies between them counts as rows. A vector is one pixel.
    """
    if dims is None or len(dims) < 2 or dims[0] != 1 or min(dims) < 1:
        return None
    width = dims[-1] if len(dims) > 2 else 1
    return dims[1], math.prod(dims[2:-1]), width


def consumers(value: ir.Value) -> list[ir.Node]:
    """The nodes that read a value, each once."""
    return list(dict.fromkeys(node for node, _ in value.uses()))


def activation_quant(node: ir.Node) -> Quant | None:
    """Parameters of a per-tensor QuantizeLinear or DequantizeLinear of 8 or 16 bits, None if it is anything else."""
    if not is_op(node, "QuantizeLinear", "DequantizeLinear") or attribute(node, "block_size", 0):
        return None
    scale, zero = constant(input_at(node, 1)), constant(input_at(node, 2))
    if scale is None or scale.size != 1 or scale.dtype != np.float32:
        return None
    if zero is None and input_at(node, 2) is not None:
        return None  # a zero point that is computed, or an input of the model
    quantized = node.outputs[0] if node.op_type == "QuantizeLinear" else node.inputs[0]
    if zero is not None:
        dtype = zero.dtype.name
    else:
        dtype = quantized.dtype.name.lower() if quantized is not None and quantized.dtype else "uint8"
    number = float(scale.reshape(-1)[0])
    if dtype not in QUANTIZED_TYPES or not np.isfinite(number) or number <= 0 or (zero is not None and zero.size != 1):
        return None
    return Quant(number, 0 if zero is None else int(zero.reshape(-1)[0]), dtype)


@dataclasses.dataclass
class Weights:
    """Constant integer or float weights: ``real = scale[o] * q``."""

    values: NDArray[Any]
    """int16 ``[O, I/group, KH, KW]`` (zero point subtracted, -255..255), or float32."""
    scale: NDArray[np.float64]
    """One number for each output channel, at least 0; ones for float weights."""


def weights_of(value: ir.Value | None, out_channels_axis: int = 0) -> Weights | None:
    """Weights that arrive as DequantizeLinear of a constant of 4 or 8 bits, or as a float constant; None otherwise.

    A scale of 0 is allowed: it is what ``max|w| / 127`` gives for a channel that was pruned to zeros.
    """
    if value is None:
        return None
    array = constant(value)
    if array is not None and array.ndim <= out_channels_axis:
        return None
    if array is not None and array.dtype == np.float32:
        return Weights(array, np.ones(array.shape[out_channels_axis]))
    node = value.producer()
    if not is_op(node, "DequantizeLinear") or attribute(node, "block_size", 0):  # type: ignore[arg-type]
        return None
    assert node is not None
    stored, scale, zero = (constant(input_at(node, i)) for i in range(3))
    if stored is None or stored.dtype.name not in _WEIGHT_TYPES or scale is None:
        return None
    if stored.ndim <= out_channels_axis or (zero is None and input_at(node, 2) is not None):
        return None
    count = stored.shape[out_channels_axis]
    axis = int(attribute(node, "axis", 1)) % max(stored.ndim, 1)
    for parameter in (scale, zero):
        if parameter is not None and parameter.size > 1 and (parameter.size != count or axis != out_channels_axis):
            return None
    if scale.size == 0 or (zero is not None and zero.size == 0):
        return None
    flat_scale = np.broadcast_to(scale.reshape(-1).astype(np.float64), (count,))
    if not np.isfinite(flat_scale).all() or (flat_scale < 0).any():
        return None
    values = stored.astype(np.int16)
    if zero is not None and zero.any():
        wide = np.broadcast_to(zero.reshape(-1).astype(np.int16), (count,))
        values = values - wide.reshape([-1 if i == out_channels_axis else 1 for i in range(stored.ndim)])
    return Weights(values, np.array(flat_scale))


def with_live_scales(weights: Weights, bias: ir.Value | None, source: Quant) -> Weights:
    """The same weights, with a scale in every channel at which an accumulator can hold the bias.

    Where a scale is 0, or so small that the layer's bias needs more than 32 bits at it and the weights' share of the
    sum is lost in float32 next to the bias, the channel is its bias alone: its weights become zeros, and its scale the
    usual one of the layer, or a larger one that the bias needs. All other channels keep what they have.

    Args:
        weights: integer weights.
        bias: the layer's bias input; None means zero.
        source: quantization of the layer's input.
    """
    count = weights.scale.size
    real = _real_bias(bias, count)
    if real is None:
        return weights
    accumulator = source.scale * weights.scale
    reach = max(source.high - source.zero_point, source.zero_point - source.low)
    dead = np.abs(real) >= _ACCUMULATOR_SPAN * accumulator
    for channel in np.flatnonzero(dead):
        largest = int(np.abs(weights.values[channel].astype(np.int64)).sum()) * reach * accumulator[channel]
        dead[channel] = largest <= _FLOAT32_STEP * abs(real[channel])
    if not dead.any():
        return weights
    needed = np.abs(real) * _FLOAT32_STEP / source.scale
    usual = float(np.median(weights.scale[~dead])) if not dead.all() else float(needed.max()) or 1.0
    values = weights.values.copy()
    values[dead] = 0
    return Weights(values, np.where(dead, np.maximum(needed, usual), weights.scale))


def bias_of(value: ir.Value | None, accumulator_scale: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """An integer bias at the accumulator's scale from a constant float bias or DequantizeLinear of a constant.

    Args:
        value: the bias input, ``[O]``; None means zero.
        accumulator_scale: ``s_x * s_w[o]``, over zero.

    Returns:
        ``[O]`` int64, or None if the bias is not a constant.
    """
    real = _real_bias(value, accumulator_scale.size)
    if real is None:
        return None
    with np.errstate(all="ignore"):
        steps = np.rint(np.clip(real / accumulator_scale, -_FAR, _FAR))
    if np.isnan(steps).any():
        return None
    stored = _stored_bias(value)
    if stored is not None and stored.integers.dtype == np.int32:
        # The same scale up to float32 rounding: the integers are the bias, as in ONNX Runtime's QLinearConv.
        same = np.isclose(stored.scale, accumulator_scale, rtol=1e-5, atol=0)
        steps = np.where(same, stored.centred, steps)
    return steps.astype(np.int64)


@dataclasses.dataclass(frozen=True)
class _StoredBias:
    """Integers behind DequantizeLinear: ``real = scale * centred``, each ``[O]`` or one number."""

    integers: NDArray[Any]
    centred: NDArray[np.int64]
    scale: NDArray[np.float64]


def _stored_bias(value: ir.Value | None) -> _StoredBias | None:
    node = value.producer() if value is not None else None
    if node is None or not is_op(node, "DequantizeLinear"):
        return None
    stored, scale, zero = (constant(input_at(node, i)) for i in range(3))
    if stored is None or scale is None or (zero is None and input_at(node, 2) is not None):
        return None
    if any(each is not None and each.size not in (1, stored.size) for each in (scale, zero)):
        return None
    centred = stored.reshape(-1).astype(np.int64) - (0 if zero is None else zero.reshape(-1).astype(np.int64))
    return _StoredBias(stored, centred, scale.reshape(-1).astype(np.float64))


def _real_bias(value: ir.Value | None, count: int) -> NDArray[np.float64] | None:
    """The bias as real numbers ``[O]``, None if it is not a constant of so many."""
    if value is None:
        return np.zeros(count)
    stored = _stored_bias(value)
    array = constant(value)
    if stored is not None:
        real = stored.centred * stored.scale
    elif array is not None:
        real = array.reshape(-1).astype(np.float64)
    else:
        return None
    return real if real.size == count else None
