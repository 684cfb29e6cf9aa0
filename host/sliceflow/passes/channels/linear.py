"""Convolutions, transposed convolutions and fully connected layers with constant weights."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.passes.affine import Layer, per_channel
from sliceflow.passes.channels.parameters import take_parameter
from sliceflow.passes.channels.rule import Rule
from sliceflow.passes.channels.state import Constants, Mask, Masks, Vector, channels
from sliceflow.passes.edit import set_attributes
from sliceflow.passes.view import attribute, constant, input_at, is_op

_Item = TypeVar("_Item", bound=np.generic)
_ROWS = 256
"""Output channels that are summed at a time: in double precision, large weights would need much memory."""


@dataclasses.dataclass
class Linear:
    """A layer whose output channels are sums over the input channels of their group.

    Attributes:
        layer: the node with its stored weights and its bias.
        weights: the stored weights as ``[groups, outputs, inputs, ...]``, the counts being those of one group.
        uneven: a constant input does not make a constant output: zero padding, or windows that differ.
    """

    layer: Layer
    weights: NDArray[Any]
    uneven: bool

    @classmethod
    def of(cls, node: ir.Node) -> Linear | None:
        """The layer of a node; None if its weights are not constant, or stored in a way that cannot be sliced."""
        layer = Layer.of(node)
        if (
            layer is None
            or attribute(node, "transA", 0)
            or {attribute(node, k, 1.0) for k in ("alpha", "beta")} != {1.0}
        ):
            return None
        transposed = is_op(node, "ConvTranspose")
        groups = int(attribute(node, "group", 1))
        stored = layer.weights
        dequantize = layer.dequantize
        if dequantize is not None and (not per_channel(dequantize, stored.ndim, 0) or transposed):
            return None
        if groups < 1 or stored.shape[0] % groups or 0 in stored.shape:
            return None
        grouped = stored.reshape(groups, stored.shape[0] // groups, *stored.shape[1:])
        if transposed:
            grouped = np.swapaxes(grouped, 1, 2)
        source, target = node.inputs[0], node.outputs[0]
        if channels(source) != groups * grouped.shape[2] or channels(target) != groups * grouped.shape[1]:
            return None
        return cls(layer, grouped, transposed or _padded(node))

    @property
    def node(self) -> ir.Node:
        """The node."""
        return self.layer.node

    @property
    def source(self) -> ir.Value:
        """The activation that the layer reads."""
        value = self.node.inputs[0]
        if value is None:
            raise ValueError("a layer without input")
        return value

    def by_group(self, vector: NDArray[_Item]) -> NDArray[_Item]:
        """Input or output channels as ``[groups, channels of the group]``."""
        return vector.reshape(len(self.weights), -1)

    def nonzero(self) -> Mask:
        """Where an output reads an input: ``[groups, outputs, inputs]``, true if any element is not zero."""
        different: Mask = (self.weights != self._zero()).any(axis=tuple(range(3, self.weights.ndim)))
        return different

    def _zero(self) -> NDArray[Any]:
        """The stored number that means zero, in a shape that fits the weights."""
        point = constant(input_at(self.layer.dequantize, 2)) if self.layer.dequantize is not None else None
        if point is None:
            return np.zeros((), self.weights.dtype)
        points = np.broadcast_to(point.reshape(-1), (self.layer.outputs,))
        return points.reshape(*self.weights.shape[:2], *(1 for _ in self.weights.shape[2:]))

    def sums(self, values: Vector) -> Vector:
        """What constant inputs ``[I]`` add to each output, ``[O]``, as far from padding as possible."""
        given = self.by_group(values)
        result, zero = np.zeros(self.weights.shape[:2]), self._zero()
        for group in np.flatnonzero(given.any(axis=1)):
            columns = np.flatnonzero(given[group])
            for start in range(0, self.weights.shape[1], _ROWS):
                rows = slice(start, start + _ROWS)
                block = self.weights[group, rows][:, columns].astype(np.float64)
                block -= zero[group, rows] if zero.ndim else zero
                result[group, rows] = block.sum(axis=tuple(range(2, block.ndim))) @ given[group, columns]
        return result.reshape(-1) * self._scales()

    def _scales(self) -> Vector:
        if self.layer.dequantize is None:
            return np.ones(1)
        scale = constant(self.layer.dequantize.inputs[1])
        return np.ones(1) if scale is None else scale.astype(np.float64).reshape(-1)

    def norms(self) -> Vector:
        """L2 norm of the real weights of each output, ``[O]``."""
        zero = self._zero()
        result = np.zeros(self.weights.shape[:2])
        for group in range(len(self.weights)):
            for start in range(0, self.weights.shape[1], _ROWS):
                rows = slice(start, start + _ROWS)
                block = self.weights[group, rows].astype(np.float64) - (zero[group, rows] if zero.ndim else zero)
                result[group, rows] = np.sqrt(np.square(block).sum(axis=tuple(range(1, block.ndim))))
        return result.reshape(-1) * self._scales()

    def clear(self, inputs: Mask) -> None:
        """Make the weights of input channels zero."""
        chosen = self.by_group(inputs).reshape(len(self.weights), 1, -1, *(1 for _ in self.weights.shape[3:]))
        self.write(np.where(chosen, self._zero(), self.weights))

    def write(self, weights: NDArray[Any]) -> None:
        """Put new stored weights ``[groups, outputs, inputs, ...]`` of the same shape in place."""
        plain = np.swapaxes(weights, 1, 2) if is_op(self.node, "ConvTranspose") else weights
        stored = np.ascontiguousarray(
            plain.reshape(self.layer.weights.shape).astype(self.layer.weights.dtype, copy=False)
        )
        take_parameter(self.node, 1, np.arange(self.layer.outputs), stored)
        self.layer.weights, self.weights = stored, weights


def _padded(node: ir.Node) -> bool:
    return is_op(node, "Conv") and ("auto_pad" in node.attributes or any(attribute(node, "pads", [0])))


class LinearRule(Rule):
    """Outputs and inputs are free of each other, but all groups must keep equally many."""

    def takes(self, node: ir.Node) -> bool:
        """Constant weights."""
        return Linear.of(node) is not None

    def constants(self, node: ir.Node, known: Constants) -> None:
        """An output is constant if it reads only constants, and no border shows."""
        linear = _linear(node)
        values = linear.by_group(known.flat(linear.source))
        with np.errstate(invalid="ignore"):
            opaque = np.isnan(values) | (linear.uneven & (values != 0))
        constant_rows = ~(linear.nonzero() & opaque[:, None]).any(axis=2).reshape(-1)
        if constant_rows.any():
            sums = linear.sums(np.where(opaque, 0.0, values).reshape(-1))
            known.set_flat(node.outputs[0], np.where(constant_rows, linear.layer.bias + sums, np.nan))

    def need(self, node: ir.Node, needed: Masks) -> None:
        """An input is needed if an output that is needed has a weight for it that is not zero."""
        linear = _linear(node)
        rows = linear.by_group(needed[node.outputs[0]])
        columns = (linear.nonzero() & rows[:, :, None]).any(axis=1)
        needed.grow(linear.source, columns.reshape(-1))

    def tie(self, node: ir.Node, keep: Masks) -> None:
        """Groups that stay have as many inputs, and as many outputs, as the largest of them."""
        if attribute(node, "group", 1) == 1:
            return
        linear = _linear(node)
        inputs, outputs = linear.by_group(keep[linear.source]), linear.by_group(keep[node.outputs[0]])
        stays = np.any(inputs, axis=1, keepdims=True) | np.any(outputs, axis=1, keepdims=True)
        for value, masks in ((linear.source, inputs), (node.outputs[0], outputs)):
            wanted = max(int(masks.sum(axis=1).max()), 1)
            # The first idle channels of a group fill it up: a stable sort puts those that stay in front of them.
            order = np.argsort(~masks, axis=1, kind="stable")[:, :wanted]
            filled = masks.copy()
            np.put_along_axis(filled, order, True, axis=1)
            keep.grow(value, (filled & stays).reshape(-1))

    def cut(self, node: ir.Node, keep: Masks) -> None:
        """Slice weights and bias."""
        linear = _linear(node)
        kept_in, kept_out = keep[linear.source], keep[node.outputs[0]]
        inputs, outputs = linear.by_group(kept_in), linear.by_group(kept_out)
        groups = np.flatnonzero(outputs.any(axis=1))
        rows = np.stack([np.flatnonzero(outputs[group]) for group in groups])
        columns = np.stack([np.flatnonzero(inputs[group]) for group in groups])
        part = linear.weights[groups[:, None, None], rows[:, :, None], columns[:, None, :]]
        if is_op(node, "ConvTranspose"):
            part = np.swapaxes(part, 1, 2)
        stored = np.ascontiguousarray(part.reshape(-1, *part.shape[2:]))
        every = np.flatnonzero(kept_out)
        take_parameter(node, 1, every, stored)
        if input_at(node, 2) is not None:
            take_parameter(node, 2, every)
        if len(linear.weights) > 1:
            set_attributes(node, {"group": len(groups)})


def _linear(node: ir.Node) -> Linear:
    found = Linear.of(node)
    if found is None:
        raise ValueError("the weights of the layer changed")
    return found
