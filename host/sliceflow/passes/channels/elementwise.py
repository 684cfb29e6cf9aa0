"""Operators that compute every element of the output from the elements at its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.passes.channels.compute import compute
from sliceflow.passes.channels.parameters import take_axis
from sliceflow.passes.channels.rule import Link, LinkedRule, first_only, one_to_one
from sliceflow.passes.channels.state import Constants, Mask, Masks, channels
from sliceflow.passes.view import attribute, axis_of, constant, rank

UNARY = (
    *("Abs", "Cast", "Ceil", "Celu", "Clip", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish"),
    *("Identity", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign"),
    *("Sin", "Softplus", "Softsign", "Sqrt", "Tanh", "ThresholdedRelu", "QuantizeLinear", "DequantizeLinear"),
)
NARY = (
    *("Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mul"),
    *("Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor"),
)


class ElementwiseRule(LinkedRule):
    """Channels correspond; tensors of one channel are broadcast; constants are computed by running the node.

    Taken if all activations have the rank of the output, and one channel or as many as the output.
    """

    def takes(self, node: ir.Node) -> bool:
        """Ranks and channels fit, and so do constants."""
        count, size = channels(node.outputs[0]), rank(node.outputs[0])
        active = _activations(node)
        if count is None or size is None or not active or not first_only(node):
            return False
        if any(rank(value) != size or channels(value) not in (1, count) for value in active):
            return False
        for index, value in enumerate(node.inputs):
            array = constant(value)
            if array is not None and _axis(node, index, array, count) is None:
                return False
        return any(channels(value) == count for value in active) or count == 1

    def links(self, node: ir.Node) -> list[Link]:
        """All activations."""
        target = node.outputs[0]
        count = channels(target) or 0
        links = []
        for value in _activations(node):
            if channels(value) == count:
                links.append(one_to_one(value, target))
            else:
                links.append(Link(value, np.zeros(count, np.intp), target, np.arange(count), tied=False))
        return links

    def constants(self, node: ir.Node, known: Constants) -> None:
        """Computed where all activations are constant; a factor of zero makes zero of anything."""
        target = node.outputs[0]
        count, size = channels(target) or 0, rank(target) or 0
        unknown = np.zeros(count, np.bool_)
        zero = np.zeros(count, np.bool_)
        arrays: list[NDArray[Any] | None] = []
        for value in node.inputs:
            array = constant(value)
            if value is None or array is not None:
                arrays.append(array)
                zero |= _zeros(array, count, size)
                continue
            vector = known.flat(value)
            unknown |= np.isnan(vector)
            zero |= vector == 0
            kind = value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)
            arrays.append(np.nan_to_num(vector).astype(kind).reshape(1, -1, *(1,) * (size - 2)))
        absorbed = zero if node.op_type == "Mul" else np.zeros(count, np.bool_)
        if (unknown & ~absorbed).all():
            return
        found = compute(node, arrays)
        if found is None or found.ndim != size or found.shape[1] != count:
            return
        flat = np.moveaxis(found.astype(np.float64), 1, 0).reshape(count, -1)
        uneven = (flat != flat[:, :1]).any(axis=1)
        known.set_flat(target, np.where(absorbed, 0.0, np.where(unknown | uneven, np.nan, flat[:, 0])))

    def cut(self, node: ir.Node, keep: Masks) -> None:
        """Slice constants for each channel."""
        kept = np.flatnonzero(keep[node.outputs[0]])
        count = len(keep[node.outputs[0]])
        for index, value in enumerate(node.inputs):
            array = constant(value)
            axis = _axis(node, index, array, count) if array is not None else None
            if axis is not None and array is not None and array.ndim > axis >= 0 and array.shape[axis] == count > 1:
                take_axis(node, index, kept, axis)


def _activations(node: ir.Node) -> list[ir.Value]:
    return [value for value in node.inputs if value is not None and not value.is_initializer()]


def _axis(node: ir.Node, index: int, array: NDArray[Any], count: int) -> int | None:
    """The axis of a constant that meets the channels, -1 if it has none, None if the constant does not fit."""
    size = rank(node.outputs[0]) or 0
    if array.size == 1 and array.ndim <= size:
        return -1
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        fits = index > 0 and array.shape == (count,) and not attribute(node, "block_size", 0)
        return 0 if fits and axis_of(int(attribute(node, "axis", 1)), size) == 1 else None
    if node.op_type not in NARY or array.ndim > size:
        return None
    axis = array.ndim - (size - 1)
    if axis < 0:
        return -1
    return axis if array.shape[axis] in (1, count) else None


def _zeros(array: NDArray[Any] | None, count: int, size: int) -> Mask:
    """For which channels a factor is zero everywhere."""
    if array is None or array.ndim > size:
        return np.zeros(count, np.bool_)
    wide = array.reshape((1,) * (size - array.ndim) + array.shape)
    axes = tuple(axis for axis in range(size) if axis != 1)
    return np.broadcast_to((wide == 0).all(axis=axes), (count,))
