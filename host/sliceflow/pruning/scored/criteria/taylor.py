"""First-order Taylor expansion of the loss.

Source: P. Molchanov, A. Mallya, S. Tyree, I. Frosio and J. Kautz, "Importance estimation for neural network pruning",
2019, equations 8 and 9.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sliceflow.pruning.channels.group import ChannelGroup, Member
from sliceflow.pruning.channels.layers import BATCH_NORMS, by_output
from sliceflow.pruning.scored.criteria.base import first_batches, sum_over
from sliceflow.pruning.training.task import Task, evaluating


class Taylor:
    """A channel is worth the square of what the loss would change by without it, to first order.

    That is the square of gradient times parameter, summed over the channel's parameters; the mean over batches, and the
    sum over the layers that make the channel. Where a batch normalization makes the channel, its scale and shift are
    those parameters (the channel's last gate, as the source does it), else the weights and biases of the layers.

    Args:
        batches: of training examples; the network is in evaluation mode.
    """

    def __init__(self, batches: int) -> None:
        self._batches = batches

    def score_channels(self, model: nn.Module, task: Task, groups: Sequence[ChannelGroup]) -> dict[str, Tensor]:
        """See ``ChannelCriterion``."""
        gates = {group.name: _gates(group) for group in groups}
        sums = {group.name: torch.zeros(group.size) for group in groups}
        parameters = {id(p): p for members in gates.values() for member in members for p in _parameters(member)}
        used = 0
        with evaluating(model):
            for inputs, targets in first_batches(task, self._batches):
                loss = task.loss(model(inputs), targets)
                gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
                by_parameter = dict(zip(parameters, gradients, strict=True))
                for name, members in gates.items():
                    sums[name] += sum_over([_change(member, by_parameter).square().cpu() for member in members])
                used += 1
        return {name: total / used for name, total in sums.items()}


def _gates(group: ChannelGroup) -> list[Member]:
    norms = [m for m in group.members if m.makes and isinstance(m.module, BATCH_NORMS) and m.module.affine]
    return norms or list(group.makers)


def _parameters(member: Member) -> list[Tensor]:
    own = (member.module.weight, member.module.bias)
    return [parameter for parameter in own if parameter is not None and parameter.requires_grad]


def _change(member: Member, gradients: dict[int, Tensor | None]) -> Tensor:
    """Gradient times parameter, summed for each channel, ``[channels]``."""
    total = torch.zeros(len(member.positions), device=member.module.weight.device)
    for parameter in _parameters(member):
        gradient = gradients[id(parameter)]
        if gradient is None:  # the loss does not depend on it
            continue
        product = (gradient * parameter).detach()
        if product.ndim > 1:
            product = by_output(member.module, product)
        rows = product[member.positions.flatten().to(product.device)]
        total += rows.reshape(len(member.positions), -1).sum(1)
    return total
