"""Random fields of a descriptor: windows, pool, requantization, add, upsampling. Used by ``random_program``."""

from __future__ import annotations

import numpy as np

from sliceflow.graph.descriptor import AddMode, Descriptor, Op, PoolMode, TableMode
from sliceflow.hardware.profile import Profile


def random_windows(rng: np.random.Generator, layer: Descriptor) -> None:
    """Kernel, stride, padding and sizes of input and output of the array."""
    single = layer.op == Op.PASS or (layer.op == Op.POINTWISE and rng.random() < 0.6)
    tiny = rng.random() < 0.1
    for axis, side, before in (("y", "height", "pad_top"), ("x", "width", "pad_left")):
        reach = 1 if single else _random_axis(rng, layer, axis)
        length = 1 if tiny else int(rng.integers(1, 24))
        stride = int(rng.choice([1, 1, 1, 2, 2, 3, 4]))
        pad, after = (int(value) for value in rng.integers(0, reach + 1, 2) * rng.integers(0, 2))
        after = max(after, reach - length - pad)
        setattr(layer, f"in_{side}", length)
        setattr(layer, f"stride_{axis}", stride)
        setattr(layer, before, pad)
        setattr(layer, f"conv_{side}", (length + pad + after - reach) // stride + 1)


def _random_axis(rng: np.random.Generator, layer: Descriptor, axis: str) -> int:
    """One side of the kernel, 1 to 7 taps; returns the input rows (columns) that it spans."""
    kernel, dilation = int(rng.choice([1, 2, 3, 3, 3, 4, 5, 6, 7])), int(rng.choice([1, 1, 1, 2, 3, 4, 6]))
    one_tap = layer.op == Op.POINTWISE or dilation % 3 == 0
    taps = 1 if one_tap or rng.random() < 0.15 else min(3, kernel)
    windows = -(-kernel // taps)
    step = taps * dilation if rng.random() < 0.9 else int(rng.integers(1, 6))
    setattr(layer, f"windows_{axis}", windows)
    setattr(layer, f"window_step_{axis}", step)
    setattr(layer, f"taps_{axis}", taps)
    setattr(layer, f"dilation_{axis}", dilation)
    return (windows - 1) * step + (taps - 1) * dilation + 1


def random_pool(rng: np.random.Generator, layer: Descriptor, profile: Profile) -> None:
    """Pool mode and geometry, and the upsampling behind it."""
    layer.pool_mode = int(rng.choice([0, 0, 0, 0, 1, 1, 2, 2, 3, 4]))
    layer.pool_height, layer.pool_width = layer.conv_height, layer.conv_width
    if layer.conv_width > profile.pool_width and not layer.pool_is_global:
        layer.pool_mode = int(PoolMode.OFF)
    if layer.pool_is_global:
        layer.pool_height = layer.pool_width = 1
    elif layer.pool_mode != PoolMode.OFF:
        for axis, side, edges in (("y", "height", ("top", "bottom")), ("x", "width", ("left", "right"))):
            window = int(rng.integers(1, min(5, profile.pool_window) + 1))
            stride, pad = int(rng.integers(1, 5)), int(rng.integers(0, window))
            reachable = (getattr(layer, f"conv_{side}") - 1 + pad) // stride + 1
            setattr(layer, f"pool_window_{axis}", window)
            setattr(layer, f"pool_stride_{axis}", stride)
            setattr(layer, f"pool_pad_{edges[0]}", pad)
            setattr(layer, f"pool_{side}", reachable if rng.random() < 0.7 else int(rng.integers(1, reachable + 1)))
            for edge in edges:
                setattr(layer, f"pool_count_{edge}", int(rng.choice([0, 0, 1, 2])))
    if rng.random() < 0.25:
        layer.upsample_y, layer.upsample_x = (int(value) for value in rng.integers(1, 4, 2))


def random_stages(rng: np.random.Generator, layer: Descriptor, profile: Profile) -> None:
    """What happens to a value between accumulator and pool, and the constants of all of it."""
    layer.add_mode = int(rng.choice([AddMode.OFF, AddMode.OFF, AddMode.REQUANTIZED, AddMode.ACCUMULATOR]))
    layer.requantize = int(rng.random() < (0.5 if layer.op == Op.PASS else 0.95))
    if profile.is_float:
        _random_float_constants(rng, layer)
        return
    if profile.has_tables:
        layer.table_mode = int(rng.choice([TableMode.OFF, TableMode.OFF, TableMode.BEFORE_ADD, TableMode.AFTER_ADD]))
    if layer.add_mode == AddMode.ACCUMULATOR and layer.table_mode == TableMode.BEFORE_ADD:
        layer.table_mode = int(TableMode.AFTER_ADD)
    end = 1 << (profile.activation_bits - 1)
    layer.pad_value = int(rng.integers(-end, end))
    for field in ("out_zero", "add_main_zero", "add_other_zero", "add_zero", "pool_in_zero", "pool_out_zero"):
        setattr(layer, field, int(rng.choice([0, -end, rng.integers(-end, end)])))
    for stage, zero in (("out", layer.out_zero), ("add", layer.add_zero), ("pool", layer.pool_out_zero)):
        limits = [(-end, end - 1), (zero, end - 1), tuple(sorted(rng.integers(-end, end, 2).tolist()))]
        low, high = limits[int(rng.choice([0, 0, 1, 1, 2]))]
        setattr(layer, f"{stage}_low", low)
        setattr(layer, f"{stage}_high", high)
    signs = rng.choice([1, 1, 1, -1], 2)
    layer.add_main_multiplier, layer.add_other_multiplier = (
        int(sign * value) for sign, value in zip(signs, rng.integers(1 << 23, 1 << 24, 2), strict=True)
    )
    if rng.random() < 0.3:
        layer.add_main_multiplier = 1 << 23
    layer.add_main_shift, layer.add_other_shift = (int(value) for value in rng.integers(0, 6, 2))
    layer.add_shift = 24 + max(layer.add_main_shift, layer.add_other_shift)


def _random_float_constants(rng: np.random.Generator, layer: Descriptor) -> None:
    """Clamps and slope; float32 values, so that encoding keeps them."""
    layer.pad_value = _float(rng.choice([0.0, rng.normal()]))
    layer.leaky_slope = _float(rng.choice([0.0, 0.1, 1.0]))
    for stage in ("out", "add", "pool"):
        low, high = [(-np.inf, np.inf), (0.0, np.inf), (0.0, 6.0), (-1.5, 2.5)][int(rng.integers(4))]
        setattr(layer, f"{stage}_low", _float(low))
        setattr(layer, f"{stage}_high", _float(high))


def _float(value: float) -> float:
    return float(np.float32(value))
