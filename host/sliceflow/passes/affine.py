"""Per-channel affine nodes, and the layers that can take them in. Shared by the folding passes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.passes.edit import add_initializer, drop_unread
from sliceflow.passes.view import attribute, constant, dims, graph_of, input_at, is_op, only_consumer


@dataclasses.dataclass(frozen=True)
class Affine:
    """``y[:, c] = scale[c] * x[:, c] + shift[c]``."""

    source: ir.Value
    scale: NDArray[np.float64]
    """``[C]``, or ``[1]`` for all channels alike."""
    shift: NDArray[np.float64]

    def over(self, channels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Scale and shift as ``[channels]`` each, None if the counts contradict each other."""
        if self.scale.size not in (1, channels) or self.shift.size not in (1, channels):
            return None
        return np.broadcast_to(self.scale, (channels,)), np.broadcast_to(self.shift, (channels,))


def affine_of(node: ir.Node) -> Affine | None:
    """A BatchNormalization (inference), or an Add, Sub, Mul or Div with a constant for each channel, as an Affine."""
    if is_op(node, "BatchNormalization"):
        return _batch_norm(node)
    if not is_op(node, "Add", "Sub", "Mul", "Div") or len(node.inputs) != 2:
        return None
    for index in (1, 0):
        source = node.inputs[1 - index]
        vector = _channel_vector(node.inputs[index], source)
        if vector is not None and source is not None:
            return _arithmetic(node.op_type, source, vector, constant_first=index == 0)
    return None


def _batch_norm(node: ir.Node) -> Affine | None:
    arrays = [constant(value) for value in node.inputs[1:5]]
    source = node.inputs[0]
    if source is None or attribute(node, "training_mode", 0) or any(output.uses() for output in node.outputs[1:]):
        return None
    known = [array for array in arrays if array is not None and array.dtype.kind == "f"]
    if len(known) != 4:
        return None
    with np.errstate(all="ignore"):
        gamma, beta, mean, variance = (array.astype(np.float64).reshape(-1) for array in known)
        scale = gamma / np.sqrt(variance + float(attribute(node, "epsilon", 1e-5)))
    shift = beta - mean * scale
    finite = bool(np.isfinite(scale).all() and np.isfinite(shift).all())
    return Affine(source, scale, shift) if finite else None


def _arithmetic(op_type: str, source: ir.Value, vector: NDArray[np.float64], *, constant_first: bool) -> Affine | None:
    one, zero = np.ones(1), np.zeros(1)
    if op_type == "Add":
        return Affine(source, one, vector)
    if op_type == "Mul":
        return Affine(source, vector, zero)
    if op_type == "Sub":
        return Affine(source, -one, vector) if constant_first else Affine(source, one, -vector)
    if constant_first or not vector.all():
        return None
    return Affine(source, 1.0 / vector, zero)


def _channel_vector(value: ir.Value | None, source: ir.Value | None) -> NDArray[np.float64] | None:
    """A float constant that varies over axis 1 only and does not enlarge ``source``, as ``[C]`` or ``[1]``."""
    array, found = constant(value), dims(source)
    if array is None or found is None or array.dtype.kind != "f" or not len(found) >= 2 or array.ndim > len(found):
        return None
    shape = (1,) * (len(found) - array.ndim) + array.shape
    if any(size != 1 for i, size in enumerate(shape) if i != 1) or shape[1] not in (1, found[1]):
        return None
    vector = array.astype(np.float64).reshape(-1)
    return vector if np.isfinite(vector).all() else None


