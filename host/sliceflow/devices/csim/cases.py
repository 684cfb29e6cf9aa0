"""Case files for the C test bench (``hls/cpp/testbench.cpp``): one launch each, with the expected memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A launch of descriptors ``first .. first + count``.

    Attributes:
        program: program memory, uint8.
        weights: weight memory, uint8.
        before: activation memory at the start, uint8.
        after: what it must hold at the end, by an independent implementation.
        first: number of the first descriptor.
        count: descriptors.
    """

    program: Bytes
    weights: Bytes
    before: Bytes
    after: Bytes
    first: int = 0
    count: int = 1


def write_cases(folder: Path, cases: Mapping[str, Case]) -> None:
    """Write cases for ``testbench FOLDER``.

    Args:
        folder: made if it does not exist; ``cases.txt`` is written last, so a half-written folder runs nothing.
        cases: by name; the names become subfolders.
    """
    for name, case in cases.items():
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        for key in ("program", "weights", "before", "after"):
            (place / f"{key}.bin").write_bytes(getattr(case, key).tobytes())
        (place / "case.txt").write_text(f"first {case.first}\ncount {case.count}\n", encoding="ascii")
    listing = folder / "cases.txt.new"
    listing.write_text("".join(f"{name}\n" for name in cases), encoding="utf-8")
    listing.replace(folder / "cases.txt")
