"""read_lanes and activation: when an output group has its lane parameters, and a layer its table."""

from __future__ import annotations

import math
from collections import deque

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import Descriptor, TableMode
from sliceflow.hardware.clock_model import latencies
from sliceflow.hardware.clock_model.load import NEVER
from sliceflow.hardware.profile import Profile


def beats_before_lanes(layer: Descriptor, profile: Profile) -> int:
    """Beats of averaging scales and of the table, which come before the lane parameters."""
    scales = math.ceil(8 * geometry.scale_records(layer) / profile.beat_bytes)
    return scales + (latencies.TABLE_BEATS if layer.table_mode != TableMode.OFF else 0)


def beats_ahead(layer: Descriptor, profile: Profile) -> int:
    """Beats that a layer reads on the program port before any of them is needed."""
    lanes = layer.groups * geometry.output_groups(layer, profile) * (profile.lane_block_bytes // profile.beat_bytes)
    return beats_before_lanes(layer, profile) + min(lanes, latencies.LANES_BUFFER)


class LaneReader:
    """Reads a beat a clock, ahead as far as its FIFO goes.

    Attributes:
        table: clock from which the layer's table is copied, so that sums may pass.

    Args:
        layer: a valid descriptor.
        profile: the accelerator.
        first: clock in which the first beat is there: table, averaging scales, lane parameters follow each other.
    """

    def __init__(self, layer: Descriptor, profile: Profile, first: int) -> None:
        self._beats = profile.lane_block_bytes // profile.beat_bytes
        self._again = profile.read_latency + latencies.LANES_AGAIN + self._beats
        self.table = first + latencies.TABLE_COPY if layer.table_mode != TableMode.OFF else NEVER
        self._next = first + beats_before_lanes(layer, profile) + self._beats + latencies.BIAS_TO_FRAME
        ahead = max(1, latencies.LANES_BUFFER // self._beats)
        self._taken = deque([NEVER] * ahead, maxlen=ahead)

    def take(self, held: int) -> int:
        """First frame that the next output group's lane parameters allow; ``held``: that the groups before it do."""
        frame = max(self._next, held, self._taken[0] + self._again)
        self._taken.append(frame)
        self._next = frame + self._beats
        return frame

    def keeps_up(self, period: int, groups: int) -> bool:
        """Whether memory can serve so many output groups in ``period`` clocks for ever."""
        return len(self._taken) * period >= self._again * groups

    def delay(self, clocks: int) -> None:
        """Move everything so much later."""
        self._next += clocks
        self._taken = deque((clock + clocks for clock in self._taken), self._taken.maxlen)