@dataclasses.dataclass
class Layer:
    """A Conv, ConvTranspose or canonical Gemm with constant weights, float or behind one DequantizeLinear."""

    node: ir.Node
    weights: NDArray[Any]
    """The stored weights: float, or integers if ``dequantize`` is set."""
    bias: NDArray[np.float64]
    """``[O]``, zeros if the layer has none."""
    dequantize: ir.Node | None

    @property
    def outputs(self) -> int:
        """Output channels."""
        if self.node.op_type == "ConvTranspose":
            return int(self.weights.shape[1]) * int(attribute(self.node, "group", 1))
        return int(self.weights.shape[0])

    @classmethod
    def of(cls, node: ir.Node | None) -> Layer | None:
        """The layer of a node, None if it is none, or if its weights or bias are not constant."""
        if node is None or not is_op(node, "Conv", "ConvTranspose", "Gemm") or len(node.inputs) < 2:
            return None
        if node.op_type == "Gemm" and not attribute(node, "transB", 0):
            return None
        weights, dequantize = stored_weights(node.inputs[1])
        if weights is None or weights.ndim < 2:
            return None
        bias_input = input_at(node, 2)
        layer = cls(node, weights, np.zeros(0), dequantize)
        bias = np.zeros(layer.outputs) if bias_input is None else real_constant(bias_input)
        if bias is None or bias.size != layer.outputs:
            return None
        layer.bias = bias.reshape(-1)
        return layer

    def scale_outputs(self, factors: NDArray[np.float64], shift: NDArray[np.float64]) -> bool:
        """Multiply the outputs by ``factors`` and add ``shift``, both ``[O]``; False if the weights cannot express it.

        Integer weights keep their integers: the factors go to the scale of each channel, and must be positive.
        """
        if self.dequantize is None:
            layout = [1] * self.weights.ndim
            if self.node.op_type == "ConvTranspose":
                spread = np.repeat(
                    factors.reshape(-1, self.weights.shape[1]), self.weights.shape[0] // self._groups, axis=0
                )
                factor = spread.reshape(*spread.shape, *layout[2:])
            else:
                factor = factors.reshape(-1, *layout[1:])
            scaled = _same_type(self.weights * factor, self.weights)
            if scaled is None:
                return False
            self.replace_input(1, scaled, "weight")
        elif not self._scale_dequantize(factors):
            return False
        self.set_bias(self.bias * factors + shift)
        return True

    @property
    def _groups(self) -> int:
        return int(attribute(self.node, "group", 1))

    def _scale_dequantize(self, factors: NDArray[np.float64]) -> bool:
        node = self.dequantize
        if node is None or (factors <= 0).any() or self.node.op_type == "ConvTranspose":
            return False
        if only_consumer(node.outputs[0]) is None:
            return False
        scale, zero = constant(node.inputs[1]), constant(input_at(node, 2))
        if scale is None or scale.size not in (1, factors.size) or not per_channel(node, self.weights.ndim, 0):
            return False
        wide = _same_type(np.broadcast_to(scale.reshape(-1), factors.shape) * factors, scale)
        if wide is None or (wide <= 0).any():
            return False
        old = list(node.inputs[1:])
        node.replace_input_with(1, add_initializer(graph_of(node), wide, f"{node.name}_scale"))
        if zero is not None:
            zeros = np.ascontiguousarray(np.broadcast_to(zero.reshape(-1), factors.shape))
            node.replace_input_with(2, add_initializer(graph_of(node), zeros, f"{node.name}_zero_point"))
        node.attributes["axis"] = ir.AttrInt64("axis", 0)
        drop_unread(graph_of(node), *old)
        return True

    def replace_input(self, index: int, array: NDArray[Any], suffix: str) -> None:
        """Put a new initializer in the place of an input."""
        if index >= len(self.node.inputs):
            self.node.resize_inputs(index + 1)
        old = self.node.inputs[index]
        self.node.replace_input_with(index, add_initializer(graph_of(self.node), array, f"{self.node.name}_{suffix}"))
        drop_unread(graph_of(self.node), old)

    def set_bias(self, bias: NDArray[np.float64]) -> None:
        """Write the bias; an absent one stays absent if it is all zero."""
        if input_at(self.node, 2) is None and not bias.any():
            return
        dtype = self.node.outputs[0].dtype
        kind = np.dtype(dtype.numpy()) if dtype is not None else np.dtype(np.float32)
        self.replace_input(2, bias.astype(kind if self.dequantize is not None else self.weights.dtype), "bias")


def _same_type(array: NDArray[Any], like: NDArray[Any]) -> NDArray[Any] | None:
    """The array in the type of ``like``; None if a value does not fit."""
    with np.errstate(all="ignore"):
        cast = array.astype(like.dtype)
    return cast if np.isfinite(cast).all() or not np.isfinite(like).all() else None


def per_channel(dequantize: ir.Node, dimensions: int, axis: int) -> bool:
    """Whether a DequantizeLinear has one scale, or one for each position of ``axis``; no blocks."""
    if attribute(dequantize, "block_size", 0):
        return False
    scale = constant(dequantize.inputs[1])
    if scale is None:
        return False
    return scale.size == 1 or int(attribute(dequantize, "axis", 1)) in (axis, axis - dimensions)


def stored_weights(value: ir.Value | None) -> tuple[NDArray[Any] | None, ir.Node | None]:
    """A float constant and None, or the integers and the DequantizeLinear over them, or twice None."""
    array = constant(value)
    if array is not None:
        return (array, None) if array.dtype.kind == "f" else (None, None)
    producer = value.producer() if value is not None else None
    if producer is None or not is_op(producer, "DequantizeLinear") or len(producer.inputs) < 2:
        return None, None
    stored, scale, zero = (constant(input_at(producer, i)) for i in range(3))
    if stored is None or scale is None or (zero is None and input_at(producer, 2) is not None):
        return None, None
    return stored, producer


def real_constant(value: ir.Value | None) -> NDArray[np.float64] | None:
    """A small float constant, or a dequantized one, as real numbers."""
    array, dequantize = stored_weights(value)
    if array is None or dequantize is None:
        return None if array is None else array.astype(np.float64)
    if attribute(dequantize, "block_size", 0):
        return None
    scale, zero = constant(dequantize.inputs[1]), constant(input_at(dequantize, 2))
    if scale is None or (zero is not None and zero.size != scale.size):
        return None
    layout: list[int] = []
    if scale.size > 1:
        axis = int(attribute(dequantize, "axis", 1))
        if not -array.ndim <= axis < array.ndim or array.shape[axis] != scale.size:
            return None  # the node contradicts itself, and is left to who runs it
        layout = [-1 if i == axis % array.ndim else 1 for i in range(array.ndim)]
    centred = array.astype(np.float64) - (0 if zero is None else zero.astype(np.float64).reshape(layout))
    real: NDArray[np.float64] = centred * scale.astype(np.float64).reshape(layout)
    return real
