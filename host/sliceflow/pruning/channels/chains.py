"""Which batch normalization directly follows which layer."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from sliceflow.pruning.channels.layers import BATCH_NORMS, LAYERS, making, sharing, spread
from sliceflow.pruning.training.task import evaluating, first_tensor, hooked


@dataclasses.dataclass(frozen=True)
class Chain:
    """A layer and the batch normalization that reads its output; together they make a potential for each neuron.

    Attributes:
        layer: the layer's name.
        module: the layer.
        norm: the name of the normalization; None if there is none.
        last: the module whose output is the potential.
        shared: its parameters, or those of its normalization, have another use.
    """

    layer: str
    module: nn.Module
    norm: str | None
    last: nn.Module
    shared: bool

    @property
    def axis(self) -> int:
        """The axis of neurons in the potential."""
        return -1 if isinstance(self.module, nn.Linear) and self.norm is None else 1

    @property
    def foldable(self) -> bool:
        """Whether a factor of the potential can go into parameters that nothing else has."""
        return not self.shared and isinstance(self.last._parameters.get("weight"), nn.Parameter)

    def parameters(self, neurons: Tensor) -> list[tuple[str, nn.Parameter, Tensor]]:
        """Weights, biases, and the affine part of the normalization, which make the neurons.

        Args:
            neurons: a value for each, ``[neurons]``.

        Returns:
            Full names, parameters, and the neurons' values in shapes that broadcast to the parameters'.
        """
        owners = {self.layer: self.module} | ({self.norm: self.last} if self.norm is not None else {})
        return [
            (f"{name}.{field}".lstrip("."), parameter, spread(owner, field, parameter.shape, neurons))
            for name, owner in owners.items()
            for field, parameter in making(owner)
        ]


def find_chains(model: nn.Module, example: Tensor) -> dict[str, Chain]:
    """The chain of each layer that runs, by the layer's name, in the order in which the layers run.

    Args:
        model: the network.
        example: inputs ``[N, ...]``.
    """
    names = {module: name for name, module in model.named_modules()}
    shared = sharing(model)
    ran: list[nn.Module] = []
    outputs: list[tuple[Tensor, nn.Module]] = []  # keeps the tensors alive, so that identity means something
    norms: dict[nn.Module, nn.Module] = {}

    def after(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        ran.append(module)
        if isinstance(module, LAYERS):
            outputs.append((output, module))
            return
        read = first_tensor(inputs, named)
        layer = next((layer for made, layer in outputs if made is read), None)
        if layer is not None and (read.ndim == 2 or not isinstance(layer, nn.Linear)):  # else it norms another axis
            norms[layer] = module

    watched = (module for module in model.modules() if isinstance(module, (*LAYERS, *BATCH_NORMS)))
    hooks = (module.register_forward_hook(after, with_kwargs=True) for module in watched)
    with hooked(hooks), evaluating(model), torch.no_grad():
        model(example)
    runs = Counter(ran)
    chains = {}
    for layer in dict.fromkeys(module for module in ran if isinstance(module, LAYERS)):
        norm = norms.get(layer)
        if norm is not None and (runs[layer] > 1 or runs[norm] > 1):  # not the layer's own
            norm = None
        last = layer if norm is None else norm
        used = layer in shared or last in shared
        chains[names[layer]] = Chain(names[layer], layer, names[norm] if norm is not None else None, last, used)
    return chains
