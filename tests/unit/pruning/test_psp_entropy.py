"""Entropies of states, against counting with dictionaries."""

import itertools
import math
from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.psp_entropy import psp_entropy
from sliceflow.pruning.training.resplit import TensorLoader


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(12, 5), nn.ReLU(),
        nn.Linear(5, 3),
    )  # fmt: skip
    model[1].bias.data.normal_()
    return model


IMAGES = torch.randn(40, 2, 4, 4, generator=torch.Generator().manual_seed(7))
LABELS = torch.arange(40) % 3
LOADER = TensorLoader(IMAGES, LABELS, 16)


def entropy(values: list) -> float:
    """Of observed values, in bits."""
    counts = Counter(values)
    return -sum(n / len(values) * math.log2(n / len(values)) for n in counts.values())


def by_counting(states: Tensor, *neurons: int) -> float:
    """Joint entropy of neurons, from states ``[neurons, examples, positions]``, summed over classes."""
    total = 0.0
    for label in range(3):
        seen = states[list(neurons)][:, label == LABELS].flatten(1)
        total += entropy([tuple(column.tolist()) for column in seen.t()])
    return total


def states(model: nn.Sequential) -> dict[str, Tensor]:
    model.eval()
    with torch.no_grad():
        maps = model[1](model[0](IMAGES))
        hidden = model[4](torch.relu(maps).flatten(1))
    return {"0": (maps > 0).transpose(0, 1).flatten(2), "4": (hidden > 0).t()[..., None]}


@pytest.mark.parametrize("seed", range(2))
def test_filters_are_neurons(seed: int) -> None:
    model = net(seed).train()
    expected = states(net(seed))
    found = psp_entropy(model, LOADER, pairs=True)
    assert list(found) == ["0", "4"]
    assert model.training
    for name, seen in expected.items():
        count = len(seen)
        assert found[name].first.tolist() == pytest.approx([by_counting(seen, i) for i in range(count)])
        second = found[name].second
        for i, j in itertools.product(range(count), repeat=2):
            assert float(second[i, j]) == pytest.approx(by_counting(seen, i, j)), (name, i, j)
        pairs = [by_counting(seen, i, j) for i, j in itertools.combinations(range(count), 2)]
        assert found[name].mean_second == pytest.approx(sum(pairs) / len(pairs))
        assert 0 < found[name].mean_first < 3
    assert expected["0"].any()
    assert not expected["0"].all()


def test_positions_are_neurons() -> None:
    seen = states(net())["0"].movedim(2, 1).flatten(0, 1)[..., None]
    found = psp_entropy(net(), LOADER, layers=["0"], positions=True, pairs=True)["0"]
    assert found.first.tolist() == pytest.approx([by_counting(seen, i) for i in range(12)])
    assert float(found.second[1, 8]) == pytest.approx(by_counting(seen, 1, 8))


def test_classes_are_summed_not_mixed() -> None:
    """A neuron that is on in one class and off in the others is certain in each, though not over all."""
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Linear(3, 3))
    model[0].weight.data = torch.eye(3)
    loader = TensorLoader(torch.eye(3).repeat(4, 1), torch.arange(12) % 3, 5)
    found = psp_entropy(model, loader, pairs=True)["0"]
    assert found.first.tolist() == [0, 0, 0]
    assert found.mean_second == 0
    mixed = psp_entropy(model, TensorLoader(loader.inputs, torch.zeros(12, dtype=torch.int64), 5))["0"]
    assert mixed.first.tolist() == pytest.approx([entropy([0, 0, 1])] * 3)


def test_a_potential_of_zero_is_off() -> None:
    model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU(), nn.Linear(1, 2))
    model[0].weight.data = torch.tensor([[1.0, -1.0]])
    inputs = torch.tensor([[1.0, 1.0], [0.0, 1.0]])  # potentials 0 and -1: both off
    assert psp_entropy(model, TensorLoader(inputs, torch.zeros(2, dtype=torch.int64), 2))["0"].first.tolist() == [0]


def test_bounds_of_pairs() -> None:
    """A pair is as uncertain as its more uncertain half at least, and as both halves together at most."""
    found = psp_entropy(net(), LOADER, pairs=True)["4"]
    rows, columns = found.first[:, None], found.first[None]
    assert (found.second >= torch.maximum(rows, columns) - 1e-9).all()
    assert (found.second <= rows + columns + 1e-9).all()
    torch.testing.assert_close(found.second.diagonal(), found.first)


def test_neurons_are_drawn_if_there_are_too_many() -> None:
    whole = psp_entropy(net(), LOADER, pairs=True, positions=True)["0"]
    drawn = psp_entropy(net(), LOADER, pairs=True, positions=True, most=5, seed=3)["0"]
    assert drawn.second.shape == (5, 5)
    torch.testing.assert_close(drawn.second, whole.second[drawn.sampled][:, drawn.sampled])
    assert torch.equal(drawn.first, whole.first)


def test_wrong_input() -> None:
    with pytest.raises(UserError, match="no layer 'x'"):
        psp_entropy(net(), LOADER, layers=["x"])
    with pytest.raises(UserError, match="no example"):
        psp_entropy(net(), [])
    with pytest.raises(UserError, match="class indices"):
        psp_entropy(net(), [(IMAGES, torch.zeros(40, 3))])
