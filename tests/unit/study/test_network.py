"""Shares, fresh copies and fingerprints of torch networks, against networks that were built at the size in question."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from models import digits
from sliceflow.errors import UserError
from sliceflow.pruning.channels.groups import find_groups
from sliceflow.pruning.definitions import parameters
from sliceflow.pruning.training import fingerprint
from sliceflow.pruning.training.fresh import fresh_copy
from sliceflow.pruning.training.task import Task
from sliceflow.study.shares import channel_share, remaining, weight_share

EXAMPLE = torch.zeros(1, 1, 8, 8)


class Residual(nn.Module):
    """A residual sum and a depthwise convolution, of any width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width)
        self.deep = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.point = nn.Conv2d(width, width, 1)
        self.last = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x))
        return self.last((x + self.point(self.deep(x))).mean((2, 3)))


@pytest.mark.parametrize("width", [4, 8, 12])
def test_what_remains_is_what_a_narrower_network_has(width: int) -> None:
    for build in (digits.network, Residual):
        wide, narrow = build(16), build(width)
        groups = find_groups(wide, EXAMPLE)
        assert remaining(wide, groups, 1 - width / 16) == parameters(narrow)


@pytest.mark.parametrize("ratio", [1.5, 2, 4, 8, 16])
def test_shares_give_the_wanted_ratio_as_nearly_as_channels_allow(ratio: float) -> None:
    model = digits.network(32)
    groups = find_groups(model, EXAMPLE)
    share = channel_share(model, groups, ratio)
    wanted = parameters(model) / ratio
    assert remaining(model, groups, share) <= wanted < remaining(model, groups, share - 1 / 32)


def test_a_ratio_out_of_reach_gives_the_largest_share() -> None:
    model = digits.network()
    groups = find_groups(model, EXAMPLE)
    assert channel_share(model, groups, 1e6) == pytest.approx(0.999)
    assert remaining(model, groups, 0.999) > 0


def test_weights_that_remain_are_counted() -> None:
    assert weight_share(4) == 0.75


def test_a_fresh_copy_has_the_shape_and_nothing_else() -> None:
    model = digits.network()
    before = copy.deepcopy(model.state_dict())
    first, again, other = fresh_copy(model, 1), fresh_copy(model, 1), fresh_copy(model, 2)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), before.values(), strict=True))
    assert [v.shape for v in first.state_dict().values()] == [v.shape for v in before.values()]
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)
    assert not torch.equal(first[0].weight, model[0].weight)
    assert torch.equal(first[1].running_mean, torch.zeros(16))


def test_a_fresh_copy_does_not_disturb_other_random_numbers() -> None:
    model = digits.network()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fresh_copy(model, 1)
    assert torch.equal(torch.rand(3), expected)


def test_parameters_that_cannot_be_reset_are_named() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(3))

    with pytest.raises(UserError, match="anew"):
        fresh_copy(nn.Sequential(nn.Linear(3, 3), Own()), 0)


def task(images: Tensor) -> Task:
    data = TensorDataset(images, torch.arange(len(images)))
    return Task(train=DataLoader(data, 4, shuffle=True), validation=DataLoader(data, 4), test=DataLoader(data, 4))


def test_fingerprints_see_a_single_bit() -> None:
    images = torch.rand(10, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    found = fingerprint.of_task(task(images))
    assert found == fingerprint.of_task(task(images))
    assert torch.equal(torch.get_rng_state(), state)
    changed = images.clone()
    changed[7, 0, 1, 1] = torch.nextafter(changed[7, 0, 1, 1], torch.tensor(9.0))
    assert found != fingerprint.of_task(task(changed))

    model = digits.network()
    before = fingerprint.of_model(model)
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] += 1
    assert fingerprint.of_model(model) != before
