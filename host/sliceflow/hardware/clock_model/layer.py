"""One layer on the kernel: schedule, pad, cvt, the weights, and the array's passes."""

from __future__ import annotations

import dataclasses
import enum
from collections import deque

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import AddMode, Descriptor
from sliceflow.hardware.clock_model import latencies
from sliceflow.hardware.clock_model.addend import AddendReader
from sliceflow.hardware.clock_model.lanes import LaneReader
from sliceflow.hardware.clock_model.load import NEVER, StripLoad
from sliceflow.hardware.clock_model.result_strip import result_strip
from sliceflow.hardware.clock_model.results import Results
from sliceflow.hardware.clock_model.strip_passes import Stream, StripPasses
from sliceflow.hardware.profile import Profile

STEADY_FROM = 3
"""Output groups of a strip, or groups, after which the model looks whether they repeat."""


class Cause(enum.Enum):
    """What the array waits for."""

    WEIGHTS = "weights"
    INPUT = "input"
    OUTPUT = "output"
    RESTART = "restart"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prefetch:
    """Clocks in which the first beats of a layer's parameters are there; before its begin they are negative.

    Attributes:
        weights: its weights at weight_block.
        lanes: its tables, averaging scales and lane parameters at read_lanes.
    """

    weights: int
    lanes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerTiming:
    """When a layer does what, in clocks since its begin.

    Attributes:
        first_frame, last_frame: in the array.
        end: the last write response has arrived.
        commands: of the last strip.
        last_pass: the last pass has taken its weights.
        frames: in all.
        waits: clocks between the first and the last frame without one, by cause.
    """

    first_frame: int
    last_frame: int
    end: int
    commands: int
    last_pass: int
    frames: int
    waits: dict[Cause, int]


class _Repeats:
    """Looks whether the times of a state have moved by one and the same period, twice in turn."""

    def __init__(self) -> None:
        self._count = 0
        self._clocks: tuple[int, ...] = ()
        self._periods: tuple[int, ...] = ()

    def period(self, *clocks: int) -> int:
        """The period, or 0 if there is none yet."""
        before, self._periods = self._periods, tuple(map(int.__sub__, clocks, self._clocks))
        self._clocks = clocks
        self._count += 1
        repeats = self._count >= STEADY_FROM and before == self._periods and len(set(before)) == 1
        return before[0] if repeats else 0


