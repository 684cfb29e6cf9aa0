"""The cycle model: clocks that a layer needs on the accelerator, *predicted*, never measured.

``ideal_cycles`` is the contract's bound: every multiplier busy in every clock. ``predict`` follows the structure of the
kernel: strips loaded while the strip before computes, weights loaded while the pass before computes, results streamed
out behind the last pass of their output group. What it adds to the ideal are the borders of strips, restarts of loops,
memory that is slower than the array, and the first load and last write of a layer.
"""

from __future__ import annotations

import dataclasses
import math

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import BYTES, AddMode, Descriptor, PoolMode, TableMode
from sliceflow.hardware.profile import Profile

LAYER_OVERHEAD = 24
"""Clocks to decode a descriptor and set up its loops, besides reading it."""
PASS_RESTART = 2
"""Clocks between two passes: the loop's borders and the exchange of the weight buffers."""
PIPELINE_DEPTH = 24
"""Clocks from an address of the window buffer to the write of its result, paid once: behind the last pass."""
STRIP_RESTART = 16
"""Clocks between two strips: the exchange of the window buffers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CycleEstimate:
    """Predicted clocks of one layer, or of the part that its ranges name.

    Attributes:
        ideal: the contract's bound, ``ideal_cycles``.
        predicted: the model's total.
        compute: clocks in which the array has a frame.
        weights: clocks in which the array waits for weights.
        input_load: clocks in which it waits for input.
        output: clocks in which it waits for the write of results.
        restart: clocks between passes and strips, and pipeline fill and drain.
        setup: reading and decoding the descriptor and its parameters, first latency of memory.
    """

    ideal: int
    predicted: int
    compute: int
    weights: int
    input_load: int
    output: int
    restart: int
    setup: int


def ideal_cycles(layer: Descriptor, profile: Profile) -> int:
    """Clocks of a whole layer if the array never waits.

    One clock for each array pixel, input step, 3x3 window and output group. A kernel larger than 3x3 counts its
    windows. A second weight plane does not count: it is an artefact of 9-bit weights, so its passes are a loss. Rows
    that no pool window touches, and rows that overlapping strips compute twice, do not count either.

    Args:
        layer: a valid descriptor; its ranges are ignored.
        profile: the accelerator.
    """
    passes = geometry.passes(layer) // layer.weight_planes
    pixels = _needed_rows(layer) * layer.conv_width
    return layer.groups * geometry.output_groups(layer, profile) * passes * pixels


def _needed_rows(layer: Descriptor) -> int:
    """Rows of the map that the pool, if there is one, looks at."""
    first, last = geometry.array_rows(layer, 0, layer.strips)
    if layer.pool_mode not in (PoolMode.MAX, PoolMode.AVERAGE):
        return last - first
    gap = max(0, layer.pool_stride_y - layer.pool_window_y)
    return last - first - gap * (layer.pool_height - 1)


def predict(layer: Descriptor, profile: Profile) -> CycleEstimate:
    """Predict the clocks of the part of a layer that the descriptor's ranges name.

    Args:
        layer: a valid descriptor.
        profile: the accelerator.

    Returns:
        The estimate; ``predicted`` is the sum of its parts, and at least ``ideal`` for a whole layer.
    """
    strips = [
        _strip(layer, profile, number) for number in range(layer.strip_first, layer.strip_first + layer.strip_count)
    ]
    # A group's last strip computes while the first of the next group loads; behind the last group nothing loads.
    waits = [max(0, after.load - strip.array) for strip, after in zip(strips, [*strips[1:], strips[0]], strict=True)]
    groups = layer.group_count
    compute = groups * sum(strip.frames for strip in strips)
    weights = groups * sum(strip.weight_wait for strip in strips)
    output = groups * sum(strip.output_wait for strip in strips)
    input_load = strips[0].load + groups * sum(waits) - waits[-1]
    restart = groups * sum(strip.restarts + STRIP_RESTART for strip in strips) + PIPELINE_DEPTH
    setup = LAYER_OVERHEAD + 2 * profile.read_latency + _parameter_beats(layer, profile)
    return CycleEstimate(
        ideal=ideal_cycles(layer, profile),
        predicted=compute + weights + input_load + output + restart + setup,
        compute=compute,
        weights=weights,
        input_load=input_load,
        output=output,
        restart=restart,
        setup=setup,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Strip:
    """Clocks of one strip of one group."""

    frames: int
    """Frames of all passes."""
    weight_wait: int
    """Waits for weights: a pass takes at least as long as the block of the next one."""
    output_wait: int
    """Waits for the memory, where a result pixel needs more than a clock."""
    restarts: int
    """Borders between passes."""
    load: int
    """Clocks to load the strip's input."""

    @property
    def array(self) -> int:
        """Clocks from the first frame to the last."""
        return self.frames + self.weight_wait + self.output_wait + self.restarts


def _strip(layer: Descriptor, profile: Profile, number: int) -> _Strip:
    rows = geometry.array_rows(layer, number)
    pixels = (rows[1] - rows[0]) * layer.conv_width
    block = geometry.block_bytes(layer, profile) // profile.beat_bytes
    passes = layer.out_count * geometry.passes(layer)
    first, last = geometry.input_rows(layer, rows)
    pooled = geometry.pooled_rows(layer, number)
    # The addend is read while the output is written, each on its own port.
    result_bytes = geometry.lanes(layer, profile) * profile.activation_bytes
    written = _beats((pooled[1] - pooled[0]) * layer.upsample_y * layer.out_width * result_bytes, profile)
    addend = _beats(pixels * result_bytes, profile) if layer.add_mode != AddMode.OFF else 0
    return _Strip(
        frames=passes * pixels,
        weight_wait=passes * max(0, block - pixels),
        output_wait=layer.out_count * max(0, written - pixels, addend - pixels),
        restarts=passes * PASS_RESTART,
        load=_beats(layer.in_slices * (last - first) * layer.in_width * profile.word_bytes, profile),
    )


def _beats(size: int, profile: Profile) -> int:
    return math.ceil(size / profile.beat_bytes)


def _parameter_beats(layer: Descriptor, profile: Profile) -> int:
    """Clocks for what is read before the first pass: descriptor, lanes, first weights, table, averaging scales."""
    size = BYTES + profile.lane_block_bytes + geometry.block_bytes(layer, profile)
    size += 256 if layer.table_mode != TableMode.OFF else 0
    return _beats(size + 8 * geometry.scale_records(layer), profile)
