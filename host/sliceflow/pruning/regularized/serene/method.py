"""The whole method."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import get_args

from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.regularized.decay import Decay
from sliceflow.pruning.regularized.plateau import PlateauMethod
from sliceflow.pruning.regularized.serene.regularizer import NeuronDecay
from sliceflow.pruning.regularized.serene.sensitivity import Kind


@dataclasses.dataclass(frozen=True, kw_only=True)
class Serene(PlateauMethod):
    """SeReNe, algorithms 2 and 3. See ``PlateauMethod``.

    Single weights are thresholded; a neuron has gone when all its weights have, and simplification removes it.

    Attributes:
        sensitivity: ``lower`` costs one backward pass more, ``exact`` one for each output.
        relative: divide sensitivities by their mean over the layer. See ``NeuronDecay``.
    """

    sensitivity: Kind = "lower"
    relative: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sensitivity not in get_args(Kind):
            kinds = ", ".join(get_args(Kind))
            raise UserError(f"there is no sensitivity {self.sensitivity!r}", where="serene", fix=f"choose of {kinds}")

    def regularizer(self, model: nn.Module, weights: Mapping[str, Tensor]) -> Decay:
        """See ``NeuronDecay``."""
        return NeuronDecay(model, weights, self.strength, self.sensitivity, relative=self.relative)
