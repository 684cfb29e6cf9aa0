"""The cycle model: clocks that a layer needs on the accelerator, *predicted*, never measured.

``ideal_cycles`` is the contract's bound: every multiplier busy in every clock. ``predict`` follows the RTL kernel with
memory ports of 64 bytes a clock: strips are loaded while the strip before computes, weights while the pass before
computes, results stream out behind the last pass of their output group. tests/rtl/test_cycles.py holds it to 2 % of the
simulated kernel's own clocks for each layer. There is no RTL kernel for float arithmetic, so that nothing holds the
cycles of float profiles: ``caveat`` says so, and so does whatever prints them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import Descriptor, PoolMode, TableMode
from sliceflow.hardware.clock_model import latencies
from sliceflow.hardware.clock_model.lanes import beats_ahead
from sliceflow.hardware.clock_model.layer import Cause, LayerModel, LayerTiming, Prefetch
from sliceflow.hardware.profile import Profile


@dataclasses.dataclass(frozen=True, kw_only=True)
class CycleEstimate:
    """Predicted clocks of one layer, or of the part that its ranges name.

    A layer begins when the one before has its last write response, or when its descriptor is set up.

    Attributes:
        ideal: the contract's bound, ``ideal_cycles``.
        predicted: the model's total.
        head: clocks from the layer's begin to its first frame: the first input, or the first weights.
        compute: clocks in which a frame enters the array.
        weights: clocks behind the first frame in which the array waits for weights or lane parameters.
        input_load: ... for input.
        output: ... for room behind it: pool, write, memory.
        restart: ... between two passes or strips.
        tail: clocks from the last frame to the last write response.
        gap: clocks before the begin in which nothing of a launch executes: the layer's descriptor is set up.
    """

    ideal: int
    predicted: int
    head: int
    compute: int
    weights: int
    input_load: int
    output: int
    restart: int
    tail: int
    gap: int


def caveat(profile: Profile) -> str:
    """What readers of a profile's predicted cycles must know; empty if a kernel stands behind them."""
    if profile.kind == "int":
        return ""
    return f"no kernel stands behind the cycles of {profile.name}: the cycle model is validated on the integer RTL only"


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
    """Predict the clocks of the part of a layer that the descriptor's ranges name, in a launch of its own.

    Args:
        layer: a valid descriptor.
        profile: the accelerator.

    Returns:
        The estimate; ``predicted`` is the sum of its parts but ``gap``, and at least ``ideal`` for a whole layer.
    """
    return predict_launch([layer], profile)[0]


def predict_launch(layers: Sequence[Descriptor], profile: Profile) -> list[CycleEstimate]:
    """Predict the clocks of each layer of a launch; a layer's parameters are fetched while the one before computes.

    Args:
        layers: valid descriptors, in the order of their execution.
        profile: the accelerator.
    """
    latency = profile.read_latency
    setup = latency + latencies.DESCRIPTOR
    estimates: list[CycleEstimate] = []
    end = turn = taken = 0
    for number, layer in enumerate(layers):
        request = turn + setup - latencies.LEAD
        lanes, free = request, end + latencies.CLOSE if number else 0
        if _has_tables(layer) and number:  # they are written into memories that the layer before uses
            lanes = max(request, free)
            free += 1
        begin = max(turn + setup, free)
        read = latency + latencies.PARAMETER_READ
        prefetch = Prefetch(weights=max(request + read, taken) - begin, lanes=lanes + read - begin)
        timing = LayerModel(layer, profile, prefetch).run()
        estimates.append(_estimate(layer, profile, timing, begin - end))
        # The next descriptor waits on the program port for what this layer reads there.
        port = lanes + beats_ahead(layer, profile) + latencies.PORT_TURN
        turn = max(begin + timing.commands + latencies.NEXT_DESCRIPTOR, port)
        end, taken = begin + timing.end, begin + timing.last_pass
    return estimates


def _has_tables(layer: Descriptor) -> bool:
    return layer.table_mode != TableMode.OFF or geometry.scale_records(layer) > 0


def _estimate(layer: Descriptor, profile: Profile, timing: LayerTiming, gap: int) -> CycleEstimate:
    return CycleEstimate(
        ideal=ideal_cycles(layer, profile),
        predicted=timing.end,
        head=timing.first_frame,
        compute=timing.frames,
        weights=timing.waits[Cause.WEIGHTS],
        input_load=timing.waits[Cause.INPUT],
        output=timing.waits[Cause.OUTPUT],
        restart=timing.waits[Cause.RESTART],
        tail=timing.end - timing.last_frame - 1,
        gap=gap,
    )
