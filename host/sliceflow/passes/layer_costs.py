"""What the layers of a model cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from sliceflow.passes.affine import Layer
from sliceflow.passes.macs import macs_of, total
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
    found, images = {}, _images(model)
    for node in model.graph:
        layer = Layer.of(node)
        if layer is not None:
            found[str(node.name)] = _cost(layer, images)
    return found


def total_macs(costs: Iterable[LayerCost]) -> int | None:
    """Multiply-accumulates of layers together; None if those of one are not known."""
    return total(cost.macs for cost in costs)


def _images(model: ir.Model) -> int:
    """The batch that the model was exported with; 1 if it is free."""
    batches = {found[0] for value in model.graph.inputs if (found := dims(value)) and len(found) > 1}
    batch = batches.pop() if len(batches) == 1 else 1
    return batch if isinstance(batch, int) and batch > 0 else 1


def _cost(layer: Layer, images: int) -> LayerCost:
    node, weights = layer.node, layer.weights
    transposed = is_op(node, "ConvTranspose")
    groups = int(attribute(node, "group", 1))
    inputs = int(weights.shape[0]) if transposed else int(weights.shape[1]) * groups
    biases = layer.outputs if len(node.inputs) > 2 and node.inputs[2] is not None else 0
    nonzero = int(np.count_nonzero(weights)) + int(np.count_nonzero(layer.bias))
    return LayerCost(node.op_type, inputs, layer.outputs, int(weights.size) + biases, macs_of(node, images), nonzero)
