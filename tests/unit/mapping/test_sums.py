"""The two products of a residual add fit 64 bits, and stay what the scales say as far as a sum can show it."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sliceflow.mapping.sums import Product, align_products
from sliceflow.reference.numerics import fixed_point


def product(largest: list[int], exponents: list[float]) -> Product:
    multiplier, shift = fixed_point(np.float32(2.0) ** np.array(exponents, np.float32))
    return Product(np.array(largest), multiplier.astype(np.int64), shift.astype(np.int64))


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2**31 - 1), st.floats(-140, 8)), min_size=1, max_size=4),
    st.sampled_from([255, 65535]),
    st.floats(-60, 8),
)
def test_sums_fit_and_nothing_visible_is_lost(main: list[tuple[int, float]], span: int, exponent: float) -> None:
    wanted = product([a for a, _ in main], [b for _, b in main])
    other = product([span], [exponent])
    found = align_products(wanted, other)
    if found is None:
        return
    first, second = found
    assert second.shift.size == 1
    error = Fraction(0)
    for channel, (largest, _) in enumerate(main):
        common = max(int(first.shift[channel]), int(second.shift[0]))
        total = largest * int(first.multiplier[channel]) << common - int(first.shift[channel])
        total += span * int(second.multiplier[0]) << common - int(second.shift[0])
        assert total < 2**62
        assert common <= 62
        for size, new, old, at in ((largest, first, wanted, channel), (span, second, other, 0)):
            index = at if new is first else 0
            exact = Fraction(int(old.multiplier[at]), 1 << int(old.shift[at]))
            error = max(error, size * abs(exact - Fraction(int(new.multiplier[index]), 1 << int(new.shift[index]))))
    assert error <= Fraction(1, 2**12)


def test_equal_scales_are_left_alone() -> None:
    wanted, other = product([2**20, 2**24], [-9.3, -12.1]), product([255], [0.4])
    found = align_products(wanted, other)
    assert found is not None
    for before, after in zip((wanted, other), found, strict=True):
        assert before.multiplier.tolist() == after.multiplier.tolist()
        assert before.shift.tolist() == after.shift.tolist()


def test_residual_operands_of_one_size_always_fit() -> None:
    """Whatever one operand's scale is, next to an output scale that holds the other."""
    for bits, reach in ((8, 255), (16, 65535)):
        for exponent in range(-126, 1):
            dead = product([2**31 - 1, 2**20], [exponent - bits, -10])
            assert align_products(dead, product([reach], [0.0])) is not None, exponent
            assert align_products(product([reach], [0.0]), product([reach], [exponent])) is not None, exponent
            live = product([2**31 - 1], [-31.0 + bits])
            assert align_products(live, product([reach], [exponent])) is not None, exponent
