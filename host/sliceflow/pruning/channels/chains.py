"""Which batch normalization directly follows which layer."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from sliceflow.pruning.channels.tracing import LAYERS
from sliceflow.pruning.training.task import evaluating, hooked

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclasses.dataclass(frozen=True)
class Chain:
    """A layer and the batch normalization that reads its output; together they make a potential for each neuron.

    Attributes:
        layer: the layer's name.
        module: the layer.
        norm: the name of the normalization; None if there is none.
        last: the module whose output is the potential.
    """

    layer: str
    module: nn.Module
    norm: str | None
    last: nn.Module

    @property
    def axis(self) -> int:
        """The axis of neurons in the potential."""
        return -1 if isinstance(self.module, nn.Linear) and self.norm is None else 1

    def rows(self, parameter: str) -> int:
        """The axis of neurons in a parameter, given its full name."""
        return int(isinstance(self.module, nn.ConvTranspose2d) and parameter == f"{self.layer}.weight")

    def parameters(self) -> dict[str, nn.Parameter]:
        """Weights, biases, and the affine part of the normalization, by their full names."""
        found = {f"{self.layer}.{name}": value for name, value in self.module.named_parameters(recurse=False)}
        if self.norm is not None:
            found |= {f"{self.norm}.{name}": value for name, value in self.last.named_parameters(recurse=False)}
        return found


def find_chains(model: nn.Module, example: Tensor) -> dict[str, Chain]:
    """The chain of each layer that runs, by the layer's name, in the order in which the layers run.

    Args:
        model: the network.
        example: inputs ``[N, ...]``.
    """
    names = {module: name for name, module in model.named_modules()}
    chains: dict[str, Chain] = {}
    outputs: list[tuple[Tensor, str]] = []  # keeps the tensors alive, so that identity means something

    def after_layer(module: nn.Module, _: tuple[Any, ...], output: Tensor) -> None:
        chains[names[module]] = Chain(names[module], module, None, module)
        outputs.append((output, names[module]))

    def after_norm(module: nn.Module, inputs: tuple[Any, ...], _: Tensor) -> None:
        for output, layer in outputs:
            if output is inputs[0]:
                chains[layer] = Chain(layer, chains[layer].module, names[module], module)

    layers = (m.register_forward_hook(after_layer) for m in model.modules() if isinstance(m, LAYERS))
    norms = (m.register_forward_hook(after_norm) for m in model.modules() if isinstance(m, NORMS))
    with hooked(layers), hooked(norms), evaluating(model), torch.no_grad():
        model(example)
    return chains
