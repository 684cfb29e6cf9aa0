"""What the layers of a model cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from sliceflow.passes.affine import Layer
from sliceflow.passes.view import attribute, dims, is_op


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """One convolution, transposed convolution or fully connected layer.

    Attributes:
        op: its operator.
        inputs: input channels.
        outputs: output channels.
        parameters: weights and biases.
        macs: multiply-accumulates for one image; None if the map has no fixed size.
        nonzero: those of the parameters that are not zero.
    """

    op: str
    inputs: int
    outputs: int
    parameters: int
    macs: int | None
    nonzero: int


def layer_costs(model: ir.Model) -> dict[str, LayerCost]:
    """The cost of each layer with constant weights, by the name of its node."""
    found = {}
    for node in model.graph:
        layer = Layer.of(node)
        if layer is not None:
            found[str(node.name)] = _cost(layer)
    return found


def total_macs(costs: Iterable[LayerCost]) -> int | None:
    """Multiply-accumulates of layers together; None if those of one are not known."""
    macs = [cost.macs for cost in costs]
    return None if None in macs else sum(count or 0 for count in macs)


def _cost(layer: Layer) -> LayerCost:
    node, weights = layer.node, layer.weights
    transposed = is_op(node, "ConvTranspose")
    groups = int(attribute(node, "group", 1))
    inputs = int(weights.shape[0]) if transposed else int(weights.shape[1]) * groups
    biases = layer.outputs if len(node.inputs) > 2 and node.inputs[2] is not None else 0
    # Every weight meets each place of the output once; in a transposed convolution, each place of the input.
    found = dims(node.inputs[0] if transposed else node.outputs[0])
    places = None if found is None else found[2:]
    known = [size for size in places or () if isinstance(size, int)]
    macs = weights.size * math.prod(known) if places is not None and len(known) == len(places) else None
    nonzero = int(np.count_nonzero(weights)) + int(np.count_nonzero(layer.bias))
    return LayerCost(node.op_type, inputs, layer.outputs, int(weights.size) + biases, macs, nonzero)
