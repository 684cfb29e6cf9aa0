"""The accelerator as a NumPy interpreter of docs/program.md: one call executes one descriptor.

Slow and obvious, but whole: frames are gathered tap by tap, sums are float64 matrix products (every sum of integer
products stays far below 2**53, so they are exact), and everything behind them is int64. Strips need no loop here, since
they do not change any value; only the rows of the descriptor's strip range are computed and written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import AddMode, Descriptor, Op, TableMode
from sliceflow.graph.geometry import Range
from sliceflow.hardware.profile import Profile
from sliceflow.reference import memory
from sliceflow.reference.memory import Bytes, LaneParameters
from sliceflow.reference.numerics import rescale, round_half_even_shift, wrap
from sliceflow.reference.pool import pool
from sliceflow.reference.statistics import LayerStatistics

_CHUNK = 1 << 22
"""Elements of a gathered frame matrix (32 MiB of float64)."""
Values = NDArray[Any]
"""``[rows][columns][lanes]``: int64, or float32 for float profiles."""


def execute(layer: Descriptor, profile: Profile, program: Bytes, weights: Bytes, activations: Bytes) -> LayerStatistics:
    """Execute one descriptor, or the part of it that its ranges name.

    The descriptor must have passed ``sliceflow.graph.validate`` for memories of these sizes.

    Args:
        layer: what to do.
        profile: the accelerator.
        program: program memory, uint8: lane parameters, tables, averaging scales.
        weights: weight memory, uint8.
        activations: activation memory, uint8; the output is written into it.

    Returns:
        How many values of the layer were clamped or overflowed.
    """
    statistics = LayerStatistics()
    rows = geometry.array_rows(layer, layer.strip_first, layer.strip_count)
    outs = (layer.out_first, layer.out_first + layer.out_count)
    for group in range(layer.group_first, layer.group_first + layer.group_count):
        lanes = memory.lane_parameters(program, layer, profile, group, outs)
        values = _accumulate(layer, profile, weights, activations, group, outs, rows, lanes)
        if not profile.is_float:
            wrapped = wrap(values, 32)
            statistics.overflows += int(np.count_nonzero(wrapped != values))
            values = wrapped
        kept = _written_lanes(layer, profile, outs)
        values, lanes = values[..., :kept], lanes.first(kept)
        values = _activate(layer, profile, program, values, lanes, statistics)
        if layer.add_mode != AddMode.OFF:
            addend = _addend(layer, profile, activations, group, outs, rows)
            values = _add(layer, profile, values, addend, lanes, statistics)
        if layer.table_mode == TableMode.AFTER_ADD:
            values = memory.table(program, layer, profile)[values + 128]
        pooled = geometry.pooled_rows(layer, layer.strip_first, layer.strip_count)
        values = pool(layer, profile, program, values, rows, pooled, statistics)
        _write(layer, profile, activations, group, outs, pooled, values)
    return statistics


def _written_lanes(layer: Descriptor, profile: Profile, outs: Range) -> int:
    """Lanes of these output groups that belong to slices of the output."""
    available = layer.out_slices * profile.cpi - outs[0] * geometry.lanes(layer, profile)
    return min(available, (outs[1] - outs[0]) * geometry.lanes(layer, profile))


def _tap_offsets(layer: Descriptor) -> list[tuple[int, int, int, int, int]]:
    """Tap number, window row and column, row and column offset in the input, of each tap in use."""
    return [
        (
            3 * tap_y + tap_x,
            window_y,
            window_x,
            window_y * layer.window_step_y + tap_y * layer.dilation_y,
            window_x * layer.window_step_x + tap_x * layer.dilation_x,
        )
        for window_y in range(layer.windows_y)
        for window_x in range(layer.windows_x)
        for tap_y in range(layer.taps_y)
        for tap_x in range(layer.taps_x)
    ]


def _shifted(layer: Descriptor, source: Values, rows: Range, offset_y: int, offset_x: int) -> Values:
    """The input pixel at an offset from each array pixel; ``pad_value`` outside the input.

    Args:
        layer: says the strides and the padding.
        source: ``[slices][in_height][in_width][CPI]``.
        rows: array rows.
        offset_y: rows from the window's first tap.
        offset_x: columns from the window's first tap.

    Returns:
        ``[slices][rows][conv_width][CPI]``.
    """
    y = np.arange(*rows) * layer.stride_y - layer.pad_top + offset_y
    x = np.arange(layer.conv_width) * layer.stride_x - layer.pad_left + offset_x
    inside_y, inside_x = (y >= 0) & (y < layer.in_height), (x >= 0) & (x < layer.in_width)
    result = np.full((source.shape[0], len(y), len(x), source.shape[3]), layer.pad_value, source.dtype)
    for slice_source, slice_result in zip(source, result, strict=True):
        slice_result[np.ix_(inside_y, inside_x)] = slice_source[np.ix_(y[inside_y], x[inside_x])]
    return result


def _accumulate(
    layer: Descriptor,
    profile: Profile,
    weights: Bytes,
    activations: Bytes,
    group: int,
    outs: Range,
    rows: Range,
    lanes: LaneParameters,
) -> Values:
    """Bias plus the sum of all passes: ``[rows][conv_width][outs * lanes]``, not yet wrapped to 32 bits."""
    slices = layer.groups * layer.in_slices
    tensor = memory.tensor_view(activations, profile, layer.in_base, slices, layer.in_height, layer.in_width)
    source = tensor[group * layer.in_slices : (group + 1) * layer.in_slices].astype(np.float64)
    if layer.op == Op.PASS:
        sums = _shifted(layer, source, rows, 0, 0)[0]
    else:
        blocks = memory.weight_blocks(weights, layer, profile, group, outs).astype(np.float64).sum(axis=1)
        if layer.op == Op.DEPTHWISE:
            sums = _depthwise(layer, source, blocks[0, 0], rows)
        else:
            sums = _dense(layer, source, _dense_matrix(layer, blocks), rows)
    if profile.is_float:
        single: Values = (sums + lanes.bias.astype(np.float64)).astype(np.float32)
        return single
    whole: Values = sums.astype(np.int64) + lanes.bias
    return whole


def _dense_matrix(layer: Descriptor, blocks: Values) -> Values:
    """Weights as ``[used taps * in_slices * CPI][outs * CPO]``, in the order of the gathered frames.

    Args:
        layer: says the operation.
        blocks: ``[outs][steps][windows_y][windows_x][9][CPI][CPO]``.
    """
    outs, cpi, cpo = blocks.shape[0], *blocks.shape[-2:]
    if layer.op == Op.POINTWISE:
        windows = [blocks[:, :, window_y, window_x] for _, window_y, window_x, _, _ in _tap_offsets(layer)]
        taps = [window.reshape(outs, -1, cpi, cpo)[:, : layer.in_slices] for window in windows]
    else:
        taps = [blocks[:, :, window_y, window_x, tap] for tap, window_y, window_x, _, _ in _tap_offsets(layer)]
    # [taps][outs][in_slices][CPI][CPO] -> [taps, in_slices, CPI][outs, CPO]
    return np.stack(taps).transpose(0, 2, 3, 1, 4).reshape(-1, outs * cpo)


def _dense(layer: Descriptor, source: Values, matrix: Values, rows: Range) -> Values:
    """Sums of a dense convolution, some rows at a time: ``[rows][conv_width][outs * CPO]``."""
    offsets = [offset[3:] for offset in _tap_offsets(layer)]
    at_once = max(1, _CHUNK // (layer.conv_width * matrix.shape[0]))
    parts = []
    for first in range(*rows, at_once):
        part = (first, min(first + at_once, rows[1]))
        frames = np.stack([_shifted(layer, source, part, y, x) for y, x in offsets])
        # [taps][in_slices][rows][columns][CPI] -> [pixels][taps, in_slices, CPI]
        frames = frames.transpose(2, 3, 0, 1, 4).reshape(-1, matrix.shape[0])
        parts.append(frames @ matrix)
    return np.concatenate(parts).reshape(rows[1] - rows[0], layer.conv_width, -1)


def _depthwise(layer: Descriptor, source: Values, blocks: Values, rows: Range) -> Values:
    """Sums of a depthwise convolution of one slice: ``[rows][conv_width][CPI]``.

    Args:
        layer: says the windows.
        source: ``[1][in_height][in_width][CPI]``.
        blocks: ``[windows_y][windows_x][9][CPI]``.
        rows: array rows.
    """
    sums = np.zeros((rows[1] - rows[0], layer.conv_width, source.shape[3]))
    for tap, window_y, window_x, offset_y, offset_x in _tap_offsets(layer):
        sums += _shifted(layer, source, rows, offset_y, offset_x)[0] * blocks[window_y, window_x, tap]
    return sums


def _activate(
    layer: Descriptor,
    profile: Profile,
    program: Bytes,
    values: Values,
    lanes: LaneParameters,
    statistics: LayerStatistics,
) -> Values:
    """Requantization (float: leaky slope and clamp) and the table before the add."""
    if layer.add_mode != AddMode.ACCUMULATOR and layer.requantize:
        if profile.is_float:
            values = np.where(values < 0, values * np.float32(layer.leaky_slope), values)
        else:
            values = rescale(values, lanes.multiplier, lanes.shift, layer.out_zero)
        values = statistics.clamp("requantize", values, layer.out_low, layer.out_high)
    elif layer.add_mode != AddMode.ACCUMULATOR and not profile.is_float:
        values = wrap(values, profile.activation_bits)
    if layer.table_mode == TableMode.BEFORE_ADD:
        values = memory.table(program, layer, profile)[values + 128]
    return values


def _addend(layer: Descriptor, profile: Profile, activations: Bytes, group: int, outs: Range, rows: Range) -> Values:
    """The addend's values: ``[rows][conv_width][written lanes]``."""
    slices = layer.groups * layer.out_slices
    tensor = memory.tensor_view(activations, profile, layer.add_base, slices, layer.conv_height, layer.conv_width)
    count = _written_lanes(layer, profile, outs) // profile.cpi
    first = _first_slice(layer, profile, group, outs)
    part = tensor[first : first + count, rows[0] : rows[1]].transpose(1, 2, 0, 3)
    return part.reshape(*part.shape[:2], -1).astype(np.float32 if profile.is_float else np.int64)


