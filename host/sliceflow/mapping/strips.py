"""The shape of a layer on the array, and how it is cut into strips that fit the profile's buffers."""

from __future__ import annotations

import dataclasses
import math

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import Descriptor, Op
from sliceflow.hardware.profile import TAPS, Profile
from sliceflow.mapping.groups import blocks_of
from sliceflow.mapping.plan import Core, LayerPlan


@dataclasses.dataclass(frozen=True)
class Windows:
    """How one side of a kernel is covered by windows of the array.

    Attributes:
        count: windows.
        step: input rows (columns) from one window to the next.
        taps: rows (columns) of a window in use.
    """

    count: int
    step: int
    taps: int


def cover(kernel: int, dilation: int) -> Windows:
    """Cover one side of a kernel with three-tap windows.

    Two taps whose distance is a multiple of three lie in one bank, so a dilation of 3, 6, ... takes one tap a window.
    """
    if kernel == 1:
        return Windows(1, 1, 1)
    if dilation % 3 == 0:
        return Windows(kernel, dilation, 1)
    return Windows(math.ceil(kernel / 3), 3 * dilation, min(kernel, 3))


def single_pixels(kernel: int, dilation: int) -> Windows:
    """Cover one side of a kernel with windows of a single pixel (POINTWISE)."""
    return Windows(kernel, dilation if kernel > 1 else 1, 1)


def operation(plan: LayerPlan, in_slices: int) -> Op:
    """What the array does for a layer.

    A dense kernel is read either by 3x3 windows of one slice or by single pixels of nine slices, whichever takes fewer
    passes: 1x1 always by pixels, 3x3 by windows, 1x7 and kernels with a dilation of 3 by pixels if the slices fill the
    nine taps well enough.
    """
    if plan.kernel is None:
        return Op.PASS
    if plan.core is Core.DEPTHWISE:
        return Op.DEPTHWISE
    rows, columns = (cover(k, d) for k, d in zip(plan.kernel.size, plan.kernel.dilation, strict=True))
    by_windows = in_slices * rows.count * columns.count
    by_pixels = math.ceil(in_slices / TAPS) * math.prod(plan.kernel.size)
    return Op.POINTWISE if plan.kernel.size == (1, 1) or by_pixels < by_windows else Op.CONV


def shape_descriptor(plan: LayerPlan, *, groups: int, in_slices: int, out_slices: int) -> Descriptor:
    """A descriptor with every size of the layer set; addresses, constants and strips are not.

    Args:
        plan: the layer.
        groups: independent groups (slices, for DEPTHWISE and PASS).
        in_slices: input slices of one group.
        out_slices: output slices of one group.
    """
    op = operation(plan, in_slices)
    layer = Descriptor(op=op, groups=groups, in_slices=in_slices, out_slices=out_slices)
    if not plan.flatten_input:
        layer.in_height, layer.in_width = plan.input.height, plan.input.width
    layer.conv_height, layer.conv_width = plan.array_size
    if plan.kernel is not None:
        kernel = plan.kernel
        covering = single_pixels if op == Op.POINTWISE else cover
        rows, columns = (covering(k, d) for k, d in zip(kernel.size, kernel.dilation, strict=True))
        layer.windows_y, layer.window_step_y, layer.taps_y = rows.count, rows.step, rows.taps
        layer.windows_x, layer.window_step_x, layer.taps_x = columns.count, columns.step, columns.taps
        layer.dilation_y, layer.dilation_x = kernel.dilation
        layer.stride_y, layer.stride_x = kernel.stride
        layer.pad_top, layer.pad_left = kernel.pad[:2]
    layer.pool_height, layer.pool_width = plan.pooled_size
    if plan.pool is not None:
        pool = plan.pool
        layer.pool_mode = pool.mode
        if not layer.pool_is_global:
            layer.pool_window_y, layer.pool_window_x = pool.window
            layer.pool_stride_y, layer.pool_stride_x = pool.stride
            layer.pool_pad_top, layer.pool_pad_left = pool.pad
            layer.pool_count_top, layer.pool_count_left, layer.pool_count_bottom, layer.pool_count_right = pool.count
    layer.upsample_y, layer.upsample_x = plan.upsample
    return layer


def estimated_shape(plan: LayerPlan, profile: Profile) -> Descriptor:
    """The layer's shape if no tensor has gaps between its channels; for decisions before lanes are assigned."""
    blocks = blocks_of(plan, profile)
    if plan.core in (Core.DEPTHWISE, Core.PASS):
        return shape_descriptor(plan, groups=math.ceil(blocks.channels_in / profile.cpi), in_slices=1, out_slices=1)
    inputs = math.ceil(blocks.channels_in / profile.cpi)
    if plan.flatten_input:
        inputs = math.ceil(plan.input.channels / profile.cpi) * plan.input.height * plan.input.width
    outputs = math.ceil(blocks.channels_out / profile.cpi)
    return shape_descriptor(plan, groups=blocks.count, in_slices=inputs, out_slices=outputs)


def _fits(layer: Descriptor, strip_rows: int, profile: Profile) -> bool:
    trial = dataclasses.replace(layer, strip_rows=strip_rows)
    if trial.pool_is_global and trial.strips > 1 and geometry.output_groups(trial, profile) > 1:
        return False
    for strip in range(trial.strips):
        rows = geometry.array_rows(trial, strip)
        inputs = geometry.input_rows(trial, rows)
        if geometry.bank_words(trial, inputs[1] - inputs[0]) > profile.bank_words:
            return False
        if (rows[1] - rows[0]) * trial.conv_width > profile.accumulator_pixels:
            return False
    return True


def strip_rows(layer: Descriptor, profile: Profile) -> int | None:
    """The most rows a strip can have, evened out over the strips; None if not even one row fits."""
    rows = layer.conv_height if layer.pool_is_global else layer.pool_height
    low, high = 0, rows
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _fits(layer, middle, profile) else (low, middle - 1)
    if low == 0:
        return None
    even = math.ceil(rows / math.ceil(rows / low))
    return even if _fits(layer, even, profile) else low


def cover_whole(layer: Descriptor, profile: Profile) -> bool:
    """Choose a layer's strips and let its ranges name all of it; False if not even one row fits on chip."""
    rows = strip_rows(layer, profile)
    if rows is None:
        return False
    layer.strip_rows = rows
    layer.group_count, layer.strip_count = layer.groups, layer.strips
    layer.out_count = geometry.output_groups(layer, profile)
    return True
