"""Unroll: the host writes a stem's kernel window as channels, where few input channels would leave lanes idle.

A kernel of KH x KW taps with stride s and dilation d is split into ``rows x columns`` taps that become channels, and
ceil(KH/rows) x ceil(KW/columns) taps that stay a kernel (per side: tap = kept * factor + unrolled). The tensor then has
one cell for every gcd(s, factor*d) rows (columns) of the padded input, and the kept kernel the rest of stride and
dilation. All rows and two columns of a 7x7 kernel with stride 2 make 42 channels of 3, each half as large, and a kernel
of 1x4; all rows and columns are the full unrolling (im2col), with a kernel of 1x1.

The rule: a dense, ungrouped convolution whose input comes from the host and has no other reader takes the splitting
with the least time, that is cycles at the profile's clock, transfer over ``LINK`` and the host's work at
``HOST_BYTES_PER_SECOND``. The time must be shorter than without, and the cycles at least ``LEAST_SAVING`` fewer.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import logging
import math
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from sliceflow.graph import geometry
from sliceflow.graph.program import MAX_UNROLLED_CHANNELS, Unrolling, contiguous_runs
from sliceflow.graph.rules import MAX_SIDE
from sliceflow.hardware import cycles
from sliceflow.hardware.profile import TAPS, Profile
from sliceflow.mapping.layout import Layout, assign_lanes
from sliceflow.mapping.lower import DoesNotFitError, size_layer
from sliceflow.mapping.partition import LINK, Partition
from sliceflow.mapping.plan import Core, Kernel, LayerPlan

logger = logging.getLogger(__name__)

Layouts = dict[ir.Value, Layout]

LEAST_SAVING = 0.25
"""Share of a layer's predicted cycles that unrolling must save."""
HOST_BYTES_PER_SECOND = 1e9
"""Assumed rate at which one core writes an unrolled tensor; NumPy was measured at 1.2 to 1.6 GB/s."""


