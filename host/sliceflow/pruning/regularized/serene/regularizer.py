"""The regularizer of SeReNe."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from sliceflow.pruning.channels.layers import spread
from sliceflow.pruning.regularized.decay import Decay, insensitivity
from sliceflow.pruning.regularized.serene.sensitivity import Kind, sensitivities
from sliceflow.pruning.training.callback import Batch


class NeuronDecay(Decay):
    """``w <- w - strength * w * max(0, 1 - S)`` for all weights of a neuron with the sensitivity S on the batch.

    Source: A. Bragagnolo, 2023, equations 5.11 and 5.12; with the local sensitivity of ReLU 5.18: a neuron's weights
    decay while it is off. The outputs' layer takes part: its S is 1 / outputs, or 1 if local.

    Args:
        model: the network.
        weights: what decays, by name: weights, or biases, of convolutions and fully connected layers.
        strength: share of a weight of an insensitive neuron that goes in a step, 0 to 1 (lambda).
        kind: which sensitivity.
        relative: divide sensitivities by their mean over the layer's neurons (not in the thesis). In trained networks S
            is often far below 1, where the penalty is hardly more than plain weight decay.
    """

    def __init__(
        self, model: nn.Module, weights: Mapping[str, Tensor], strength: float, kind: Kind, *, relative: bool = False
    ) -> None:
        super().__init__(weights, strength)
        self._model, self._kind, self._relative = model, kind, relative
        self._layers = dict(model.named_modules())
        self._found: dict[str, Tensor] = {}

    def on_forward(self, batch: Batch) -> None:
        """Measure the sensitivities of the network as it is before the step."""
        self._found = sensitivities(self._model, batch.inputs, self._kind)

    def insensitivity(self, name: str, weight: Tensor) -> Tensor | float:
        """Equation 5.11; 1 for a layer that the batch did not reach."""
        layer, _, field = name.rpartition(".")
        if layer not in self._found:
            return 1.0
        found = insensitivity(self._found[layer], relative=self._relative)
        return spread(self._layers[layer], field, weight.shape, found)
