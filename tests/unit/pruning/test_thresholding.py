"""The search for a threshold against trying them all."""

import math

import pytest
import torch

from sliceflow.errors import UserError
from sliceflow.pruning.regularized.thresholding import below, find_threshold


def weights(seed: int) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    first, second = torch.randn(7, 5, generator=rng), 0.1 * torch.randn(20, generator=rng)
    first[0, :3] = 0
    second[3] = -second[4]  # equal magnitudes
    return {"first": first, "second": second}


def without(layers: dict[str, torch.Tensor], value: float) -> dict[str, torch.Tensor]:
    return {name: torch.where(weight.abs().double() <= value, 0, weight) for name, weight in layers.items()}


def magnitudes(layers: dict[str, torch.Tensor]) -> list[float]:
    return sorted({abs(v) for weight in layers.values() for v in weight.flatten().tolist()})


class Judge:
    """A loss that rises with the magnitude that is gone, and remembers which networks it saw."""

    def __init__(self, layers: dict[str, torch.Tensor]) -> None:
        self.layers = layers
        self.original = {name: weight.clone() for name, weight in layers.items()}
        self.seen: list[dict[str, torch.Tensor]] = []

    def of(self, layers: dict[str, torch.Tensor]) -> float:
        return sum(float((self.original[n] - w).abs().sum()) for n, w in layers.items())

    def __call__(self) -> float:
        self.seen.append({name: weight.clone() for name, weight in self.layers.items()})
        return self.of(self.layers)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("at_most", [1.0, 0.6, 0.1])
def test_it_is_the_largest_threshold_that_keeps_to_the_bound(seed, at_most):
    layers = weights(seed)
    judge = Judge(layers)
    bound = judge.of(without(layers, 10)) * torch.rand(1, generator=torch.Generator().manual_seed(seed)).item()
    total = sum(weight.numel() for weight in layers.values())

    def zeros(value: float) -> int:
        return sum(int((weight == 0).sum()) for weight in without(layers, value).values())

    allowed = [v for v in magnitudes(layers) if judge.of(without(layers, v)) <= bound and zeros(v) <= at_most * total]
    best = max(allowed, default=0.0)
    found = find_threshold(layers, judge, bound, at_most=at_most)
    assert found.zeros == zeros(best)
    assert found.pruned == zeros(best) - zeros(0.0)
    assert zeros(found.value) == found.zeros
    for name, weight in layers.items():
        assert torch.equal(weight, judge.original[name])  # left as it was
        assert torch.equal(torch.where(below(weight, found.value), 0, weight), without(layers, best)[name])


def test_every_trial_starts_from_the_unpruned_weights():
    layers = weights(0)
    judge = Judge(layers)
    found = find_threshold(layers, judge, 3.0)
    assert len(judge.seen) == found.trials > 3
    sparsities = []
    for seen in judge.seen:
        largest_gone = max(float(judge.original[n][seen[n] == 0].abs().max()) for n in seen if (seen[n] == 0).any())
        for name, weight in without(judge.original, largest_gone).items():
            assert torch.equal(seen[name], weight)
        sparsities.append(sum(int((w == 0).sum()) for w in seen.values()))
    assert sparsities != sorted(sparsities)  # trials went down as well: nothing of a former one was left


def test_the_first_trial_is_half_of_the_largest_magnitude():
    layers = weights(1)
    judge = Judge(layers)
    find_threshold(layers, judge, 3.0)
    half = max(magnitudes(layers)) / 2
    assert all(torch.equal(weight, without(judge.original, half)[name]) for name, weight in judge.seen[0].items())


@pytest.mark.parametrize("seed", range(20))
def test_a_loss_that_is_not_monotone_never_breaks_the_bound(seed):
    """The result was judged, kept to the bound, and the next threshold above it that was tried did not."""
    layers = weights(seed)
    rng = torch.Generator().manual_seed(seed)
    noise = torch.rand(100, generator=rng).tolist()
    tried: dict[int, float] = {}

    def loss() -> float:
        zeros = sum(int((weight == 0).sum()) for weight in layers.values())
        tried[zeros] = noise[zeros]
        return noise[zeros]

    found = find_threshold(layers, loss, 0.5)
    assert found.loss is None or tried[found.zeros] == found.loss <= 0.5
    assert found.zeros == max([zeros for zeros, value in tried.items() if value <= 0.5], default=3)
    above = [zeros for zeros in tried if zeros > found.zeros]
    total = sum(weight.numel() for weight in layers.values())
    assert all(tried[zeros] > 0.5 for zeros in above)
    following = sum(
        int((abs(w) <= min(m for m in magnitudes(layers) if m > found.value)).sum()) for w in layers.values()
    )
    assert following in (*above, total)


@pytest.mark.parametrize("loss", [math.inf, math.nan, 2.0])
def test_nothing_goes_if_nothing_may(loss):
    found = find_threshold(weights(0), lambda: loss, 1.0)
    assert (found.value, found.pruned, found.loss) == (0, 0, None)


def test_equal_magnitudes_go_together_or_not_at_all():
    layers = {"w": torch.tensor([1.0, -1.0, 1.0, 2.0])}
    assert find_threshold(layers, lambda: 0.0, 1.0, at_most=0.5).zeros == 0
    assert find_threshold(layers, lambda: 0.0, 1.0, at_most=0.75).zeros == 3


def test_a_threshold_is_not_rounded_to_the_precision_of_the_weights():
    layers = {"w": torch.tensor([1.0, 1.0 + 2**-23, 3.0])}
    found = find_threshold(layers, lambda: float((layers["w"] == 0).sum()), 1.0)
    assert below(layers["w"], found.value).tolist() == [True, False, False]


def test_weights_come_back_from_a_judge_that_fails():
    layers = weights(2)
    before = {name: weight.clone() for name, weight in layers.items()}

    def loss() -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_threshold(layers, loss, 1.0)
    assert all(torch.equal(weight, before[name]) for name, weight in layers.items())


def test_no_weights_are_refused():
    with pytest.raises(UserError, match="no weight"):
        find_threshold({}, lambda: 0.0, 1.0)
