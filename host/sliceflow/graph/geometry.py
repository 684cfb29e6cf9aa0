"""Sizes that follow from a descriptor and a profile: strips, passes, memory extents, on-chip words.

docs/program.md defines each of them; this is the one place where Python computes them. All results are Python integers,
so nothing overflows whatever the descriptor says.
"""

from __future__ import annotations

import math

from sliceflow.graph.descriptor import Descriptor, Op, PoolMode
from sliceflow.hardware.profile import TAPS, Profile

Range = tuple[int, int]
"""The first of some rows or output groups, and the one behind the last."""


def is_dense(layer: Descriptor) -> bool:
    """Whether every output channel of a group sums over all its input channels (CONV and POINTWISE)."""
    return layer.op in (Op.CONV, Op.POINTWISE)


def lanes(layer: Descriptor, profile: Profile) -> int:
    """Channels that one output group produces."""
    return profile.cpo if is_dense(layer) else profile.cpi


def output_groups(layer: Descriptor, profile: Profile) -> int:
    """Output groups (CPO channels) of each group."""
    return math.ceil(layer.out_slices * profile.cpi / lanes(layer, profile))


def steps(layer: Descriptor) -> int:
    """Input steps of each output group: input slices, or ninths of them for POINTWISE."""
    if layer.op == Op.POINTWISE:
        return math.ceil(layer.in_slices / TAPS)
    return layer.in_slices if layer.op == Op.CONV else 1


def passes(layer: Descriptor) -> int:
    """Passes over the strip for each output group: planes x steps x windows."""
    return layer.weight_planes * steps(layer) * layer.windows_y * layer.windows_x


def block_bytes(layer: Descriptor, profile: Profile) -> int:
    """Bytes of one pass' weights, whole beats."""
    if layer.op == Op.PASS:
        return 0
    return profile.weight_block_bytes if is_dense(layer) else profile.depthwise_block_bytes


def weight_bytes(layer: Descriptor, profile: Profile) -> int:
    """Bytes of the whole layer's weights."""
    return layer.groups * output_groups(layer, profile) * passes(layer) * block_bytes(layer, profile)


def lane_bytes(layer: Descriptor, profile: Profile) -> int:
    """Bytes of the whole layer's lane parameters."""
    return layer.groups * output_groups(layer, profile) * profile.lane_block_bytes


def scale_records(layer: Descriptor) -> int:
    """Averaging records that the pool uses."""
    if layer.pool_mode == PoolMode.AVERAGE:
        return layer.pool_window_y * layer.pool_window_x + 1
    return 1 if layer.pool_mode == PoolMode.GLOBAL_AVERAGE else 0


def averaged_cells(layer: Descriptor) -> int:
    """Most values that the pool sums for an average."""
    if layer.pool_mode == PoolMode.AVERAGE:
        return layer.pool_window_y * layer.pool_window_x
    return layer.conv_height * layer.conv_width if layer.pool_mode == PoolMode.GLOBAL_AVERAGE else 0


def input_words(layer: Descriptor) -> int:
    """Words of the whole input."""
    return layer.groups * layer.in_slices * layer.in_height * layer.in_width


def addend_words(layer: Descriptor) -> int:
    """Words of the whole addend."""
    return layer.groups * layer.out_slices * layer.conv_height * layer.conv_width


def output_words(layer: Descriptor) -> int:
    """Words of the whole output."""
    return layer.groups * layer.out_slices * layer.out_height * layer.out_width


def array_rows(layer: Descriptor, first_strip: int, strip_count: int = 1) -> Range:
    """Range that the array computes for some strips that follow each other."""
    first, last = first_strip * layer.strip_rows, (first_strip + strip_count) * layer.strip_rows
    if layer.pool_mode in (PoolMode.MAX, PoolMode.AVERAGE):
        last = min(last, layer.pool_height)
        first = first * layer.pool_stride_y - layer.pool_pad_top
        last = (last - 1) * layer.pool_stride_y - layer.pool_pad_top + layer.pool_window_y
    return max(0, first), min(layer.conv_height, last)


def pooled_rows(layer: Descriptor, first_strip: int, strip_count: int = 1) -> Range:
    """Range after the pool that some strips that follow each other produce."""
    if layer.pool_is_global:
        return 0, 1
    last = min(layer.pool_height, (first_strip + strip_count) * layer.strip_rows)
    return first_strip * layer.strip_rows, last


def window_reach(layer: Descriptor) -> int:
    """Input rows from the first to the last that one array row reads."""
    return (layer.windows_y - 1) * layer.window_step_y + (layer.taps_y - 1) * layer.dilation_y + 1


def input_rows(layer: Descriptor, rows: Range) -> Range:
    """Input rows that an interval of array rows reads, clipped to the input; may be empty."""
    first = rows[0] * layer.stride_y - layer.pad_top
    last = (rows[1] - 1) * layer.stride_y - layer.pad_top + window_reach(layer)
    first = min(max(0, first), layer.in_height)
    return first, max(first, min(layer.in_height, last))


def bank_words(layer: Descriptor, rows: int) -> int:
    """Words that each bank holds for a strip of ``rows`` input rows."""
    if layer.op == Op.POINTWISE:
        return steps(layer) * rows * layer.in_width
    return layer.in_slices * math.ceil(rows / 3) * math.ceil(layer.in_width / 3)
