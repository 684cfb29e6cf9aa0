"""Where channels stand: lanes of every tensor, and which tensors share a buffer.

A tensor's channels fill slices in order, and start a new slice at each *cut*. Cuts spread until every layer can work:

    1. What works lane by lane (depthwise, pass, residual add) has the same cuts on all its tensors.
    2. A concatenation has a cut at each part's border, and the parts' cuts in between; a part has those of its range.
    3. Blocks of a grouped convolution start on a slice, and are cut alike.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterable, Sequence

import onnx_ir as ir

from sliceflow.graph.program import Run, contiguous_runs
from sliceflow.hardware.profile import Profile
from sliceflow.mapping.groups import blocks_of
from sliceflow.mapping.plan import ConcatPlan, Core, LayerPlan, TensorSpec


@dataclasses.dataclass(frozen=True)
class Layout:
    """Runs of a tensor's channels, and the slices they take."""

    runs: tuple[Run, ...]
    slices: int


def assign_lanes(
    layers: Sequence[LayerPlan], concats: Sequence[ConcatPlan], profile: Profile
) -> dict[ir.Value, Layout]:
    """The layout of every tensor that the layers and concatenations touch."""
    specs: dict[ir.Value, TensorSpec] = {}
    for tensor in _tensors(layers, concats):
        specs.setdefault(tensor.value, tensor)
    cuts: dict[ir.Value, set[int]] = {value: set() for value in specs}
    changed = True
    while changed:
        before = sum(map(len, cuts.values()))
        for layer in layers:
            _spread_layer(layer, cuts, profile)
        for concat in concats:
            _spread_concat(concat, cuts)
        changed = sum(map(len, cuts.values())) != before
    return {
        value: Layout(*contiguous_runs(spec.channels, profile.cpi, sorted(cuts[value])))
        for value, spec in specs.items()
    }


def _tensors(layers: Sequence[LayerPlan], concats: Sequence[ConcatPlan]) -> Iterable[TensorSpec]:
    for layer in layers:
        yield from (*layer.inputs, layer.output)
    for concat in concats:
        yield from (*concat.parts, concat.output)


def _spread_layer(layer: LayerPlan, cuts: dict[ir.Value, set[int]], profile: Profile) -> None:
    alike = [layer.output.value]
    if layer.core in (Core.DEPTHWISE, Core.PASS):
        alike.append(layer.input.value)
    if layer.add is not None:
        alike.append(layer.add.other.value)
    union = set[int]().union(*(cuts[value] for value in alike))
    blocks = blocks_of(layer, profile)
    if blocks.count > 1:
        union = _periodic(union, blocks.channels_out, blocks.count)
        cuts[layer.input.value] |= _periodic(cuts[layer.input.value], blocks.channels_in, blocks.count)
    for value in alike:
        cuts[value] |= union


def _periodic(cuts: set[int], size: int, count: int) -> set[int]:
    inner = {cut % size for cut in cuts} | {0}
    return {block * size + cut for block in range(count) for cut in inner} - {0}


def _spread_concat(concat: ConcatPlan, cuts: dict[ir.Value, set[int]]) -> None:
    whole = cuts[concat.output.value]
    start = 0
    for part in concat.parts:
        end = start + part.channels
        whole |= {start + cut for cut in cuts[part.value]} | ({start} if start else set())
        start = end
    ordered, start = sorted(whole), 0
    for part in concat.parts:
        end = start + part.channels
        inside = ordered[bisect.bisect_right(ordered, start) : bisect.bisect_left(ordered, end)]
        cuts[part.value] |= {cut - start for cut in inside}
        start = end


@dataclasses.dataclass(frozen=True)
class Home:
    """The buffer that holds a tensor, and the slice at which the tensor begins in it."""

    root: ir.Value
    slice: int


def share_buffers(concats: Sequence[ConcatPlan], layouts: dict[ir.Value, Layout]) -> dict[ir.Value, Home]:
    """Homes of all tensors; the parts of a concatenation live inside its output. Each tensor is a part at most once."""
    parent: dict[ir.Value, tuple[ir.Value, int]] = {}
    for concat in concats:
        start = 0
        for part in concat.parts:
            parent[part.value] = (concat.output.value, start)
            start += layouts[part.value].slices
    homes = {}
    for value in layouts:
        root, offset = value, 0
        while root in parent:
            root, step = parent[root]
            offset += step
        homes[value] = Home(root, offset)
    return homes


def copies_needed(concats: Sequence[ConcatPlan]) -> list[tuple[int, int]]:
    """(concat, part) pairs whose tensor is a part already; these must be copied first."""
    seen: set[ir.Value] = set()
    found = []
    for number, concat in enumerate(concats):
        for index, part in enumerate(concat.parts):
            if part.value in seen:
                found.append((number, index))
            seen.add(part.value)
    return found
