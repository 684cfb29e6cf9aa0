"""Networks whose layers have the absolute values of their Jacobians, for the upper bound of the sensitivity."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator

from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels.layers import BATCH_NORMS, LAYERS, has_own_weight

_RISING = (
    nn.Identity,
    nn.Flatten,
    nn.Unflatten,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.ReLU,
    nn.ReLU6,
    nn.Hardtanh,
    nn.Sigmoid,
    nn.Hardsigmoid,
    nn.Tanh,
    nn.Softplus,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.ZeroPad2d,
    nn.PixelShuffle,
)
"""Modules without a negative derivative: the absolute value of their Jacobian is the Jacobian."""


@contextlib.contextmanager
def absolute_jacobians(model: nn.Module) -> Iterator[Callable[[nn.Module, Tensor, Tensor], Tensor]]:
    """What makes a forward pass whose values are the network's, and whose derivatives are those of absolute Jacobians.

    Convolutions, fully connected layers and batch normalizations pass derivatives on through absolute weights. All
    else must not fall: pools, sums, concatenations and the usual rising activations.

    Args:
        model: the network, in evaluation mode.

    Yields:
        A ``change`` for ``capture``.

    Raises:
        UserError: the network has a module that may have a negative derivative.
    """
    for name, module in model.named_modules():
        leaf = next(module.children(), None) is None
        if leaf and not isinstance(module, (*LAYERS, *BATCH_NORMS, *_RISING)):
            raise UserError(
                "the upper bound of the sensitivity is not defined for a module",
                where=f"{name} ({type(module).__name__})",
                why="it is not known to rise everywhere",
                fix="choose the exact sensitivity or its lower bound",
            )
    for name, module in model.named_modules():
        if isinstance(module, LAYERS) and not has_own_weight(module):
            raise UserError(
                "the upper bound of the sensitivity is not defined for a layer that computes its weight",
                where=f"{name} ({type(module).__name__})",
                fix="choose the exact sensitivity or its lower bound",
            )
    twins = {module: _absolute(module) for module in model.modules() if isinstance(module, (*LAYERS, *BATCH_NORMS))}

    def change(module: nn.Module, read: Tensor, output: Tensor) -> Tensor:
        straight = twins[module](read)
        return output.detach() + (straight - straight.detach())

    yield change


def _absolute(module: nn.Module) -> nn.Module:
    twin = copy.deepcopy(module)
    if twin.weight is not None:
        twin.weight.data.abs_()
    return twin
