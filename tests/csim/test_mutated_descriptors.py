"""A wrong descriptor has the same status in the reference and in the C++, or the same integers."""

from __future__ import annotations

import numpy as np
import pytest

from tests.csim.support import library, profile_of
from tests.support.mutated import judge_many
from tests.support.random_program import Case


@pytest.mark.parametrize("profile", ["int8-4x4", "small-8x8-4x8", "w8a16-8x8"])
def test_mutated_descriptors(profile: str) -> None:
    def run(case: Case, memory: np.ndarray) -> None:
        library(profile).run(case.program, case.weights, memory, 0, 1)

    outcomes = judge_many(range(30), profile_of(profile), 40, run, None)
    assert outcomes["refused"] > 300
    assert outcomes["computed"] > 100