@dataclasses.dataclass(frozen=True)
class _Side:
    """How one side of a kernel is split.

    Attributes:
        factor: taps that become channels.
        kept: taps that stay.
        step: input rows (columns) from one cell of the tensor to the next.
        stride, dilation: of the kept taps, in cells.
    """

    factor: int
    kept: int
    step: int
    stride: int
    dilation: int

    @classmethod
    def of(cls, factor: int, kernel: int, stride: int, dilation: int) -> _Side:
        """Split ``kernel`` taps."""
        kept = math.ceil(kernel / factor)
        step = stride if kept == 1 else math.gcd(stride, factor * dilation)
        return cls(factor, kept, step, stride // step, factor * dilation // step if kept > 1 else 1)

    def cells(self, outputs: int) -> int:
        """Cells that so many outputs read."""
        return (outputs - 1) * self.stride + (self.kept - 1) * self.dilation + 1


@dataclasses.dataclass(frozen=True)
class _Cost:
    """Predicted clocks of a layer, and seconds with all that its input takes."""

    cycles: int
    seconds: float


def unroll_stems(found: Partition, profile: Profile) -> Partition:
    """Replace the layers that gain from it.

    Args:
        found: the partition; it is not changed.
        profile: the accelerator.
    """
    produced = {unit.output.value for unit in found.units}
    readers = collections.Counter(tensor.value for layer in found.layers for tensor in layer.inputs)
    readers.update(part.value for concat in found.concats for part in concat.parts)
    stems = {
        plan
        for plan in found.layers
        if _can_unroll(plan, profile) and plan.input.value not in produced and readers[plan.input.value] == 1
    }
    if not stems:
        return found
    layouts = assign_lanes(found.layers, found.concats, profile)
    layers = [best_unrolling(plan, layouts, profile) if plan in stems else plan for plan in found.layers]
    return dataclasses.replace(found, layers=layers)


def _can_unroll(plan: LayerPlan, profile: Profile) -> bool:
    """Whether a layer is of the right kind; nine slices of channels fill the array as they are."""
    kernel = plan.kernel
    dense = plan.core is Core.CONV and kernel is not None and kernel.group == 1 and math.prod(kernel.size) > 1
    return dense and plan.input.channels < TAPS * profile.cpi


def best_unrolling(plan: LayerPlan, layouts: Layouts, profile: Profile) -> LayerPlan:
    """The plan of a layer that reads what the host writes, or its best unrolled form."""
    plain = _cost(plan, layouts, profile) if _can_unroll(plan, profile) else None
    if plain is None:
        return plan
    best, chosen = plain, plan
    for trial in _unrolled(plan):
        lanes = Layout(*contiguous_runs(trial.input.channels, profile.cpi))
        cost = _cost(trial, {**layouts, trial.input.value: lanes}, profile)
        if cost is not None and cost.cycles <= (1 - LEAST_SAVING) * plain.cycles and cost.seconds < best.seconds:
            best, chosen = cost, trial
    if chosen is not plan:
        logger.info("%s: the host unrolls its kernel, %d cycles instead of %d", plan.name, best.cycles, plain.cycles)
    return chosen


def _cost(plan: LayerPlan, layouts: Layouts, profile: Profile) -> _Cost | None:
    """What a layer costs; None if it does not fit."""
    if max(plan.input.size) > MAX_SIDE:
        return None
    try:
        layer = size_layer(plan, layouts, profile)
    except DoesNotFitError:
        return None
    clocks = cycles.predict(layer, profile).predicted
    size = geometry.input_words(layer) * profile.word_bytes
    return _Cost(clocks, profile.seconds(clocks) + LINK.seconds(size, 1) + size / HOST_BYTES_PER_SECOND)


def _sides(kernel: int, stride: int, dilation: int) -> list[_Side]:
    """The ways to split one side: the fewest unrolled taps for each number of kept ones and each step."""
    found: dict[tuple[int, int], _Side] = {}
    for factor in range(1, min(kernel, MAX_UNROLLED_CHANNELS) + 1):
        side = _Side.of(factor, kernel, stride, dilation)
        found.setdefault((side.kept, side.step), side)
    return list(found.values())


def _unrolled(plan: LayerPlan) -> Iterator[LayerPlan]:
    """All unrolled forms of a layer that are worth a look."""
    kernel = plan.kernel
    if kernel is None:
        return
    ways = (_sides(*side) for side in zip(kernel.size, kernel.stride, kernel.dilation, strict=True))
    for rows, columns in itertools.product(*ways):
        if 1 < rows.factor * columns.factor <= MAX_UNROLLED_CHANNELS // plan.input.channels:
            yield _unroll(plan, kernel, rows, columns)


def _unroll(plan: LayerPlan, kernel: Kernel, rows: _Side, columns: _Side) -> LayerPlan:
    unrolling = Unrolling(
        rows=rows.factor,
        columns=columns.factor,
        stride_y=rows.step,
        stride_x=columns.step,
        dilation_y=kernel.dilation[0],
        dilation_x=kernel.dilation[1],
        pad_top=kernel.pad[0],
        pad_left=kernel.pad[1],
    )
    source = dataclasses.replace(
        plan.input,
        channels=unrolling.taps * plan.input.channels,
        height=rows.cells(plan.array_size[0]),
        width=columns.cells(plan.array_size[1]),
        unrolling=unrolling,
    )
    return dataclasses.replace(plan, input=source, kernel=_kept(kernel, rows, columns))


def _kept(kernel: Kernel, rows: _Side, columns: _Side) -> Kernel:
    """The kernel that stays: tap (i, j) of channel (q, p, c) is the model's tap (i*rows + q, j*columns + p) of c."""
    outputs, channels, *size = kernel.weights.shape
    filled = np.zeros((outputs, channels, rows.kept * rows.factor, columns.kept * columns.factor), kernel.weights.dtype)
    filled[:, :, : size[0], : size[1]] = kernel.weights
    split = filled.reshape(outputs, channels, rows.kept, rows.factor, columns.kept, columns.factor)
    weights = split.transpose(0, 3, 5, 1, 2, 4).reshape(outputs, -1, rows.kept, columns.kept)
    return dataclasses.replace(
        kernel,
        weights=np.ascontiguousarray(weights),
        stride=(rows.stride, columns.stride),
        dilation=(rows.dilation, columns.dilation),
        pad=(0, 0, 0, 0),
        filling=filled.size - kernel.weights.size,
    )
