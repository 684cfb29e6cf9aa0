"""LOBSTER: weights to which the loss is insensitive decay.

Source: E. Tartaglione, A. Bragagnolo et al., "LOss-Based SensiTivity rEgulaRization: towards deep sparse neural
networks", 2022; A. Bragagnolo, PhD thesis, University of Turin, 2023, chapter 4, whose equations are cited.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sliceflow.pruning.regularized.decay import Decay, insensitivity
from sliceflow.pruning.regularized.plateau import PlateauMethod


def effective_rate(weight: Tensor, gradient: Tensor, learning_rate: float, strength: float) -> Tensor:
    """The learning rate that each weight has in the other form of the update (4.8, 4.9).

    ``w <- w - strength * G - rate * g`` with ``G = w`` where ``|g| < 1``, else 0, is the same step as the decay's: a
    weight is learned faster if the gradient wants it to grow less than the decay does, slower if they agree.

    Args:
        weight: any shape.
        gradient: of the loss, in the same shape.
        learning_rate: that of gradient descent.
        strength: of the decay (lambda).
    """
    decaying = torch.where(gradient.abs() < 1, weight, torch.zeros_like(weight))
    return learning_rate - gradient.sign() * strength * decaying


class GradientDecay(Decay):
    """``w <- w - strength * w * max(0, 1 - |g|)``, element by element (4.4). See ``Decay``.

    The gradient g is that of the loss of a mini-batch, without momentum or weight decay.

    Args:
        weights: what decays, by name.
        strength: share of an insensitive weight that goes in a step, 0 to 1 (lambda).
        relative: divide ``|g|`` by its mean over the layer's weights (not in the thesis). It is often far below 1,
            where the penalty is hardly more than plain weight decay.
    """

    def __init__(self, weights: Mapping[str, Tensor], strength: float, *, relative: bool = False) -> None:
        super().__init__(weights, strength)
        self._relative = relative

    def insensitivity(self, name: str, weight: Tensor) -> Tensor | float:
        """From the raw gradient; 1 for a weight that has none."""
        return 1.0 if weight.grad is None else insensitivity(weight.grad.abs(), relative=self._relative)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lobster(PlateauMethod):
    """The whole method. See ``PlateauMethod``.

    Attributes:
        relative: divide gradients by their mean over the layer. See ``GradientDecay``.
    """

    initial: bool = False
    relative: bool = False

    def regularizer(self, model: nn.Module, weights: Mapping[str, Tensor]) -> Decay:
        """See ``GradientDecay``."""
        return GradientDecay(weights, self.strength, relative=self.relative)
