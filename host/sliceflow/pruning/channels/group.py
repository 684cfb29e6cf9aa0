"""A group of coupled channels, and the layers that make and read them."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from sliceflow.pruning.channels.layers import LAYERS, count, is_depthwise, making, spread


@dataclasses.dataclass(frozen=True)
class Member:
    """A layer's side of a group.

    Attributes:
        layer: the layer's name in the network.
        module: the layer.
        makes: the layer makes the channels (its outputs); else it reads them (its inputs).
        positions: ``[channels, k]``, for each channel of the group its k positions on that side of the layer: more than
            one where a flattened map is read.
    """

    layer: str
    module: nn.Module
    makes: bool
    positions: Tensor

    def chosen(self, channels: Tensor) -> Tensor:
        """Where channels of the group, bool ``[channels]``, lie among all on this side of the layer, bool."""
        found = torch.zeros(count(self.module, self.makes), dtype=torch.bool)
        found[self.positions[channels].flatten()] = True
        return found


@dataclasses.dataclass(frozen=True)
class ChannelGroup:
    """Channels of layers that are coupled, through residual sums, depthwise convolutions, batch normalizations.

    Attributes:
        name: that of the layer that makes the channels; of the first one of several. Where a layer makes channels of
            several groups, the first channel in brackets is part of it: ``conv[4]``.
        size: channels.
        members: all layers that make or read them.
    """

    name: str
    size: int
    members: tuple[Member, ...]

    @property
    def makers(self) -> tuple[Member, ...]:
        """Convolutions and fully connected layers that make the channels, depthwise ones left out."""
        return tuple(m for m in self.members if m.makes and isinstance(m.module, LAYERS) and not is_depthwise(m.module))

    @property
    def readers(self) -> tuple[Member, ...]:
        """Convolutions and fully connected layers that read the channels."""
        return tuple(m for m in self.members if not m.makes and isinstance(m.module, LAYERS))

    def parameters_of(self, channels: Tensor) -> list[tuple[str, Tensor]]:
        """Elements of parameters that are zero when channels are pruned: all that belongs to making them.

        Args:
            channels: bool ``[size]``, True for those pruned.

        Returns:
            Names of parameters, and bool masks in their shapes.
        """
        found = []
        for member in self.members:
            if not member.makes:
                continue
            for name, parameter in making(member.module):
                if parameter.numel() == 1 < self.size:  # as the one slope of a PReLU
                    continue
                mask = spread(member.module, name, parameter.shape, member.chosen(channels)).expand(parameter.shape)
                found.append((f"{member.layer}.{name}" if member.layer else name, mask.clone()))
        return found
