"""The streaming pool of docs/program.md: windows or the whole map, maximum or average."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.graph.descriptor import Descriptor, PoolMode
from sliceflow.graph.geometry import Range
from sliceflow.hardware.profile import Profile
from sliceflow.reference import memory
from sliceflow.reference.memory import Bytes
from sliceflow.reference.numerics import rescale
from sliceflow.reference.statistics import LayerStatistics

Values = NDArray[Any]


def pool(
    layer: Descriptor,
    profile: Profile,
    program: Bytes,
    values: Values,
    rows: Range,
    pooled: Range,
    statistics: LayerStatistics,
) -> Values:
    """Pool one group's map.

    Args:
        layer: says the pool.
        profile: the accelerator.
        program: program memory, for the averaging scales.
        values: ``[rows][conv_width][lanes]``, int64 or float32.
        rows: array rows that ``values`` holds.
        pooled: pooled rows to make.
        statistics: counts what the clamp changes.

    Returns:
        ``[pooled rows][pool_width][lanes]``; ``values`` themselves without a pool.
    """
    mode = layer.pool_mode
    if mode == PoolMode.OFF:
        return values
    if mode == PoolMode.GLOBAL_MAX:
        largest: Values = values.max(axis=(0, 1), keepdims=True)
        return largest
    if mode == PoolMode.MAX:
        return _windows(layer, values, rows, pooled, maximum=True)
    is_global = mode == PoolMode.GLOBAL_AVERAGE
    centred = values.astype(np.float64) if profile.is_float else values - layer.pool_in_zero
    sums = (
        centred.sum(axis=(0, 1), keepdims=True) if is_global else _windows(layer, centred, rows, pooled, maximum=False)
    )
    factors, shifts = memory.averaging_scales(program, layer, profile)
    record = np.zeros((1, 1, 1), np.int64) if is_global else _counts(layer, pooled)
    if profile.is_float:
        averages = sums.astype(np.float32) * factors[record]
    else:
        averages = rescale(sums, factors[record], shifts[record], layer.pool_out_zero)
    return statistics.clamp("pool", averages, layer.pool_low, layer.pool_high)


def _windows(layer: Descriptor, values: Values, rows: Range, pooled: Range, *, maximum: bool) -> Values:
    """Maximum or sum of the map's cells under each window."""
    neutral = _lowest(values.dtype) if maximum else 0
    combine = np.maximum if maximum else np.add
    result = np.full((pooled[1] - pooled[0], layer.pool_width, values.shape[2]), neutral, values.dtype)
    for offset_y in range(layer.pool_window_y):
        y = np.arange(*pooled) * layer.pool_stride_y - layer.pool_pad_top + offset_y
        inside_y = (y >= 0) & (y < layer.conv_height)
        for offset_x in range(layer.pool_window_x):
            x = np.arange(layer.pool_width) * layer.pool_stride_x - layer.pool_pad_left + offset_x
            inside_x = (x >= 0) & (x < layer.conv_width)
            target = np.ix_(inside_y, inside_x)
            result[target] = combine(result[target], values[np.ix_(y[inside_y] - rows[0], x[inside_x])])
    return result


def _lowest(dtype: np.dtype[Any]) -> float:
    """A value that no maximum keeps."""
    return -np.inf if dtype.kind == "f" else int(np.iinfo(np.int64).min)


def _counts(layer: Descriptor, pooled: Range) -> NDArray[np.int64]:
    """Cells of each window inside the map extended by the counted padding: ``[pooled rows][pool_width][1]``."""
    y = _overlap(
        np.arange(*pooled) * layer.pool_stride_y - layer.pool_pad_top,
        layer.pool_window_y,
        -layer.pool_count_top,
        layer.conv_height + layer.pool_count_bottom,
    )
    x = _overlap(
        np.arange(layer.pool_width) * layer.pool_stride_x - layer.pool_pad_left,
        layer.pool_window_x,
        -layer.pool_count_left,
        layer.conv_width + layer.pool_count_right,
    )
    return (y[:, None] * x[None, :])[:, :, None]


def _overlap(first: NDArray[np.int64], size: int, low: int, high: int) -> NDArray[np.int64]:
    """Cells that the interval ``first .. first + size`` shares with ``low .. high``."""
    shared: NDArray[np.int64] = np.maximum(np.minimum(first + size, high) - np.maximum(first, low), 0)
    return shared
