"""Grouped convolution on the array: several channel groups share a block of slices where that saves passes."""

from __future__ import annotations

import dataclasses
import math

from sliceflow.hardware.profile import Profile
from sliceflow.mapping.plan import Core, LayerPlan


@dataclasses.dataclass(frozen=True)
class Blocks:
    """A convolution as independent blocks of channels.

    Attributes:
        count: blocks.
        channels_in, channels_out: channels of one block.
    """

    count: int
    channels_in: int
    channels_out: int


def is_depthwise(group: int, channels_in: int, channels_out: int) -> bool:
    """Whether every channel is convolved by itself into one channel."""
    return group > 1 and group == channels_in == channels_out


def blocks_of(plan: LayerPlan, profile: Profile) -> Blocks:
    """The cheapest packing of the layer's channel groups: fewest passes, then fewest groups in a block."""
    if plan.core in (Core.DEPTHWISE, Core.PASS):
        return Blocks(1, plan.input.channels, plan.input.channels)
    kernel = plan.kernel
    if kernel is None:
        raise ValueError("only PASS layers have no kernel")
    group = kernel.group
    outputs, inputs = int(kernel.weights.shape[0]) // group, int(kernel.weights.shape[1])
    per_pass = 9 if kernel.size == (1, 1) else 1

    def passes(pack: int) -> int:
        slices = math.ceil(pack * inputs / profile.cpi)
        return group // pack * math.ceil(slices / per_pass) * math.ceil(pack * outputs / profile.cpo)

    pack = min((p for p in range(1, group + 1) if group % p == 0), key=lambda p: (passes(p), p))
    return Blocks(group // pack, pack * inputs, pack * outputs)
