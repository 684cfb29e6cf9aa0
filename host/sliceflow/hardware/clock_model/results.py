"""What happens behind the accumulators: post, pool, upsample and write, and how they hold up the array."""

from __future__ import annotations

import math
from collections import deque

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import Descriptor, PoolMode
from sliceflow.hardware.clock_model import latencies
from sliceflow.hardware.clock_model.load import NEVER
from sliceflow.hardware.clock_model.result_strip import ResultStrip, last_burst_clocks
from sliceflow.hardware.clock_model.strip_passes import Stream
from sliceflow.hardware.profile import Profile


class Results:
    """The stream of results, an output group of a strip after the other.

    Attributes:
        admit: earliest clock in which post admits a sum.
        admitted: clock of the last sum.
        written: clock of the last pixel at write.
    """

    def __init__(self, layer: Descriptor, profile: Profile, *, admit: int) -> None:
        self._layer, self._profile = layer, profile
        self._array = latencies.array(profile)
        self._post = latencies.post(layer, profile)
        self._pool = latencies.pool(layer, profile)
        self._pools = layer.pool_mode != PoolMode.OFF
        self._slices = profile.cpo // profile.cpi if geometry.is_dense(layer) else 1
        self.admit, self.admitted, self.written = admit, NEVER, NEVER
        self._first_sums = deque([NEVER] * latencies.LANES_AHEAD, maxlen=latencies.LANES_AHEAD)
        self._left = _Left()
        self._pool_free = self._write_free = NEVER
        self._pool_pause = 0
        self._bursts = _Bursts(profile)
        self._last_slices = 1

    def next_lanes(self) -> int:
        """Clock of the frame from which the next output group's lane parameters are there, if memory is quick."""
        return self._first_sums[0] + latencies.LANES_TO_FRAME

    def begin_strip(self, strip: ResultStrip) -> None:
        """A strip's commands have come."""
        self._strip = strip
        if self._pools:
            self._pool_free += latencies.POOL_STRIP - self._pool_pause  # they fall together
            self._pool_pause = 0

    def end_strip(self) -> None:
        """The strip's last output group is done."""
        if self._strip.pooled:
            self._write_free += latencies.STRIP_CLOSE + self._last_slices - 1

    def group(self, out: int, frames: Stream) -> tuple[int, int]:
        """Take the last pass of an output group.

        Args:
            out: number of the output group.
            frames: its frames, if nothing here waits.

        Returns:
            The first and the last frame as the room behind the array lets them in.
        """
        pixels = self._strip.pixels
        first = max(frames.clock(0), self._left.room(1))
        sums = frames.behind(0, first).behind(self._array, self.admit)
        self._first_sums.append(sums.clock(0))
        self.admitted = sums.last
        self._last_slices = self._slices_of(out)
        consume = self._consume_pooled if self._pools else self._consume_plain
        left, clocks = consume(sums.behind(self._post, NEVER))
        self._left.add(pixels, left, max(1.0, clocks / pixels))
        return first, max(frames.last, first + pixels - 1, self._left.room(0))

    def end(self, write_latency: int) -> int:
        """Clock of the layer's end: the last response has arrived."""
        last = max(self.written, self._bursts.stored())
        sending = last_burst_clocks(self._layer, self._profile, self._last_slices)
        return last + write_latency + latencies.BURST_TO_END + sending

    def keeps_up(self, period: int, groups: int) -> bool:
        """Whether the memory answers the bursts of so many output groups like the last in ``period`` clocks."""
        return self._bursts.clocks(groups * self._strip.bursts * self._last_slices) <= period

    def delay(self, clocks: int) -> None:
        """Move everything so much later."""
        self._first_sums = deque((clock + clocks for clock in self._first_sums), maxlen=latencies.LANES_AHEAD)
        self._left.delay(clocks)
        self._pool_free += clocks
        self._write_free += clocks
        self.admitted += clocks
        self.written += clocks
        self._bursts.delay(clocks)

    def _slices_of(self, out: int) -> int:
        if not geometry.is_dense(self._layer):
            return 1
        return min(self._slices, self._layer.out_slices - (self._layer.out_first + out) * self._slices)

    def _write_clocks(self) -> int:
        """Clocks of an output group at write: a copy a clock, a beat a clock."""
        return max(self._strip.pooled * self._strip.copies, self._strip.beats * self._last_slices)

    def _consume_plain(self, pixels: Stream) -> tuple[int, int]:
        """Write pixels as they come; returns when the last is gone, and the clocks that they keep write busy."""
        clocks = self._write_clocks()
        copies = max(1.0, clocks / pixels.count)
        waits = [(0, self._write_free), *pixels.waits]
        end = max(clock + math.ceil((pixels.count - pixel) * copies) - 1 for pixel, clock in waits)
        end = max(end, pixels.last + math.ceil(copies) - 1)
        written = self._write(end, clocks)
        return written, clocks + written - end

    def _consume_pooled(self, pixels: Stream) -> tuple[int, int]:
        """Pool pixels as they come and write what comes of it."""
        strip = self._strip
        start = max(pixels.clock(0), self._pool_free)
        stepped = max(pixels.last + strip.steps_behind_map, start + strip.steps - 1)
        busy = strip.steps
        if strip.pooled:
            clocks = self._write_clocks()
            end = max(
                stepped - strip.steps_behind_last + self._pool + strip.copies - 1,
                max(self._write_free, start + strip.steps_to_first + self._pool) + clocks - 1,
                max(self._written_behind(pixel, clock, clocks) for pixel, clock in pixels.waits),
            )
            end = self._write(end, clocks)
            busy = max(busy, clocks)
            waiting = math.floor(latencies.POOL_ROOM * clocks / strip.pooled)
            stepped = max(stepped, end - self._pool - waiting)
            self._pool_pause = int(self._layer.pool_mode == PoolMode.GLOBAL_AVERAGE)  # a total takes two clocks
        self._pool_free = stepped + 1 + self._pool_pause
        return stepped - strip.steps_behind_map, busy

    def _written_behind(self, pixel: int, clock: int, clocks: int) -> int:
        """When all is written, if ``pixel`` comes in ``clock`` and the whole output group takes write ``clocks``."""
        strip = self._strip
        first = clock + max(0, strip.steps_to_first - pixel) + self._pool
        share = (strip.pixels - pixel) / max(1, strip.pixels - strip.steps_to_first)
        return first + math.ceil(clocks * min(1.0, share)) - 1

    def _write(self, end: int, clocks: int) -> int:
        """Write an output group until ``end``, or later if the memory does not answer so fast."""
        end = self._bursts.add(self._strip.bursts * self._last_slices, end - clocks, end)
        self._write_free = end + 1
        self.written = end
        return end


