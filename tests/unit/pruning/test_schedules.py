"""Courses of pruning against their formulas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sliceflow.errors import UserError
from sliceflow.pruning.scored.schedules import Cubic, OneShot, Threshold, Uniform


def test_shares():
    assert OneShot().shares(0.6) == [0.6]
    assert Uniform(3).shares(0.6) == pytest.approx([0.2, 0.4, 0.6])
    assert Cubic(4).shares(0.8) == pytest.approx([0.8 * (1 - x) for x in (0.421875, 0.125, 0.015625, 0)])
    assert Threshold(2, 0.1).shares(0.5) == [0.25, 0.5]


@given(st.floats(0, 0.99), st.integers(1, 50), st.sampled_from([Uniform, Cubic, Threshold, OneShot]))
def test_shares_rise_and_end_at_the_target_exactly(target, rounds, kind):
    shares = kind(rounds).shares(target)
    assert shares[-1] == target
    assert shares == sorted(shares)
    assert len(shares) == (1 if kind is OneShot else rounds)


def test_training():
    assert all(kind.trains(1, 3, 0.0) for kind in (OneShot(), Uniform(3), Cubic(3)))
    schedule = Threshold(3, limit=0.05)
    assert [schedule.trains(1, 3, lost) for lost in (-0.1, 0.05, 0.051)] == [False, False, True]
    assert schedule.trains(3, 3, -0.1)


def test_rounds_must_be_positive():
    with pytest.raises(UserError, match="1 round at least"):
        Uniform(0)
