"""Groups of channels, against what the running network does."""

import logging

import pytest
import torch
from torch import nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels import coupling_check
from sliceflow.pruning.channels.group import ChannelGroup
from sliceflow.pruning.channels.groups import find_groups
from sliceflow.pruning.channels.layers import is_depthwise
from tests.support.pruning_networks import Dense, Residual, Segmenter, conv, digit_net, random_net


def inputs_of(model, group, x):
    """What the readers read, channels first, in the order in which they run: hooks and nothing else."""
    seen = {}

    def look(module, arguments):
        seen[module] = arguments[0].movedim(-1 if isinstance(module, nn.Linear) else 1, 0)

    handles = [reader.module.register_forward_pre_hook(look) for reader in group.readers]
    with torch.no_grad():
        model.eval()(x)
    for handle in handles:
        handle.remove()
    return seen


def prune(model, group, channels):
    parameters = dict(model.named_parameters())
    for name, mask in group.parameters_of(channels):
        assert mask.shape == parameters[name].shape
        parameters[name].data.masked_fill_(mask, 0)


@pytest.mark.parametrize("seed", range(8))
def test_pruned_channels_are_zero_where_they_are_read_and_no_others(seed):
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    names = [group.name for group in find_groups(random_net(seed), x)]
    assert names, seed
    for name in names:
        model = random_net(seed)
        group = next(g for g in find_groups(model, x) if g.name == name)
        channels = torch.rand(group.size, generator=generator) < 0.5
        before = inputs_of(model, group, x)
        prune(model, group, channels)
        after = inputs_of(model, group, x)
        for index, (module, values) in enumerate(after.items()):
            (reader,) = (m for m in group.readers if m.module is module)
            gone = torch.zeros(len(values), dtype=torch.bool)
            gone[reader.positions[channels].flatten()] = True
            assert not values[gone].any(), (seed, name, reader.layer)
            if index == 0:  # later ones may read what the first one made of the channels
                assert torch.equal(values[~gone], before[module][~gone]), (seed, name, reader.layer)


@pytest.mark.parametrize("seed", range(25))
def test_every_channel_but_the_outputs_is_in_one_group(seed):
    model = random_net(seed)
    groups = find_groups(model, torch.randn(2, 1, 8, 8))
    assert len({group.name for group in groups}) == len(groups), seed
    made = [(m.layer, at) for group in groups for m in group.makers for at in m.positions.flatten().tolist()]
    expected = {
        (name, at)
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and name != "out" and not is_depthwise(module)
        for at in range(len(module.weight))
    }
    assert len(made) == len(set(made)), seed
    assert set(made) == expected, seed


def test_a_sum_with_a_concatenation_takes_a_layer_apart():
    model = nn.Sequential(conv(1, 4), Dense(4, 2), Residual(6, 6), conv(6, 1))
    groups = find_groups(model, torch.randn(2, 1, 8, 8))
    makers = {g.name: [(m.layer, m.positions.flatten().tolist()) for m in g.makers] for g in groups}
    assert makers == {
        "0": [("0", [0, 1, 2, 3]), ("2.second.0", [0, 1, 2, 3])],
        "1.body.0": [("1.body.0", [0, 1]), ("2.second.0", [4, 5])],
        "2.first.0": [("2.first.0", [0, 1, 2, 3, 4, 5])],
    }


def test_a_residual_sum_couples_its_makers():
    group = {g.name: g for g in find_groups(residual(), torch.randn(1, 1, 8, 8))}["0"]
    assert [m.layer for m in group.makers] == ["0", "2.second.0"]
    assert {m.layer for m in group.readers} == {"2.first.0", "4"}
    pruned = {name for name, _ in group.parameters_of(torch.ones(4, dtype=torch.bool))}
    assert pruned == {f"{layer}.{kind}" for layer in ("0", "2.second.0", "2.second.1") for kind in ("weight", "bias")}


def residual():
    return nn.Sequential(conv(1, 4), nn.ReLU(), Residual(4, 4), nn.Identity(), conv(4, 2))


def test_a_skip_connection_is_read_at_an_offset():
    groups = {g.name: g for g in find_groups(Segmenter(), torch.randn(1, 1, 8, 8))}
    (reader,) = (m for m in groups["down.0"].readers if m.layer == "last.0")
    assert reader.positions.flatten().tolist() == [6, 7, 8, 9, 10, 11]
    assert groups["up"].makers[0].layer == "up"
    masks = dict(groups["up"].parameters_of(torch.arange(6) == 2))
    assert masks["up.weight"][:, 2].all()
    assert masks["up.weight"].sum() == 12 * 4  # outputs of a transposed convolution are its second axis


def test_a_flattened_map_is_read_at_many_positions():
    groups = {g.name: g for g in find_groups(digit_net(), torch.randn(1, 1, 8, 8))}
    (reader,) = groups["4"].readers
    assert reader.positions.tolist() == [[4 * c + k for k in range(4)] for c in range(8)]


def test_protected_layers_and_frozen_parameters():
    model = digit_net()
    model[0].weight.requires_grad_(False)
    assert [g.name for g in find_groups(model, torch.randn(1, 1, 8, 8), protect=["4"])] == ["0", "9"]
    assert [p.requires_grad for p in model[0].parameters()] == [False, True]
    with pytest.raises(UserError, match="no layer 'conv9'") as caught:
        find_groups(model, torch.randn(1, 1, 8, 8), protect=["conv9"])
    assert "0, 4, 9, 11" in caught.value.fix


def test_modes_and_weights_are_restored():
    model = digit_net().train()
    model[5].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    find_groups(model, torch.randn(2, 1, 8, 8))
    assert [m.training for m in model] == [index != 5 for index in range(12)]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_network_that_cannot_run_is_refused():
    with pytest.raises(UserError, match="cannot be traced"):
        find_groups(digit_net(), torch.randn(1, 3, 8, 8))


class Shuffled(nn.Module):
    """A channel shuffle between maker and reader, which the tracer takes for nothing."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = conv(1, 8), conv(8, 6), conv(6, 2)

    def forward(self, x):
        y = self.a(x).relu()
        y = y.reshape(-1, 2, 4, *y.shape[2:]).transpose(1, 2).reshape(y.shape)
        return self.c(self.b(y).relu())


def test_a_false_claim_is_found_by_running_the_network(caplog):
    with caplog.at_level(logging.WARNING):
        groups = find_groups(Shuffled(), torch.randn(2, 1, 8, 8))
    assert [g.name for g in groups] == ["b"]
    assert "layer a keeps all its channels" in caplog.text


def test_a_coupling_that_is_left_out_is_found():
    model, x = residual(), torch.randn(2, 1, 8, 8)
    groups = find_groups(model, x)
    assert coupling_check.false_groups(model, x, groups) == set()
    whole = next(g for g in groups if g.name == "0")
    lacking = ChannelGroup("0", whole.size, tuple(m for m in whole.members if not m.layer.startswith("2.second")))
    assert coupling_check.false_groups(model, x, [lacking]) == {"0"}
