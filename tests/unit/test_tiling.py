"""The other mapping that docs/benchmarks/utilization.md proposes: its banks do not meet, and its passes add up."""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.figures.tiling import TAPS, tiled_passes


def bank(row: int, column: int, slice_: int) -> int:
    return (row + slice_) % 3 * 3 + (column + slice_ // 3) % 3


@pytest.mark.parametrize("dilation", [1, 2, 4, 5])
def test_no_two_taps_of_a_frame_meet_in_a_bank(dilation: int) -> None:
    three = [(dilation * index) for index in range(3)]
    for row, column, first in itertools.product(range(3), range(3), range(0, 27, 9)):
        frames = [[bank(row + y, column + x, first + index) for y in three for x in three] for index in range(9)]
        frames += [[bank(row, column + x, first + 3 * j + i) for x in three for i in range(3)] for j in range(3)]
        frames += [[bank(row + y, column, first + i + 3 * j) for y in three for j in range(3)] for i in range(3)]
        frames.append([bank(row, column, first + index) for index in range(9)])
        assert all(sorted(frame) == list(range(9)) for frame in frames)


def test_a_dilation_of_three_would_meet() -> None:
    assert bank(0, 0, 0) == bank(3, 0, 0)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 5), (7, 7), (1, 7), (7, 1), (2, 2), (1, 3)])
def test_no_multiplier_idles_where_slices_are_a_multiple_of_nine(kernel: tuple[int, int]) -> None:
    assert tiled_passes(kernel, 36) * TAPS == 36 * math.prod(kernel)


@pytest.mark.parametrize("slices", range(1, 40))
def test_passes_suffice_and_never_exceed_plain_windows(slices: int) -> None:
    for kernel in itertools.product(range(1, 8), repeat=2):
        passes = tiled_passes(kernel, slices)
        assert passes * TAPS >= slices * math.prod(kernel)
        assert passes <= slices * math.ceil(kernel[0] / 3) * math.ceil(kernel[1] / 3)


@pytest.mark.parametrize("slices", range(1, 40))
def test_a_column_takes_a_slice_of_each_residue(slices: int) -> None:
    frames = max(sum(index // 3 % 3 == residue for index in range(slices)) for residue in range(3))
    assert tiled_passes((3, 1), slices) == min(frames, 3 * math.ceil(slices / TAPS), slices)