class LayerModel:
    """The times of the part of a layer that its descriptor's ranges name."""

    def __init__(self, layer: Descriptor, profile: Profile, prefetch: Prefetch) -> None:
        self._layer, self._profile = layer, profile
        self._passes = geometry.passes(layer)
        self._windows = layer.windows_y * layer.windows_x
        self._loaded_passes = geometry.steps(layer) * self._windows
        self._block = geometry.block_bytes(layer, profile) // profile.beat_bytes
        self._lanes = LaneReader(layer, profile, prefetch.lanes)
        self._results = Results(layer, profile, admit=self._lanes.table)
        self._addends = AddendReader(profile)
        self._waits = dict.fromkeys(Cause, 0)
        self._frames = 0
        self._taken = prefetch.weights - 1  # when the last block was taken, or its beats began to come
        self._begin = self._group_begin = self._end = NEVER  # frames of the last pass, first frame of the last group
        self._first_frame: int | None = None
        self._load_end = NEVER
        self._commands = self._next_commands = latencies.FIRST_COMMAND
        self._row = NEVER  # when pad made the last row of a strip
        self._rows = deque[int]([], maxlen=latencies.COMMANDS)
        self._ends = deque[int]([], maxlen=2)

    def run(self) -> LayerTiming:
        """Compute all strips of all groups. Once groups repeat, all but the last are counted instead."""
        layer = self._layer
        group, behind = layer.group_first, layer.group_first + layer.group_count
        repeats = _Repeats()
        while group < behind:
            totals = self._totals()
            for strip in range(layer.strip_first, layer.strip_first + layer.strip_count):
                self._strip(group, strip)
            group += 1
            period = repeats.period(*self._clocks(), self._row, self._load_end, self._next_commands)
            if period and group < behind - 1 and self._keeps_up(period, layer.strip_count * layer.out_count):
                self._skip(behind - 1 - group, period, totals)
                self._delay_strips((behind - 1 - group) * period)
                group = behind - 1
        return LayerTiming(
            first_frame=self._first_frame or 0,
            last_frame=self._end,
            end=self._results.end(self._profile.read_latency),
            commands=self._commands,
            last_pass=self._taken,
            frames=self._frames,
            waits=self._waits,
        )

    def _clocks(self) -> tuple[int, int, int]:
        return self._group_begin, self._end, self._results.written

    def _totals(self) -> list[int]:
        return [self._frames, *self._waits.values()]

    def _keeps_up(self, period: int, groups: int) -> bool:
        """Whether memory can serve so many output groups in ``period`` clocks for ever, not only from its queues."""
        return self._lanes.keeps_up(period, groups) and self._results.keeps_up(period, groups)

    def _skip(self, times: int, period: int, before: list[int]) -> None:
        """Repeat what the array computed last: it added to the totals ``before`` it, and took ``period`` clocks."""
        frames, *waits = (times * (now - then) for now, then in zip(self._totals(), before, strict=True))
        self._frames += frames
        for cause, clocks in zip(self._waits, waits, strict=True):
            self._waits[cause] += clocks
        clocks = times * period
        self._taken += clocks
        self._begin += clocks
        self._group_begin += clocks
        self._end += clocks
        self._row += clocks
        self._lanes.delay(clocks)
        self._results.delay(clocks)

    def _delay_strips(self, clocks: int) -> None:
        """Move so much later what does not know of output groups."""
        self._next_commands += clocks
        self._load_end += clocks
        self._rows = deque((clock + clocks for clock in self._rows), self._rows.maxlen)
        self._ends = deque((clock + clocks for clock in self._ends), self._ends.maxlen)
        self._addends.delay(clocks)

    def _strip(self, group: int, strip: int) -> None:
        """Compute one strip."""
        layer, commands = self._layer, self._next_commands
        if len(self._rows) == latencies.COMMANDS:
            commands = max(commands, self._rows[0] + latencies.NEXT_COMMANDS)
        self._commands = commands
        self._next_commands = commands + (latencies.STRIP_SETUP if layer.strip_count > 1 else latencies.GROUP_SETUP)
        rows = geometry.array_rows(layer, strip)
        released = self._ends[0] if len(self._ends) == 2 else NEVER
        start = commands + self._profile.read_latency + latencies.INPUT_READ
        start = max(start, self._load_end + latencies.NEXT_LOAD, released)
        load = StripLoad(layer, self._profile, group, rows, start)
        first_row = max(self._row + latencies.NEXT_STRIP_ROW, commands + latencies.FIRST_ROW)
        self._row = first_row
        self._results.begin_strip(result_strip(layer, self._profile, strip, rows))
        if layer.add_mode != AddMode.OFF:
            turns = layer.out_count * self._profile.cpo // self._profile.cpi
            self._results.admit = max(self._results.admit, self._addends.begin(commands, turns))
        self._outs(StripPasses(layer, load, rows), first_row + latencies.ROW_TO_FRAME)
        if layer.add_mode != AddMode.OFF:
            pixels = (rows[1] - rows[0]) * layer.conv_width
            self._addends.end(pixels * layer.out_count, self._results.admitted)
        self._results.end_strip()
        self._rows.append(self._row)
        self._ends.append(self._end)
        self._load_end = load.end

    def _outs(self, strip: StripPasses, ready: int) -> None:
        """Compute the output groups of a strip, whose first frame pad can make in clock ``ready``.

        Once they repeat, all but the last are counted instead.
        """
        count, out = self._layer.out_count, 0
        repeats = _Repeats()
        while out < count:
            totals = self._totals()
            self._out(strip, out, ready)
            out += 1
            period = repeats.period(*self._clocks())
            if period and out < count - 1 and self._keeps_up(period, 1):
                self._skip(count - 1 - out, period, totals)
                out = count - 1

    def _out(self, strip: StripPasses, out: int, ready: int) -> None:
        """Compute one output group: the passes that wait for input, the others, and what leaves the last one."""
        lanes = self._lanes.take(self._results.next_lanes())
        number = 0
        while out == 0 and number < self._loaded_passes and self._end < strip.loaded:
            step, window = divmod(number, self._windows)
            self._start(number, ready, lanes, strip.arrival(step, window))
            frames = strip.frames(step, window, self._begin)
            before, self._end = self._end, frames.last
            self._count(strip, 1)
            self._waits[Cause.INPUT] += self._end - self._begin + 1 - strip.pixels
            number += 1
        if number < self._passes - 1:
            self._start(number, ready, lanes, NEVER)
            self._repeat(strip, self._passes - 1 - number)
            number = self._passes - 1
        if number < self._passes:
            self._start(number, ready, lanes, NEVER)
            frames = Stream(strip.pixels, [(0, self._begin)])
            before, self._end = self._end, frames.last
            self._count(strip, 1)
        self._leave(out, frames)
        above = self._end - strip.width if strip.height > 1 else before
        self._row = max(self._row, above + 1 - latencies.ROW_TO_FRAME)

    def _start(self, number: int, ready: int, lanes: int, arrival: int) -> None:
        """Begin a pass as soon as pad, the input, the weights, and for a first pass the lane parameters are there."""
        block = self._taken + self._block + 1
        earliest = self._end + 1
        bounds = (
            (max(self._begin + latencies.PASS_SPACING, ready), Cause.RESTART),
            (max(block, lanes if number == 0 else NEVER), Cause.WEIGHTS),
            (arrival, Cause.INPUT),
        )
        begin, cause = max(bounds, key=lambda bound: bound[0])
        begin = max(begin, earliest)
        if self._first_frame is None:
            self._first_frame = begin
        else:
            self._waits[cause] += begin - earliest
        self._begin, self._taken = begin, begin - 1
        if number == 0:
            self._group_begin = begin

    def _repeat(self, strip: StripPasses, passes: int) -> None:
        """Compute passes that wait for nothing but their weights; the first one has begun."""
        spacing = max(strip.pixels, self._block, latencies.PASS_SPACING)
        cause = Cause.WEIGHTS if self._block >= latencies.PASS_SPACING else Cause.RESTART
        self._waits[cause] += (passes - 1) * (spacing - strip.pixels)
        self._begin += (passes - 1) * spacing
        self._taken = self._begin - 1
        self._end = self._begin + strip.pixels - 1
        self._count(strip, passes)

    def _leave(self, out: int, frames: Stream) -> None:
        """Send the sums of the last pass on, which waits for room behind the array."""
        first, last = self._results.group(out, frames)
        self._waits[Cause.OUTPUT] += last - self._end
        self._begin, self._end = first, last
        self._taken = first - 1

    def _count(self, strip: StripPasses, passes: int) -> None:
        self._frames += passes * strip.pixels
