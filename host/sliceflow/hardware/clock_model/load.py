"""load: when the input rows of a strip are in the banks."""

from __future__ import annotations

import functools
import math

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import Descriptor, Op
from sliceflow.hardware.clock_model import latencies
from sliceflow.hardware.profile import TAPS, Profile

NEVER = -(1 << 40)
"""A time before everything."""


class StripLoad:
    """Times of one strip's input.

    Load places up to eight words of one row and one beat a clock. A CONV strip comes slice by slice; a POINTWISE strip
    comes nine slices at a time, and of those a band of some rows at a time.

    Args:
        layer: a valid descriptor.
        profile: the accelerator.
        group: the strip's group.
        rows: its array rows.
        start: clock in which the first words are placed.
    """

    def __init__(self, layer: Descriptor, profile: Profile, group: int, rows: geometry.Range, start: int) -> None:
        first, last = geometry.input_rows(layer, rows)
        self.first_row, self.rows, self.start = first, last - first, start
        self._width, self._slices = layer.in_width, layer.in_slices
        self._beat_words = profile.beat_bytes // profile.word_bytes
        plane = layer.in_height * layer.in_width
        self._base = (layer.in_base + group * layer.in_slices * plane + first * layer.in_width) % self._beat_words
        self._step = plane % self._beat_words
        self.band = self.rows
        if layer.op == Op.POINTWISE:
            self.band = min(self.rows, band_rows(layer.in_width, self._beat_words))
        self._pointwise = layer.op == Op.POINTWISE
        self._before = [0]
        period = self._beat_words // math.gcd(self._step, self._beat_words)
        for number in range(min(self._slices, period) if self.rows else 0):
            self._before.append(self._before[-1] + self._clocks(number, self.rows))

    @property
    def end(self) -> int:
        """Clock behind the last words."""
        return self.start + self._all_before(self._slices)

    def available(self, step: int, rows: int) -> int:
        """Clock from which pad may use the first ``rows`` rows of the slices of an input step."""
        rows = min(rows, self.rows)
        if rows <= 0:
            return NEVER
        if not self._pointwise:
            return self.start + self._all_before(step) + self._clocks(step, rows)
        first, last = TAPS * step, min(TAPS * step + TAPS, self._slices)
        rows = min(self.rows, math.ceil(rows / self.band) * self.band)
        together = sum(self._clocks(number, rows) for number in range(first, last))
        return self.start + self._all_before(first) + together

    def _all_before(self, slices: int) -> int:
        """Clocks of whole slices; their places in a beat repeat."""
        if not self.rows:
            return 0
        rounds, rest = divmod(slices, len(self._before) - 1)
        return rounds * self._before[-1] + self._before[rest]

    def _clocks(self, number: int, rows: int) -> int:
        """Clocks of the first rows of a slice."""
        place = (self._base + number * self._step) % self._beat_words
        clocks = _clocks_before_row(place, self._width, self._beat_words)
        rounds, rest = divmod(rows, len(clocks) - 1)
        return rounds * clocks[-1] + clocks[rest]


def band_rows(width: int, beat_words: int) -> int:
    """Rows of a band of a POINTWISE strip: about eight clocks (schedule)."""
    words = 8 * min(latencies.LOAD_WORDS, beat_words)
    return 1 << min(4, max(0, words.bit_length() - width.bit_length()))


@functools.lru_cache(maxsize=1 << 14)
def _clocks_before_row(place: int, width: int, beat_words: int) -> tuple[int, ...]:
    """Clocks of the first 0, 1, 2 ... rows, until a row stands at the same place of a beat again."""
    load_words = min(latencies.LOAD_WORDS, beat_words)
    clocks, at = [0], place
    while True:
        head = min(width, beat_words - at)
        beats, tail = divmod(width - head, beat_words)
        parts = math.ceil(head / load_words) + beats * (beat_words // load_words) + math.ceil(tail / load_words)
        clocks.append(clocks[-1] + parts)
        at = (at + width) % beat_words
        if at == place:
            return tuple(clocks)
