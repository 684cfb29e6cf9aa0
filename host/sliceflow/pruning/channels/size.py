"""The size of a network as it is deployed: counted in its exported graph, with batch normalizations folded."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir
from torch import Tensor, nn

from sliceflow.frontend.torch import export_module
from sliceflow.passes.layer_costs import layer_costs, total_macs


@dataclasses.dataclass(frozen=True)
class Size:
    """What is counted.

    Attributes:
        parameters: weights and biases of all layers.
        nonzero: those that are not zero.
        macs: multiply-accumulates for one example; None if a map has no fixed size.
    """

    parameters: int
    nonzero: int
    macs: int | None


def size_of_module(model: nn.Module, example: Tensor) -> Size:
    """Size of a torch network.

    Args:
        model: the network.
        example: inputs, ``[1, ...]``.

    Raises:
        UserError: it cannot be exported.
    """
    return size_of(export_module(model, example, older_first=True))


def size_of(model: ir.Model) -> Size:
    """Size of an ONNX model."""
    costs = layer_costs(model).values()
    return Size(
        parameters=sum(cost.parameters for cost in costs),
        nonzero=sum(cost.nonzero for cost in costs),
        macs=total_macs(costs),
    )
