"""Whether a residual branch should keep channels of its own: cycles that it saves against moving its result."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping

from sliceflow.hardware.profile import Profile
from sliceflow.hardware.transfer import LINKS, Link
from sliceflow.mapping.align import layer_shape
from sliceflow.mapping.layer_cycles import layer_cycles
from sliceflow.mapping.unroll import HOST_BYTES_PER_SECOND
from sliceflow.passes.scatter_branches import Branch, Pays

logger = logging.getLogger(__name__)


def scatter_pays(shapes: Mapping[str, tuple[int, ...]], profile: Profile, link: Link = LINKS["pcie"]) -> Pays:
    """The rule for an accelerator: it cannot put channels in other places, so the host does, between two transfers.

    A branch pays if the predicted time of the cycles that its layer saves is longer than that of both transfers, one
    more launch, and the host's work.

    Args:
        shapes: static shapes of tensors by name, before channels are removed.
        profile: the accelerator.
        link: between host and accelerator.
    """

    def pays(branch: Branch) -> bool:
        shape = layer_shape(branch.layer, shapes)
        if shape is None:
            return False
        fewer = dataclasses.replace(shape, outputs=shape.outputs - branch.going)
        there, back = (
            math.ceil(count / profile.cpi) * math.prod(shape.out_size) for count in (fewer.outputs, shape.outputs)
        )
        # The layer took the sum in; now it is a layer of its own, of a word a clock.
        cycles = layer_cycles(shape, profile) - layer_cycles(fewer, profile) - back
        saved, moved = profile.seconds(cycles), (there + back) * profile.word_bytes
        cost = link.seconds(moved, 3) + moved / HOST_BYTES_PER_SECOND
        logger.info("%s: channels of its own save %.1f us and cost %.1f us", branch.layer.name, 1e6 * saved, 1e6 * cost)
        return saved > cost

    return pays
