"""Selection against sorting in Python."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sliceflow.errors import UserError
from sliceflow.pruning.scored.selection import Guards, select, share_of

NONE = Guards(part=0)


def alive(scores):
    return {name: torch.zeros(values.shape, dtype=torch.bool) for name, values in scores.items()}


def oracle(scores, ratio, least):
    """Go through everything from the lowest score on, first layer and first channel first, and keep ``least``."""
    ranked = sorted(
        (value, index, at) for index, values in enumerate(scores.values()) for at, value in enumerate(values.tolist())
    )
    left = [values.numel() for values in scores.values()]
    wanted, gone = int(ratio * sum(left) + 1e-6), [set() for _ in left]
    for _, index, at in ranked:
        if wanted and left[index] > least:
            gone[index].add(at)
            left[index] -= 1
            wanted -= 1
    return {name: sorted(gone[index]) for index, name in enumerate(scores)}


def random_scores(rng):
    sizes = [rng.randint(1, 20) for _ in range(rng.randint(1, 5))]
    return {f"l{i}": torch.tensor([rng.randint(0, 9) / 3 for _ in range(size)]) for i, size in enumerate(sizes)}


def chosen(result):
    return {name: values.nonzero().flatten().tolist() for name, values in result.items()}


@pytest.mark.parametrize("seed", range(100))
def test_global_selection_is_a_walk_from_the_lowest_score(seed):
    rng = random.Random(seed)
    scores, ratio, least = random_scores(rng), rng.choice([0, 0.1, 0.29, 0.5, 0.9, 0.99]), rng.randint(1, 4)
    result = select(scores, alive(scores), ratio, scope="global", guards=Guards(least=least, part=0))
    assert chosen(result) == oracle(scores, ratio, least), seed


@pytest.mark.parametrize("seed", range(100))
def test_layer_selection_is_the_same_in_each_layer_alone(seed):
    rng = random.Random(seed)
    scores, ratio = random_scores(rng), rng.choice([0, 0.1, 0.29, 0.5, 0.9, 0.99])
    result = select(scores, alive(scores), ratio, scope="layer", guards=NONE)
    expected = {name: oracle({name: values}, ratio, 1)[name] for name, values in scores.items()}
    assert chosen(result) == expected, seed


def test_equal_scores_go_in_order():
    scores = {"a": torch.ones(3), "b": torch.ones(3)}
    assert chosen(select(scores, alive(scores), 0.5, scope="global", guards=NONE)) == {"a": [0, 1], "b": [0]}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=5),
    st.floats(0, 0.999),
    st.integers(1, 8),
    st.floats(0, 1),
    st.sampled_from(["global", "layer"]),
    st.sampled_from(["none", "mean"]),
    st.integers(0, 10**6),
)
def test_guards_hold_and_rounds_only_add(sizes, ratio, least, part, scope, normalize, seed):
    generator = torch.Generator().manual_seed(seed)
    gone = {f"l{i}": torch.zeros(size, dtype=torch.bool) for i, size in enumerate(sizes)}
    guards = Guards(least=least, part=part)
    for share in (ratio / 3, ratio / 2, ratio):
        scores = {name: torch.rand(len(values), generator=generator) for name, values in gone.items()}
        result = select(scores, gone, share, scope=scope, guards=guards, normalize=normalize)
        for name, values in result.items():
            assert (values | ~gone[name]).all(), "what is gone stays gone"
            assert int((~values).sum()) >= min(len(values), least)
            assert int((~values).sum()) >= min(len(values), int(part * (1 - share) * len(values)))
        assert sum(int(v.sum()) for v in result.values()) <= share_of(sum(sizes), share)
        gone = result


def test_a_layer_with_low_scores_is_not_emptied():
    scores = {"weak": torch.arange(20.0) / 1e6, "strong": 1 + torch.arange(20.0)}
    kept = {n: int((~v).sum()) for n, v in select(scores, alive(scores), 0.5, scope="global").items()}
    assert kept == {"weak": 1, "strong": 19}
    guards = Guards(part=0.5)  # of the half that all keep
    kept = {n: int((~v).sum()) for n, v in select(scores, alive(scores), 0.5, scope="global", guards=guards).items()}
    assert kept == {"weak": 5, "strong": 15}


def test_normalized_scores_compare_layers():
    scores = {"weak": torch.tensor([1.0, 3.0]) / 1000, "strong": torch.tensor([1.0, 3.0])}
    assert chosen(select(scores, alive(scores), 0.5, scope="global", guards=NONE)) == {"weak": [0], "strong": [0]}
    scores = {"weak": torch.tensor([1.0, 3.0, 2.0]) / 1000, "strong": torch.tensor([1.0, 3.0, 2.0])}
    plain = select(scores, alive(scores), 1 / 3, scope="global", guards=NONE)
    scaled = select(scores, alive(scores), 1 / 3, scope="global", guards=NONE, normalize="mean")
    assert chosen(plain) == {"weak": [0, 2], "strong": []}
    assert chosen(scaled) == {"weak": [0], "strong": [0]}


def test_shares_are_counted_as_people_count():
    assert [share_of(100, 0.29), share_of(100, 0.57), share_of(1000, 0.001), share_of(64, 0.01)] == [29, 57, 1, 0]
    assert share_of(10**9, 0.999999999) == 999_999_999


def test_scores_that_are_no_numbers_are_refused():
    scores = {"a": torch.tensor([1.0, torch.nan])}
    with pytest.raises(UserError, match="not numbers") as caught:
        select(scores, alive(scores), 0.5, scope="layer")
    assert caught.value.where == "a"
    assert select({}, {}, 0.5, scope="global") == {}
    for wrong in ({"least": 0}, {"part": -0.1}, {"part": 1.5}):
        with pytest.raises(UserError):
            Guards(**wrong)


def test_infinite_scores_stay_longest():
    scores = {"a": torch.tensor([torch.inf, 1.0, -torch.inf, 2.0])}
    assert chosen(select(scores, alive(scores), 0.75, scope="global", guards=NONE)) == {"a": [1, 2, 3]}