def _first_slice(layer: Descriptor, profile: Profile, group: int, outs: Range) -> int:
    """The tensor slice that the first of these output groups writes."""
    return group * layer.out_slices + outs[0] * geometry.lanes(layer, profile) // profile.cpi


def _add(
    layer: Descriptor,
    profile: Profile,
    values: Values,
    addend: Values,
    lanes: LaneParameters,
    statistics: LayerStatistics,
) -> Values:
    """The residual add: both operands as whole products, one rounding."""
    if profile.is_float:
        total = values + addend
    else:
        other = (addend - layer.add_other_zero) * layer.add_other_multiplier
        if layer.add_mode == AddMode.ACCUMULATOR:
            total = (values * lanes.multiplier << lanes.main_left) + (other << lanes.other_left)
            total = round_half_even_shift(total, lanes.right)
        else:
            main = (values - layer.add_main_zero) * layer.add_main_multiplier
            total = (main << np.int64(layer.add_main_shift)) + (other << np.int64(layer.add_other_shift))
            total = round_half_even_shift(total, layer.add_shift)
        total = layer.add_zero + total
    return statistics.clamp("add", total, layer.add_low, layer.add_high)


def _write(
    layer: Descriptor, profile: Profile, activations: Bytes, group: int, outs: Range, rows: Range, values: Values
) -> None:
    """Write ``[pooled rows][pool_width][written lanes]`` to the output, each pixel as often as the upsampling says."""
    slices = layer.groups * layer.out_slices
    tensor = memory.tensor_view(activations, profile, layer.out_base, slices, layer.out_height, layer.out_width)
    repeated = values.repeat(layer.upsample_y, axis=0).repeat(layer.upsample_x, axis=1)
    words = repeated.reshape(*repeated.shape[:2], -1, profile.cpi).transpose(2, 0, 1, 3)
    first = _first_slice(layer, profile, group, outs)
    tensor[first : first + len(words), rows[0] * layer.upsample_y : rows[1] * layer.upsample_y] = words
