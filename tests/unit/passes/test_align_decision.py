"""The decision on sizes: against rules that are evaluated one by one, on random groups and costs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from sliceflow.alignment import Group, LayerShape, LayerUse, NetworkCost, Options, Part, decide
from sliceflow.errors import UserError


def random_groups(rng: np.random.Generator, count: int) -> list[Group]:
    groups = []
    for number in range(count):
        size = int(rng.integers(1, 40))
        kept = rng.random(size) < rng.uniform(0.2, 1)
        kept[rng.integers(size)] = True
        groups.append(Group(f"g{number}", rng.uniform(0, 3, size), kept))
    return groups


def chain_cost(groups: list[Group], rng: np.random.Generator, lanes: int):
    """Layers between random pairs of groups, and between sums of two; each costs its slices times its pixels."""
    names = [group.name for group in groups]
    layers = [(rng.choice(names, 2), rng.choice(names), int(rng.integers(1, 100))) for _ in range(2 * len(names))]

    def cost(sizes):
        total = 0
        for reads, makes, pixels in layers:
            slices = sum(math.ceil(sizes[name] / lanes) for name in set(reads))
            total += slices * math.ceil(sizes[makes] / lanes) * pixels
        return total

    return cost


@pytest.mark.parametrize("mode", ["down", "up", "auto"])
@pytest.mark.parametrize("seed", range(25))
def test_whatever_the_network(seed, mode):
    rng = np.random.default_rng(seed)
    lanes = int(rng.choice([2, 4, 8]))
    groups = random_groups(rng, int(rng.integers(1, 8)))
    cost = chain_cost(groups, rng, lanes)
    found = decide(groups, cost, Options(mode=mode, multiples=(lanes, 2 * lanes), price=float(rng.uniform(0, 2))))
    sizes = {name: int(keep.sum()) for name, keep in found.keep.items()}
    before = {group.name: int(group.kept.sum()) for group in groups}
    assert min(sizes.values()) >= 1
    assert (cost(before), cost(sizes)) == (found.cycles_before, found.cycles_after)
    assert found.cycles_after <= found.cycles_before
    for group in groups:
        keep = found.keep[group.name]
        lost, back = group.kept & ~keep, keep & ~group.kept
        assert not (lost.any() and back.any())
        assert not (mode == "down" and back.any())
        assert not (mode == "up" and lost.any())
        if lost.any():
            assert group.importance[lost].max() <= group.importance[keep].min()
        if back.any():
            assert group.importance[back].min() >= group.importance[~keep].max(initial=0)
        used = [size / (math.ceil(size / lanes) * lanes) for size in (before[group.name], sizes[group.name])]
        assert used[1] >= used[0]
        if lost.any() or back.any():
            assert sizes[group.name] % lanes == 0 or sizes[group.name] == len(keep)


@pytest.mark.parametrize("seed", range(20))
def test_groups_that_do_not_meet_are_judged_each_by_itself(seed):
    """Costs that add up over groups: every move can be judged alone, so all moves are known beforehand."""
    rng = np.random.default_rng(seed)
    groups, price = random_groups(rng, 5), float(rng.uniform(0, 3))
    weights = {group.name: int(rng.integers(0, 50)) for group in groups}

    def cost(sizes):
        return sum(weights[name] * math.ceil(size / 8) for name, size in sizes.items())

    found = decide(groups, cost, Options(mode="auto", multiples=(8,), price=price))
    total = cost({group.name: int(group.kept.sum()) for group in groups})
    for group in groups:
        size = int(group.kept.sum())
        lower = size // 8 * 8
        kept = np.sort(group.importance[group.kept])
        loss = kept[: size - lower].sum() / kept.sum() / len(groups)
        saved = weights[group.name] / total if total else 0
        goes_down = lower not in (0, size) and saved > 0 and saved >= price * loss
        upper = size if size % 8 == 0 else min(len(group.kept), size - size % 8 + 8)
        expected = lower if goes_down else upper
        assert found.keep[group.name].sum() == expected, (seed, group.name)


def test_a_loss_that_is_too_large_is_not_taken():
    group = Group("g", np.array([5.0, 5, 5, 5, 5, 5, 5, 5, 4, 4]), np.ones(10, np.bool_))
    for most, left in ((0.1, 10), (0.2, 8)):
        options = Options(mode="down", multiples=(8,), most=most)
        assert decide([group], lambda s: math.ceil(s["g"] / 8), options).keep["g"].sum() == left


def test_moves_are_judged_after_those_before_them():
    """Two groups side by side in one slice: dropping one of them is enough, and it is the cheaper one."""
    groups = [Group("a", np.full(5, 2.0), np.ones(5, np.bool_)), Group("b", np.arange(1.0, 6), np.ones(5, np.bool_))]
    found = decide(groups, lambda s: 1 + (s["a"] + s["b"] > 8), Options(mode="down", multiples=(4,)))
    assert {name: int(keep.sum()) for name, keep in found.keep.items()} == {"a": 5, "b": 4} or (
        found.cycles_after == found.cycles_before
    )
    found = decide(groups, lambda s: 1 + (s["a"] + s["b"] > 9), Options(mode="down", multiples=(4,)))
    assert {name: int(keep.sum()) for name, keep in found.keep.items()} == {"a": 5, "b": 4}


def test_network_costs_follow_the_groups():
    shapes = {
        "wide": LayerUse("wide", LayerShape(inputs=(Part(3), Part(5, 4)), outputs=7), ("", "b"), {"a": 7}),
        "deep": LayerUse("deep", LayerShape(inputs=(Part(7),), outputs=7, groups=7), ("a",), {"a": 7}),
    }
    seen = []

    def cycles_of(shape):
        seen.append(shape)
        return sum(part.channels * part.places for part in shape.inputs) * shape.outputs // shape.groups

    cost = NetworkCost(list(shapes.values()), cycles_of)
    for a, b in itertools.product((7, 3), (5, 1)):
        assert cost.by_layer({"a": a, "b": b}) == {"wide": (3 + 4 * b) * a, "deep": a}
        assert cost({"a": a, "b": b}) == (3 + 4 * b) * a + a
    assert len(seen) == 6  # four shapes of the one, two of the other


@pytest.mark.parametrize("wrong", [{"mode": "sideways"}, {"multiples": ()}, {"price": -1.0}, {"most": 2.0}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(UserError):
        Options(**wrong)


def test_an_empty_group_is_refused():
    with pytest.raises(ValueError, match="one channel that is kept"):
        Group("g", np.ones(3), np.zeros(3, np.bool_))
