"""Buffers that live at the same time never share words."""

from hypothesis import given
from hypothesis import strategies as st

from sliceflow.mapping.allocate import Lifetime, allocate

BUFFERS = st.lists(
    st.tuples(st.integers(1, 500), st.integers(0, 20), st.integers(0, 8)).map(
        lambda t: Lifetime(t[0], t[1], t[1] + t[2])
    ),
    min_size=1,
    max_size=30,
)


@given(BUFFERS, st.sampled_from([1, 4, 16]))
def test_no_two_living_buffers_overlap(lives: list[Lifetime], align: int) -> None:
    bases, total = allocate(dict(enumerate(lives)), align=align)
    for i, first in enumerate(lives):
        assert bases[i] % align == 0
        assert bases[i] + first.words <= total
        for j, second in enumerate(lives[:i]):
            if first.first <= second.last and second.first <= first.last:
                assert bases[i] + first.words <= bases[j] or bases[j] + second.words <= bases[i]


def test_words_are_used_again() -> None:
    lives = {n: Lifetime(100, n, n) for n in range(10)}
    assert allocate(lives)[1] == 100


def test_a_shared_word_would_be_seen() -> None:
    """The check above can fail: two buffers at one base overlap."""
    bases, _ = allocate({0: Lifetime(10, 0, 5), 1: Lifetime(10, 5, 9)})
    assert bases[0] != bases[1]
