"""Whether groups of channels say the truth about a network, found out by running it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sliceflow.pruning.channels.layers import channel_axis
from sliceflow.pruning.training.task import evaluating, hooked, reading

if TYPE_CHECKING:
    from sliceflow.pruning.channels.group import ChannelGroup, Member

_CODES = 64
Seen = dict[nn.Module, list[Tensor]]
"""For each layer the inputs it read, ``[channels, values]``, call by call."""


def false_groups(model: nn.Module, example: Tensor, groups: Sequence[ChannelGroup]) -> set[str]:
    """Names of groups whose pruned channels still depend on the input where they are read.

    Some of all channels are pruned, and the network runs on two inputs; then the others. What is read of a pruned
    channel must be the same for both inputs. It is not, if something else flows into the channel, or if another channel
    lies there, as behind a shuffle. Those that are pruned together are chosen by the bits of their numbers (modulo 64),
    so that any two channels are apart once.

    Args:
        model: the network; it is restored.
        example: inputs ``[N, ...]``. Others are drawn; whole numbers out of the range of these, as they may be indices.
        groups: what is claimed.
    """
    other = _other(example)
    bits = max((min(_CODES, group.size) - 1).bit_length() for group in groups) if groups else 0
    false: set[str] = set()
    for bit, value in itertools.product(range(max(1, bits)), (0, 1)):
        chosen = {group.name: (torch.arange(group.size) % _CODES >> bit) % 2 == value for group in groups}
        with evaluating(model), torch.no_grad(), _pruned(model, groups, chosen):
            first, second = _inputs(model, example, groups), _inputs(model, other, groups)
        for group in groups:
            if not all(_same(reader, chosen[group.name], first, second) for reader in group.readers):
                false.add(group.name)
    return false


def _other(example: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    if example.is_floating_point():
        drawn = torch.randn(example.shape, generator=generator, dtype=torch.float32)
        return (0.25 + 1.5 * drawn).to(example)  # not what a caller may have drawn from the same seed
    low, high = int(example.min()), int(example.max())
    return torch.randint(low, high + 1, example.shape, generator=generator).to(example)


def _same(reader: Member, chosen: Tensor, first: Seen, second: Seen) -> bool:
    positions = reader.positions[chosen].flatten()
    ones, twos = first[reader.module], second[reader.module]
    if not ones or len(ones) != len(twos):  # the network's code decided otherwise
        return False
    return all(torch.equal(one[positions], two[positions]) for one, two in zip(ones, twos, strict=True))


@contextmanager
def _pruned(model: nn.Module, groups: Sequence[ChannelGroup], chosen: dict[str, Tensor]) -> Iterator[None]:
    parameters = dict(model.named_parameters())
    masks = [found for group in groups for found in group.parameters_of(chosen[group.name])]
    before = {name: parameters[name].detach().clone() for name, _ in masks}
    try:
        for name, mask in masks:
            parameters[name].masked_fill_(mask.to(parameters[name].device), 0)
        yield
    finally:
        for name, values in before.items():
            parameters[name].copy_(values)


def _inputs(model: nn.Module, example: Tensor, groups: Sequence[ChannelGroup]) -> Seen:
    seen: Seen = {reader.module: [] for group in groups for reader in group.readers}

    def look(module: nn.Module, read: Tensor) -> None:
        seen[module].append(read.detach().movedim(channel_axis(module, read), 0).flatten(1).clone())

    with hooked(reading(seen, look)):
        model(example)
    return seen
