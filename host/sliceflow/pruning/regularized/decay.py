"""Weights that decay, apart from the optimizer and its learning rate."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sliceflow.errors import UserError
from sliceflow.pruning.training.callback import Batch, Callback


def insensitivity(sensitivity: Tensor, *, relative: bool = False) -> Tensor:
    """``max(0, 1 - S)``, equations 4.4 and 5.11.

    Args:
        sensitivity: 0 or more, of a layer's weights or neurons.
        relative: divide by the mean first: what is more sensitive than the mean does not decay at all.
    """
    if relative:
        sensitivity = sensitivity / sensitivity.mean().clamp(min=torch.finfo(sensitivity.dtype).tiny)
    return torch.clamp(1 - sensitivity, min=0)


class Decay(Callback):
    """``w <- w - strength * w * insensitivity`` on top of the optimizer's step.

    The penalty is that of the weights before the step, as in equations 4.4 and 5.12 of A. Bragagnolo's thesis, and
    neither the learning rate nor its schedule scales it. Here the insensitivity is 1: plain weight decay. A weight that
    is zero is left alone. Masks belong behind this callback.

    Args:
        weights: what decays, by name.
        strength: share of a weight that goes in a step, 0 to 1 (lambda).

    Raises:
        UserError: the strength is not in that range.
    """

    def __init__(self, weights: Mapping[str, Tensor], strength: float) -> None:
        if not 0 <= strength < 1:
            raise UserError(f"the strength of a decay must be 0 or more and less than 1, not {strength}")
        self._weights, self._strength = weights, strength
        self._penalties: dict[str, Tensor] = {}

    def insensitivity(self, name: str, weight: Tensor) -> Tensor | float:
        """How little a weight matters, 0 to 1; a number, or a tensor that broadcasts to the weight's shape."""
        return 1.0

    def on_backward(self, batch: Batch) -> None:
        """Compute the penalties, from weights and gradients before the step."""
        with torch.no_grad():
            self._penalties = {
                name: self._strength * weight * self.insensitivity(name, weight)
                for name, weight in self._weights.items()
            }

    def on_step(self, batch: Batch) -> None:
        """Subtract them."""
        with torch.no_grad():
            for name, penalty in self._penalties.items():
                self._weights[name].sub_(penalty)
