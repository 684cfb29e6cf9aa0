"""Scores against loops over single weights, and against the loss itself."""

import copy

import pytest
import torch
from torch import nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels.groups import find_groups
from sliceflow.pruning.scored.criteria import CRITERIA, Choices, make_criterion
from sliceflow.pruning.training.task import Task
from tests.support.pruning_networks import Segmenter, digit_net, random_net, squares_task

X = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(6) % 5


def task_of(*batches):
    return Task(train=list(batches), validation=[(X, Y)], test=[(X, Y)])


def scores(name, model, task=None, **choices):
    groups = find_groups(model, X)
    return groups, make_criterion(name, Choices(**choices)).score_channels(model, task or task_of((X, Y)), groups)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", ["l1", "l2"])
def test_norms_are_sums_over_the_makers(name, seed):
    model = random_net(seed)
    groups, found = scores(name, model)
    for group in groups:
        for channel in range(group.size):
            expected = 0.0
            for maker in group.makers:
                weights = [
                    float(v)
                    for at in maker.positions[channel].tolist()
                    for v in maker.module.weight.detach()[at].flatten()
                ]
                expected += sum(map(abs, weights)) if name == "l1" else sum(v * v for v in weights) ** 0.5
            assert float(found[group.name][channel]) == pytest.approx(expected, rel=1e-4), (seed, group.name, channel)


def test_a_transposed_convolution_has_its_filters_on_the_second_axis():
    model = Segmenter()
    _, found = scores("l1", model)
    torch.testing.assert_close(found["up"], model.up.weight.detach().abs().sum((0, 2, 3)))


def test_magnitude_is_the_absolute_value():
    model = digit_net()
    weights = {name: p for name, p in model.named_parameters() if name.endswith("weight")}
    found = make_criterion("magnitude", Choices()).score_weights(model, task_of((X, Y)), weights)
    assert all(torch.equal(found[name], weight.abs()) for name, weight in weights.items())


@pytest.mark.parametrize("seed", range(12))
def test_apoz_counts_zeros_where_channels_are_read(seed):
    """The oracle runs each reader's input through a hook and counts in Python."""
    model = random_net(seed)
    groups, found = scores("apoz", model, task_of((X[:4], Y[:4]), (X[4:], Y[4:]), (X, Y)), batches=2)
    for group in groups:
        zeros, total = [0] * group.size, 0
        for reader in group.readers:
            seen = []
            handle = reader.module.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
            with torch.no_grad():
                model.eval()(X)
            handle.remove()
            axis = 1
            for channel in range(group.size):
                values = seen[0].index_select(axis, reader.positions[channel]).flatten().tolist()
                zeros[channel] += values.count(0.0)
            total += len(values)
        expected = torch.tensor([-count / total for count in zeros], dtype=torch.float64)
        torch.testing.assert_close(found[group.name], expected)


def test_a_dead_channel_has_an_apoz_of_one_and_goes_first():
    model = digit_net()
    model[1].bias.data[2] = -100
    _, found = scores("apoz", model)
    assert float(found["0"][2]) == -1
    assert int(found["0"].argmin()) == 2


def gated_loss(model, layer, channel, x, y, step):
    """The loss when all outputs of a channel of a layer are multiplied by 1 + step."""
    factor = torch.ones(
        layer.num_features if isinstance(layer, nn.BatchNorm2d) else layer.weight.shape[0], dtype=torch.float64
    )
    factor[channel] += step
    shape = (1, -1, 1, 1) if not isinstance(layer, nn.Linear) else (1, -1)
    handle = layer.register_forward_hook(lambda _, args, out: out * factor.reshape(shape).to(out))
    with torch.no_grad():
        loss = float(nn.functional.cross_entropy(model.eval()(x), y))
    handle.remove()
    return loss


def test_taylor_is_the_slope_of_the_loss_along_the_channels_gate():
    model = digit_net().double()
    x, y = X.double(), Y
    batches = [(x[:3], y[:3]), (x[3:], y[3:])]
    groups = find_groups(model, x)
    found = make_criterion("taylor", Choices()).score_channels(model, task_of(*batches), groups)
    gates = {"0": model[1], "4": model[5], "9": model[9]}  # behind batch normalization where there is one
    for group in groups:
        for channel in range(group.size):
            slopes = [
                (
                    gated_loss(model, gates[group.name], channel, *b, 1e-7)
                    - gated_loss(model, gates[group.name], channel, *b, -1e-7)
                )
                / 2e-7
                for b in batches
            ]
            expected = sum(slope**2 for slope in slopes) / 2
            assert float(found[group.name][channel]) == pytest.approx(expected, rel=1e-3, abs=1e-12)


def test_taylor_predicts_the_change_of_the_loss():
    """Without batch normalization the gate is the layer itself: its weights and bias shrunk a little."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 7), nn.Tanh(), nn.Linear(7, 5))
    groups, found = scores("taylor", model)
    for channel in range(7):
        smaller = copy.deepcopy(model)
        smaller[1].weight.data[channel] *= 1 - 1e-3
        smaller[1].bias.data[channel] *= 1 - 1e-3
        change = [nn.functional.cross_entropy(net(X), Y).item() for net in (smaller, model)]
        assert float(found["1"][channel]) ** 0.5 == pytest.approx(abs(change[0] - change[1]) / 1e-3, rel=0.05, abs=2e-4)
    assert groups[0].size == 7


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ["l1", "l2", "random", "apoz", "taylor"])
def test_scoring_changes_nothing_and_repeats(name, seed):
    model = random_net(seed).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    groups, first = scores(name, model)
    _, second = scores(name, model)
    assert all(torch.equal(first[key], second[key]) for key in first), seed
    assert all(first[g.name].shape == (g.size,) and first[g.name].isfinite().all() for g in groups), seed
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(module.training for module in model.modules())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_random_scores_depend_on_the_seed():
    model = digit_net()
    one, two = (scores("random", model, seed=seed)[1] for seed in (0, 1))
    assert not torch.equal(one["0"], two["0"])
    assert len(set(one["0"].tolist())) == 6


@pytest.mark.parametrize("name", ["apoz", "taylor"])
def test_segmentation(name):
    task, model = squares_task(8, 4), Segmenter()
    groups = find_groups(model, task.example())
    found = make_criterion(name, Choices()).score_channels(model, task, groups)
    assert {g.name for g in groups} == set(found) == {"down.0", "deep.0", "up", "last.0"}
    assert all(values.isfinite().all() for values in found.values())


def test_frozen_layers_can_be_scored():
    model = digit_net()
    model[1].weight.requires_grad_(False)
    _, found = scores("taylor", model)
    assert found["0"].isfinite().all()


def test_unknown_names_and_empty_data():
    with pytest.raises(UserError) as caught:
        make_criterion("l3", Choices())
    assert all(name in caught.value.fix for name in CRITERIA)
    with pytest.raises(UserError, match="no example to score"):
        scores("taylor", digit_net(), task_of())
