"""Residual blocks whose branch is zero are taken out of a network that was pruned by masks."""

from __future__ import annotations

import logging

from torch import Tensor, nn

from sliceflow.pruning.blocks.network import TOLERANCE, find_residuals
from sliceflow.pruning.channels.observe import largest_difference, outputs

_log = logging.getLogger(__name__)


def remove_dead_blocks(model: nn.Module, example: Tensor, kind: str | None = None) -> list[str]:
    """Replace blocks whose branch has no parameter that is not zero by their shortcut and activation, in place.

    The outputs stay the same for any input, in training, too. Removing channels alone would leave such a block's layers
    with one channel each. A block that says something without parameters is left as it is.

    Args:
        model: the network.
        example: inputs ``[N, ...]``.
        kind: class of the blocks; None looks at all.

    Returns:
        Names of the blocks that went, in the network's order.
    """
    before = outputs(model, example)
    gone = []
    for name, block in reversed(find_residuals(model, kind).items()):
        if any(parameter.detach().any() for parameter in block.branch.parameters()):
            continue
        whole = model.get_submodule(name)
        left = nn.Sequential(block.shortcut, block.after)
        left.training = whole.training
        model.set_submodule(name, left)
        if largest_difference(before, outputs(model, example)) > TOLERANCE:
            model.set_submodule(name, whole)
            _log.warning("block %s stays: its branch has no weights, but says something", name)
        else:
            gone.append(name)
    return gone
