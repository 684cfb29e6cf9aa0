"""What a strip's results are for pool_steps and write: steps, pixels, bursts."""

from __future__ import annotations

import dataclasses
import math

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import Descriptor, PoolMode
from sliceflow.hardware.clock_model import latencies
from sliceflow.hardware.profile import Profile


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResultStrip:
    """One output group of a strip behind the accumulators.

    Attributes:
        pixels: array pixels.
        pooled: pixels behind the pool.
        steps: of pool_steps over the map.
        steps_to_first: to the one that ends the first window.
        steps_behind_map: behind the last pixel, right of the map and below it.
        steps_behind_last: behind the one that ends the last window.
        copies: of each pooled pixel.
        beats, bursts: of one slice in memory.
    """

    pixels: int
    pooled: int
    steps: int
    steps_to_first: int
    steps_behind_map: int
    steps_behind_last: int
    copies: int
    beats: int
    bursts: int


def result_strip(layer: Descriptor, profile: Profile, strip: int, rows: geometry.Range) -> ResultStrip:
    """Describe a strip with the array rows ``rows``."""
    first, last = geometry.pooled_rows(layer, strip)
    count = last - first
    if layer.pool_is_global:
        count = int(strip + 1 == layer.strip_first + layer.strip_count)
    pixels = (rows[1] - rows[0]) * layer.conv_width
    walk = _Walk(pixels, pixels - 1, 0, 0)
    if layer.pool_mode in (PoolMode.MAX, PoolMode.AVERAGE) and count:
        walk = _walk(layer, rows, first, count)
    pooled = count * layer.pool_width
    beats, bursts = _bursts(layer, profile, pooled)
    return ResultStrip(
        pixels=pixels,
        pooled=pooled,
        steps=walk.steps,
        steps_to_first=walk.to_first,
        steps_behind_map=walk.behind_map,
        steps_behind_last=walk.behind_last,
        copies=layer.upsample_y * layer.upsample_x,
        beats=beats,
        bursts=bursts,
    )


def last_burst_clocks(layer: Descriptor, profile: Profile, slices: int) -> int:
    """Clocks that the beats take which go out behind a layer's last pixel, which has ``slices`` slices."""
    words, burst = profile.beat_bytes // profile.word_bytes, burst_beats(profile)
    strip = layer.strip_first + layer.strip_count - 1
    rows = geometry.pooled_rows(layer, strip)
    group = layer.group_first + layer.group_count - 1
    slice_ = group * layer.out_slices
    if geometry.is_dense(layer):
        slice_ += (layer.out_first + layer.out_count - 1) * (profile.cpo // profile.cpi)
    total = before = since = 0
    for number in range(slice_, slice_ + slices):
        base = layer.out_base + number * layer.out_height * layer.out_width
        last = base + rows[1] * layer.upsample_y * layer.out_width - 1
        first = base + rows[0] * layer.out_width if layer.upsample_y == 1 else last - layer.upsample_x + 1
        first_beat, last_beat = first // words, last // words
        border = last_beat // burst * burst
        total += last_beat - max(first_beat, border) + 1
        before += min(burst, max(0, border - first_beat))
        since = last - border * words + 1
    # The full bursts before take a clock a beat as well, from their own last pixels on.
    return total + max(0, before - since)


def burst_beats(profile: Profile) -> int:
    """Beats of write's largest bursts; they end at multiples of it."""
    parts = profile.cpo // profile.cpi
    return latencies.WRITE_BURST if parts <= latencies.FEW_PARTS else latencies.WRITE_BURST * 4 // parts


def _bursts(layer: Descriptor, profile: Profile, pooled: int) -> tuple[int, int]:
    """Beats and bursts of one slice. Without copies of rows, a strip is one run; with them, each copy is."""
    words = profile.beat_bytes // profile.word_bytes
    run = layer.upsample_x if layer.upsample_y > 1 else pooled * layer.upsample_x
    runs = pooled * layer.upsample_y if layer.upsample_y > 1 else 1
    beats = math.ceil(run / words)
    return runs * beats, runs * math.ceil(beats / burst_beats(profile))


@dataclasses.dataclass(frozen=True)
class _Walk:
    steps: int
    to_first: int
    behind_map: int
    behind_last: int


def _walk(layer: Descriptor, rows: geometry.Range, first_pooled: int, count: int) -> _Walk:
    """Steps of a windowed pool over the map of a strip, row by row."""
    width, height = layer.conv_width, rows[1] - rows[0]
    # Rows in which windows end, from the strip's first row.
    first_end = first_pooled * layer.pool_stride_y - layer.pool_pad_top + layer.pool_window_y - 1 - rows[0]
    last_end = first_end + (count - 1) * layer.pool_stride_y
    height_walked = max(height, last_end + 1)
    ends = layer.pool_window_x - layer.pool_pad_left + (layer.pool_width - 1) * layer.pool_stride_x
    beside = max(0, ends - width)
    gap = max(0, 3 - width)  # a row reads what the one above wrote three clocks before
    row = width + gap
    below = height_walked - height
    ends_below = sum(1 for end in range(first_end, last_end + 1, layer.pool_stride_y) if end >= height)
    ends_in_last = first_end <= height - 1 <= last_end and (height - 1 - first_end) % layer.pool_stride_y == 0
    return _Walk(
        steps=height_walked * row - gap + count * beside,
        to_first=max(0, first_end) * row + max(0, layer.pool_window_x - 1 - layer.pool_pad_left),
        behind_map=below * row + (ends_below + ends_in_last) * beside,
        behind_last=(height_walked - 1 - last_end) * row + max(0, width - ends),
    )
