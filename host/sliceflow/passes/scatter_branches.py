"""Residual branches with channels of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from sliceflow.passes.base import Pass
from sliceflow.passes.channels import Constants, channels, constants
from sliceflow.passes.channels.linear import Linear
from sliceflow.passes.channels.state import Mask
from sliceflow.passes.edit import add_initializer, new_node
from sliceflow.passes.view import graph_of, is_op, rank, sole_producer


@dataclasses.dataclass(frozen=True)
class Branch:
    """A layer in front of a residual sum that might get channels of its own.

    Attributes:
        layer: its node.
        channels: output channels now.
        going: channels that it would lose.
        macs: multiply-accumulates that this saves at each place of the map.
        moved: elements that are moved at each place instead.
    """

    layer: ir.Node
    channels: int
    going: int
    macs: int
    moved: int


Pays = Callable[[Branch], bool]


def worth(least: float) -> Pays:
    """Branches pay that save at least so many multiply-accumulates for each element that is moved."""
    return lambda branch: branch.macs >= least * branch.moved


class ScatterBranches(Pass):
    """A layer that feeds a residual sum need not compute the channels that are constant in it alone.

    Without this pass a channel stays in all branches of a sum if it lives in one. Here a Gather behind the layer puts
    its channels in their places, and one channel of zeros in all the others; their constants move into the bias of the
    other branch's layer, or into an Add of a constant. remove-channels then cuts the layer.

    1. Add of two activations, one of them from a Conv (one group) or Gemm with float weights that nobody else reads.
    2. Only where it pays.

    Args:
        pays: says so for each branch.
    """

    name = "scatter-branches"
    summary = "let layers in front of residual sums compute only the channels that live in them"

    def __init__(self, pays: Pays) -> None:
        super().__init__()
        self._pays = pays

    def begin(self, model: ir.Model) -> None:
        """Find the constants."""
        self._known: Constants = constants(model.graph)

    def rewrite(self, node: ir.Node) -> bool:
        """Rewrite the branches of one sum."""
        if not is_op(node, "Add") or channels(node.outputs[0]) is None:
            return False
        return any([self._branch(node, index) for index in (0, 1)])  # both, not only the first

    def _branch(self, node: ir.Node, index: int) -> bool:
        source, other, count = node.inputs[index], node.inputs[1 - index], channels(node.outputs[0])
        if source is None or other is None or channels(source) != count or channels(other) != count:
            return False
        linear = _sole_layer(source)
        if linear is None or rank(source) != rank(other) or len(linear.weights) != 1:
            return False
        # Channels that are constant in the sum too go anyway.
        alone = ~np.isnan(self._known.flat(source)) & np.isnan(self._known.flat(node.outputs[0]))
        alone &= ~np.any(linear.nonzero()[0], axis=1)
        values = np.where(alone, self._known.flat(source), 0.0)
        partner = _sole_layer(other)
        moved = len(alone) * (2 if values.any() and partner is None else 1)
        weights = int(np.prod(linear.weights.shape[2:]))
        going = int(np.count_nonzero(alone)) - 1  # one channel of zeros stays
        if going < 1 or not self._pays(Branch(linear.node, len(alone), going, going * weights, moved)):
            return False
        gathered = _gather(node, linear, source, alone)
        if partner is not None:
            partner.layer.set_bias(partner.layer.bias + values)
        elif values.any():
            layout = (1, -1, *(1,) * ((rank(source) or 2) - 2))
            kind = source.dtype.numpy() if source.dtype is not None else np.float32
            added = add_initializer(graph_of(node), values.astype(kind).reshape(layout), f"{node.name}_constants")
            gathered = _beside(node, "Add", [gathered, added], source, "constants")
        node.replace_input_with(index, gathered)
        return True


def _sole_layer(value: ir.Value) -> Linear | None:
    """The layer with float weights whose output only the sum reads."""
    producer = sole_producer(value, "Conv", "Gemm")
    linear = Linear.of(producer) if producer is not None else None
    return linear if linear is not None and linear.layer.dequantize is None else None


def _gather(node: ir.Node, linear: Linear, source: ir.Value, alone: Mask) -> ir.Value:
    """The source with one channel of zeros in the place of those that are constant."""
    zero = int(np.flatnonzero(alone)[0])
    bias = linear.layer.bias.copy()
    bias[zero] = 0
    linear.layer.set_bias(bias)
    order = np.where(alone, zero, np.arange(len(alone)))
    index = add_initializer(graph_of(node), order, f"{linear.node.name}_places")
    return _beside(node, "Gather", [source, index], source, "scatter", axis=1)


def _beside(
    node: ir.Node, op_type: str, inputs: list[ir.Value], like: ir.Value, hint: str, **attributes: int
) -> ir.Value:
    name, shape = f"{node.name}_{hint}", ir.Shape(like.shape) if like.shape is not None else None
    return new_node(node, op_type, inputs, attributes, name=name, dtype=like.dtype, shape=shape)
