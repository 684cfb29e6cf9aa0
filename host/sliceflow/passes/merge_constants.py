"""Constant channels in front of zero padding become one channel."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.passes.base import Pass
from sliceflow.passes.channels import Closure, constants, needed
from sliceflow.passes.channels.linear import Linear
from sliceflow.passes.channels.state import Index, Vector
from sliceflow.passes.view import is_op


@dataclasses.dataclass(frozen=True)
class _Merge:
    """The constant channels of one group of a layer.

    Attributes:
        group: its number.
        values: ``[inputs]`` of the group, zero for channels that are not constant.
        read: constant channels with weights.
        total: ``[outputs, ...]``, the weights of a channel of ones that replaces them.
    """

    group: int
    values: Vector
    read: Index
    total: NDArray[np.float64]


class MergeConstants(Pass):
    """Of the constant channels that a layer with zero padding reads, one is enough.

    The border shows how large a constant is, so it cannot move into the bias. But all constant channels are multiples
    of one map: one of them takes the weights of all, each times the quotient of the constants, and the weights of the
    others become zero. This holds at any size of the map.

    1. Conv with padding, and ConvTranspose: the non-zero constants of each group.
    2. A Conv behind an AveragePool that counts its padding: the multiples of the map that a constant becomes there.

    The channel that stays is one that must stay anyway, if there is one: because others read it, or because a residual
    branch couples it. Only float weights.
    """

    name = "merge-constants"
    summary = "let one constant channel stand for all in front of a zero-padded layer"

    def begin(self, model: ir.Model) -> None:
        """Take the weights of all constant channels out, and see what then has to stay."""
        known = constants(model.graph)
        self._layers: dict[ir.Node, tuple[Linear, NDArray[Any], list[_Merge]]] = {}
        for node in model.graph:
            linear = Linear.of(node) if is_op(node, "Conv", "ConvTranspose", "Gemm") else None
            if linear is None or linear.layer.dequantize is not None:
                continue
            values = (known.flat if linear.uneven else known.multiples)(linear.source)
            constant = ~np.isnan(values) & (values != 0)
            original, merges = linear.weights, _merges(linear, np.where(constant, values, 0.0))
            if merges:
                linear.clear(constant)
                self._layers[node] = (linear, original, merges)
        self._closure = Closure(model.graph, needed(model.graph))

    def rewrite(self, node: ir.Node) -> bool:
        """Give the weights to the channels that stay."""
        if node not in self._layers:
            return False
        linear, original, merges = self._layers[node]
        weights = linear.weights.copy()
        for merge in merges:
            chosen = self._choose(linear, merge)
            sole = len(merge.read) == 1 and merge.read[0] == chosen
            exact = original[merge.group, :, chosen] if sole else merge.total / merge.values[chosen]
            weights[merge.group, :, chosen] = exact
        if not np.isfinite(weights).all():
            weights = original
        linear.write(weights)
        return not np.array_equal(weights, original)

    def _choose(self, linear: Linear, merge: _Merge) -> int:
        """The channel that stands for all: one that stays anyway if possible, else the one with the largest value."""
        kept = linear.by_group(self._closure.keep[linear.source])[merge.group]
        magnitude = np.abs(merge.values)
        chosen = int(np.argmax(np.where(kept, magnitude, 0.0) if (kept & (magnitude > 0)).any() else magnitude))
        if not kept[chosen]:
            self._closure.add(linear.source, np.array([merge.group * len(kept) + chosen]))
        return chosen


def _merges(linear: Linear, values: Vector) -> list[_Merge]:
    """What can be merged in each group, ``values`` being zero for channels that cannot."""
    grouped, read = linear.by_group(values), np.any(linear.nonzero(), axis=1, keepdims=True)[:, 0]
    found = []
    for group in np.flatnonzero(((grouped != 0) & read).any(axis=1)):
        columns = np.flatnonzero((grouped[group] != 0) & read[group])
        part = linear.weights[group][:, columns].astype(np.float64)
        total = np.moveaxis(part, 1, -1) @ grouped[group, columns]
        found.append(_Merge(int(group), grouped[group], columns, total))
    return found
