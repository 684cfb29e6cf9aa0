"""Average percentage of zeros.

Source: H. Hu, R. Peng, Y.-W. Tai and C.-K. Tang, "Network trimming: a data-driven neuron pruning approach towards
efficient deep architectures", 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sliceflow.pruning.channels.group import ChannelGroup, Member
from sliceflow.pruning.channels.layers import channel_axis
from sliceflow.pruning.scored.criteria.base import first_batches
from sliceflow.pruning.training.task import Task, evaluating, hooked, reading


class Apoz:
    """A channel is worth less, the more of its activations are zero: minus the share of zeros, 0 to -1.

    Activations are counted where they are read: the inputs of the layers that read the channel, behind activation
    function and pooling, over all readers, examples and positions.

    Args:
        batches: of training examples; the network is in evaluation mode.
    """

    def __init__(self, batches: int) -> None:
        self._batches = batches

    def score_channels(self, model: nn.Module, task: Task, groups: Sequence[ChannelGroup]) -> dict[str, Tensor]:
        """See ``ChannelCriterion``."""
        counts = {group.name: _Count(group.size) for group in groups}
        hooks = (
            hook
            for group in groups
            for reader in group.readers
            for hook in reading([reader.module], _counting(counts[group.name], reader))
        )
        with hooked(hooks), evaluating(model), torch.no_grad():
            for inputs, _ in first_batches(task, self._batches):
                model(inputs)
        return {name: -count.zeros / max(1, count.total) for name, count in counts.items()}


class _Count:
    """Zeros of each channel, ``[size]``, and activations of one channel."""

    def __init__(self, size: int) -> None:
        self.zeros = torch.zeros(size, dtype=torch.float64)
        self.total = 0


def _counting(count: _Count, reader: Member) -> Callable[[nn.Module, Tensor], None]:
    def look(module: nn.Module, read: Tensor) -> None:
        activations = read.detach().movedim(channel_axis(module, read), 0)
        chosen = activations[reader.positions.to(activations.device)].flatten(1)
        count.zeros += (chosen == 0).sum(1).cpu()
        count.total += chosen.shape[1]

    return look
