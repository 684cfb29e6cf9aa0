"""Another mapping of a convolution on the array, by its passes: what it would win. Arithmetic only, nothing runs."""

from __future__ import annotations

import itertools
import math

TAPS = 9


def tiled_passes(kernel: tuple[int, int], slices: int) -> int:
    """Passes if a window may mix taps and input slices.

    Nine banks serve nine taps of one slice, but also three taps in a row (or a column) of three slices, or one tap of
    nine slices, if a word's bank is ``(row + slice) % 3 * 3 + (column + slice / 3) % 3``: none of them meets another in
    a bank. The kernel is cut into tiles of at most 3x3 taps, and each tile takes the cheapest of these.

    Args:
        kernel: rows and columns.
        slices: input slices.
    """
    sides = [[min(3, size - start) for start in range(0, size, 3)] for size in kernel]
    return sum(_tile_passes(rows, columns, slices) for rows, columns in itertools.product(*sides))


def _tile_passes(rows: int, columns: int, slices: int) -> int:
    # Slices side by side serve a row; a column needs slices whose thirds differ modulo 3.
    for_row, for_column = math.ceil(slices / 3), 3 * (slices // TAPS) + min(3, slices % TAPS)
    return min(slices, rows * for_row, columns * for_column, rows * columns * math.ceil(slices / TAPS))