class _Left:
    """When pixels left post, which makes room for further frames."""

    def __init__(self) -> None:
        self._count = 0
        self._groups: deque[tuple[int, int, float]] = deque()  # pixels so far, clock of the last, clocks of a pixel

    def add(self, pixels: int, last: int, clocks: float) -> None:
        self._count += pixels
        self._groups.append((self._count, last, clocks))
        while len(self._groups) > 1 and self._groups[0][0] <= self._count - latencies.IN_FLIGHT:
            self._groups.popleft()

    def room(self, further: int) -> int:
        """Clock from which there is room for the last pixel, or for the ``further``-th behind it."""
        index = self._count - 1 + further - latencies.IN_FLIGHT
        if index < 0:
            return NEVER
        for count, last, clocks in self._groups:
            if index < count:
                return math.ceil(last - (count - 1 - index) * clocks) + latencies.RETURN
        return NEVER

    def delay(self, clocks: int) -> None:
        """Move everything so much later."""
        self._groups = deque((count, last + clocks, each) for count, last, each in self._groups)


class _Bursts:
    """Bursts that the memory takes: so many without response, each answered a write latency behind its last beat."""

    def __init__(self, profile: Profile) -> None:
        self._turn = profile.read_latency + 1  # the model of memory knows one latency
        self.count = 0
        self._begin = NEVER

    def add(self, bursts: int, begin: int, end: int) -> int:
        """Write bursts from ``begin`` to ``end``; returns the end that the memory allows."""
        if self._begin == NEVER or begin > self._stored(self.count) + 2 * self._turn:
            self._begin, self.count = begin, 0
        self.count += bursts
        return max(end, self._stored(self.count - latencies.ANNOUNCED)) if bursts else end

    def clocks(self, bursts: int) -> int:
        """Clocks of so many bursts in the long run."""
        return math.ceil(bursts * self._turn / latencies.OPEN_BURSTS)

    def delay(self, clocks: int) -> None:
        """Move everything so much later."""
        self._begin += clocks

    def stored(self) -> int:
        """Clock of the last burst, if the memory was never idle."""
        return self._stored(self.count)

    def _stored(self, count: int) -> int:
        rounds, rest = divmod(max(0, count - 1), latencies.OPEN_BURSTS)
        return self._begin + rounds * max(self._turn, latencies.OPEN_BURSTS) + rest
