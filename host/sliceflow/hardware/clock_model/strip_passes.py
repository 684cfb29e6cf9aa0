"""pad: when the rows of a pass may go, while its strip is being loaded."""

from __future__ import annotations

import math

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import Descriptor, PoolMode
from sliceflow.hardware.clock_model import latencies
from sliceflow.hardware.clock_model.load import StripLoad


class Stream:
    """Pixels that come one a clock, but wait at some of them.

    Args:
        count: pixels.
        waits: pixels, and the clocks before which they do not come; the first pixel is one of them.
    """

    def __init__(self, count: int, waits: list[tuple[int, int]]) -> None:
        self.count, self.waits = count, waits

    def clock(self, index: int) -> int:
        """When a pixel comes."""
        return max(clock + index - pixel for pixel, clock in self.waits if pixel <= index)

    @property
    def last(self) -> int:
        """When the last one comes."""
        return self.clock(self.count - 1)

    def behind(self, clocks: int, admit: int) -> Stream:
        """The stream some clocks later, and not before ``admit``."""
        return Stream(self.count, [(pixel, max(clock + clocks, admit)) for pixel, clock in self.waits])


class StripPasses:
    """The passes over one strip.

    Attributes:
        height, width, pixels: rows, columns and frames of a pass.
        loaded: frame from which no pass waits for input.
    """

    def __init__(self, layer: Descriptor, load: StripLoad, rows: geometry.Range) -> None:
        self._layer, self._load = layer, load
        self.height, self.width = rows[1] - rows[0], layer.conv_width
        self.pixels = self.height * self.width
        self._first_window = 0
        if layer.pool_mode in (PoolMode.MAX, PoolMode.AVERAGE):
            self._first_window = layer.pool_window_y - 1 - (layer.pool_pad_top if rows[0] == 0 else 0)
        self.loaded = load.end + latencies.STRIP_TO_FRAME
        # Rows of the input behind the lowest tap of the first row, from the first row that is loaded.
        self._reach = (
            rows[0] * layer.stride_y - layer.pad_top - load.first_row + (layer.taps_y - 1) * layer.dilation_y + 1
        )

    def arrival(self, step: int, window: int) -> int:
        """Clock from which the first frame of a pass has its input.

        Args:
            step: input step.
            window: number of the pass's window in the step.
        """
        return self._frame(step, self._needed(window))

    def frames(self, step: int, window: int, begin: int) -> Stream:
        """The frames of a pass that begins with frame ``begin``."""
        needed, stride = self._needed(window), self._layer.stride_y
        points = [(0, begin)]
        if self.width < latencies.LOADING_ROW:
            return Stream(self.pixels, self._narrow_rows(step, needed, begin))
        if self._frame(step, needed + (self.height - 1) * stride) > begin:
            for row in self._rows(needed):
                resumed = self._frame(step, needed + row * stride)
                if resumed > begin + row * self.width:
                    points.append((row * self.width, resumed))
        return Stream(self.pixels, points)

    def _narrow_rows(self, step: int, needed: int, begin: int) -> list[tuple[int, int]]:
        """The rows of a map so narrow that pad, not their frames, takes the time while the strip is being loaded."""
        whole, points = self._frame(step, self._load.rows), [(0, begin)]
        for row in range(1, self.height):
            clock = points[-1][1]
            resumed = self._frame(step, needed + row * self._layer.stride_y)
            points.append((row, max(min(clock + latencies.LOADING_ROW, max(clock + 1, whole)), resumed)))
        return points

    def _needed(self, window: int) -> int:
        """Input rows that the first row of a window needs."""
        return self._reach + window // self._layer.windows_x * self._layer.window_step_y

    def _frame(self, step: int, rows: int) -> int:
        return min(self._load.available(step, rows) + latencies.LOADED_TO_FRAME, self.loaded)

    def _rows(self, needed: int) -> set[int]:
        """Rows of a pass at which waiting for input may end: between them, frames and input both come evenly."""
        load, stride = self._load, self._layer.stride_y
        loaded = range(0, load.rows + 1, load.band) if load.band < load.rows else (load.rows - 1, load.rows)
        borders = {loaded[0], loaded[1], loaded[-2], loaded[-1]} if load.rows else set[int]()
        rows = {math.ceil((border + 1 - needed) / stride) for border in borders}
        rows |= {1, self.height // 2, self.height - 1, self._first_window}
        return {row for row in rows if 0 < row < self.height}
