"""How strongly the network's outputs react to a neuron's potential.

All are of the outputs (logits), not of the loss, and with respect to the potential p, not to the activation behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels.activations import Activations, slope
from sliceflow.pruning.regularized.serene.potentials import capture
from sliceflow.pruning.regularized.serene.upper import absolute_jacobians
from sliceflow.pruning.training.task import evaluating

Kind = Literal["exact", "lower", "upper", "local"]
"""``exact``: equation 5.2; ``lower``: 5.8; ``upper``: 5.10; ``local``: 5.16."""


def sensitivities(model: nn.Module, inputs: Tensor, kind: Kind) -> dict[str, Tensor]:
    """The sensitivity of each neuron.

    Source: A. Bragagnolo, 2023, section 5.1. It leaves open what a batch and a filter's map are; here absolute values
    are taken for each example and position, then their mean.

    Args:
        model: the network; it runs in evaluation mode, so that examples do not influence one another.
        inputs: a batch, ``[N, ...]``.
        kind: which sensitivity.

    Returns:
        For each layer, in the order in which they run, ``[neurons]`` or ``[filters]``, 0 or more.

    Raises:
        UserError: a layer runs twice, or the kind does not suit the network.
    """
    layers = dict(model.named_modules())
    return {name: _mean(layers[name], found) for name, found in sensitivity_maps(model, inputs, kind).items()}


def sensitivity_maps(model: nn.Module, inputs: Tensor, kind: Kind) -> dict[str, Tensor]:
    """The same for each example and position: in the shapes of the layers' potentials. See ``sensitivities``."""
    with evaluating(model):
        return {name: found.detach() for name, found in _KINDS[kind](model, inputs).items()}


def _exact(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """Mean over the outputs of absolute derivatives: a backward pass for each output."""
    potentials, outputs = _forward(model, inputs)
    classes = outputs.shape[1]
    sums = {name: torch.zeros_like(potential) for name, potential in potentials.items()}
    for output in range(classes):
        for name, gradient in _gradients(outputs[:, output], potentials).items():
            sums[name] += gradient.abs()
    return {name: total / classes for name, total in sums.items()}


def _lower(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """The absolute derivative of the outputs' mean: never above the exact one, by the triangle inequality."""
    potentials, outputs = _forward(model, inputs)
    return {name: gradient.abs() for name, gradient in _gradients(outputs.mean(1), potentials).items()}


def _upper(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """Products of absolute Jacobians: one backward pass through a network that has them."""
    with absolute_jacobians(model) as change:
        potentials, outputs = _forward(model, inputs, change)
    found = _gradients(outputs.mean(1), potentials)
    for name, gradient in found.items():
        if (gradient < 0).any():
            raise UserError(
                "the upper bound of the sensitivity needs activations that never fall",
                where=name,
                why="something behind this layer has a negative derivative",
                fix="choose the exact sensitivity or its lower bound",
            )
    return found


def _local(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """The absolute derivative of the neuron's own activation function; of ReLU 1 above 0, else 0, at 0 as well.

    The outputs' layer has none: 1.
    """
    slopes = Activations(slope)
    with torch.no_grad(), capture(model, tell=slopes.potential) as potentials, slopes:
        model(inputs)
    last = next(reversed(potentials.of), "")
    return {
        name: torch.ones_like(potential) if name == last else _slope(slopes, name, potential)
        for name, potential in potentials.of.items()
    }


def _slope(slopes: Activations, name: str, potential: Tensor) -> Tensor:
    found, unknown = slopes.found(name)
    if unknown:
        raise UserError(
            "the local sensitivity needs one activation function behind each layer",
            where=name,
            why=unknown,
            fix="choose the exact sensitivity or its lower bound",
        )
    return torch.ones_like(potential) if found is None else found


_KINDS: dict[str, Callable[[nn.Module, Tensor], dict[str, Tensor]]] = {
    "exact": _exact,
    "lower": _lower,
    "upper": _upper,
    "local": _local,
}


def _forward(
    model: nn.Module, inputs: Tensor, change: Callable[[nn.Module, Tensor, Tensor], Tensor] | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """Potentials and outputs ``[N, C]`` of a pass. A map of outputs counts by its mean for each class."""
    with capture(model, change) as potentials:
        outputs = model(inputs.detach().requires_grad_())  # frozen layers too have potentials with a gradient
    if not isinstance(outputs, Tensor) or outputs.ndim < 2:
        raise UserError(
            "sensitivities are of one tensor of outputs, [N, C] or [N, C, ...]",
            where=type(model).__name__,
            why=f"the network returns a {type(outputs).__name__}",
            fix="wrap it in a module that returns that tensor",
        )
    return potentials.of, outputs.flatten(2).mean(2) if outputs.ndim > 2 else outputs


def _gradients(of: Tensor, potentials: dict[str, Tensor]) -> dict[str, Tensor]:
    """Derivatives of one number for each example ``[N]``; 0 where it does not depend on a potential."""
    if cut := [name for name, potential in potentials.items() if not potential.requires_grad]:
        raise UserError(
            "the sensitivity of a layer cannot be computed", where=cut[0], why="the network runs it without gradients"
        )
    found = torch.autograd.grad(of.sum(), list(potentials.values()), retain_graph=True, allow_unused=True)
    return {
        name: torch.zeros_like(potential) if gradient is None else gradient
        for (name, potential), gradient in zip(potentials.items(), found, strict=True)
    }


def _mean(layer: nn.Module, found: Tensor) -> Tensor:
    axis = found.ndim - 1 if isinstance(layer, nn.Linear) else 1
    return found.transpose(0, axis).flatten(1).mean(1)
