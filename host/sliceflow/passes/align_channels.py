"""Live channels are dropped, so that the others fill the accelerator's lanes. This changes the function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sliceflow.passes.base import Pass
from sliceflow.passes.channels.coupling import CoupledChannels, coupled_channels, dense_layer
from sliceflow.passes.channels.state import Mask

Choose = Callable[[Sequence[CoupledChannels]], Mapping[str, Mask]]


class AlignChannels(Pass):
    """All layers stop reading the channels that are to go; ``remove-channels`` then cuts them.

    Coupled channels go together. Of each group at least one channel stays.

    Args:
        choose: says for each group which channels stay; those that it does not name stay whole.
    """

    name = "align-channels"
    summary = "drop the least important channels, so that the others fill the lanes"

    def __init__(self, choose: Choose) -> None:
        super().__init__()
        self._choose = choose

    def begin(self, model: ir.Model) -> None:
        """Decide."""
        groups = coupled_channels(model.graph)
        chosen = self._choose(groups)
        self._gone: dict[ir.Value, Mask] = {}
        for group in groups:
            keep = chosen.get(group.name, np.ones(group.size, np.bool_))
            if not keep.any():
                raise ValueError(f"no channel of {group.name} would stay")
            for value in group.members if not keep.all() else ():
                places = group.places(value, ~keep)
                self._gone[value] = self._gone.get(value, np.zeros_like(places)) | places

    def rewrite(self, node: ir.Node) -> bool:
        """Clear the weights of one layer that read what goes."""
        linear = dense_layer(node)
        gone = self._gone.get(linear.source) if linear is not None else None
        if linear is None or gone is None:
            return False
        linear.clear(gone)
        return True
