"""Aligning masked networks: which channels live afterwards, with which weights, and what that costs."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch
from torch import nn

from models import zoo
from sliceflow.alignment import Options
from sliceflow.errors import UserError
from sliceflow.frontend import bind_shapes
from sliceflow.frontend.torch import export_module
from sliceflow.hardware.profile import Profile
from sliceflow.mapping.align import layer_uses
from sliceflow.mapping.layer_cycles import layer_cycles
from sliceflow.passes.channels.coupling import coupled_channels
from sliceflow.passes.simplify import SimplifyOptions, simplify
from sliceflow.pruning.channels.align import align
from sliceflow.pruning.channels.groups import find_groups
from sliceflow.pruning.training.masks import Masks

PROFILE = Profile.load("int8-8x8")
CYCLES = functools.partial(layer_cycles, profile=PROFILE)
EXAMPLE = torch.zeros(1, 3, 16, 16)


class Net(nn.Module):
    """A residual sum, a depthwise convolution, a concatenation, a flattened map."""

    def __init__(self):
        super().__init__()
        self.stem, self.n0 = nn.Conv2d(3, 30, 3, padding=1, bias=False), nn.BatchNorm2d(30)
        self.a, self.d = nn.Conv2d(30, 45, 1), nn.Conv2d(45, 45, 3, padding=1, groups=45)
        self.b, self.n1 = nn.Conv2d(45, 30, 1, bias=False), nn.BatchNorm2d(30)
        self.c = nn.Conv2d(30 + 45, 21, 3, stride=4, padding="valid")
        self.head = nn.Linear(21 * 16, 5)

    def forward(self, x):
        x = self.n0(self.stem(x)).relu()
        y = self.d(self.a(x).relu()).relu()
        x = (x + self.n1(self.b(y))).relu()
        return self.head(self.c(torch.cat([x, y], 1)).relu().flatten(1))


def network(seed: int, share: float) -> tuple[nn.Module, Masks, dict[str, torch.Tensor]]:
    """A masked network that was trained a little behind the masks, and the dense state."""
    torch.manual_seed(seed)
    model = zoo.seed_weights(Net(), seed)
    dense = copy.deepcopy(model.state_dict())
    masks = Masks(model)
    for group in find_groups(model, EXAMPLE):
        gone = torch.rand(group.size) < share
        gone[0] = False
        for name, mask in group.parameters_of(gone):
            masks.prune(name, mask)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.9)
        for buffer in (model.n0.running_mean, model.n1.running_var):
            buffer.mul_(0.9)
    return model, masks, dense


def live_channels(model: nn.Module, masks: Masks) -> dict[str, torch.Tensor]:
    """From the masks of each group's making layers alone."""
    return {
        group.name: torch.stack([masks[f"{m.layer}.weight"].flatten(1).any(1) for m in group.makers]).any(0)
        for group in find_groups(model, EXAMPLE)
    }


@pytest.mark.parametrize("mode", ["down", "up", "auto"])
@pytest.mark.parametrize("seed", range(4))
def test_masks_weights_and_report_agree(seed, mode):
    model, masks, dense = network(seed, 0.2 + 0.15 * seed)
    before, was = live_channels(model, masks), copy.deepcopy(model.state_dict())
    report = align(model, EXAMPLE, masks, dense, CYCLES, Options(mode=mode, multiples=(8,)))
    after = live_channels(model, masks)
    assert report.cycles_after <= report.cycles_before
    for change in report.groups:
        assert (change.before, change.after) == (int(before[change.name].sum()), int(after[change.name].sum()))
        assert change.after >= 1
        if change.before != change.after:
            assert change.after % 8 == 0 or change.after == change.size
        assert (change.after < change.before) <= (mode != "up")
        assert (change.after > change.before) <= (mode != "down")
    assert any(change.before != change.after for change in report.groups)
    for group in find_groups(model, EXAMPLE):
        back, gone = after[group.name] & ~before[group.name], before[group.name] & ~after[group.name]
        for name, mask in group.parameters_of(back):
            assert torch.equal(model.state_dict()[name][mask], dense[name][mask])
            assert masks[name][mask].all()
        for name, mask in group.parameters_of(gone | ~(before[group.name] | back)):
            assert not model.state_dict()[name][mask].any()
            assert not masks[name][mask].any()
        for name, mask in group.parameters_of(before[group.name] & ~gone):
            assert torch.equal(model.state_dict()[name][mask], was[name][mask])
    back = after["stem"] & ~before["stem"]
    assert torch.equal(model.n0.running_mean[back], dense["n0.running_mean"][back])
    assert torch.equal(model.n0.running_mean[~back], was["n0.running_mean"][~back])


def test_the_most_important_come_back():
    model, masks, dense = network(5, 0.35)
    before = live_channels(model, masks)
    report = align(model, EXAMPLE, masks, dense, CYCLES, Options(mode="up", multiples=(8,)))
    norms = (dense["stem.weight"].square().flatten(1).sum(1) + dense["b.weight"].square().flatten(1).sum(1)).sqrt()
    after = live_channels(model, masks)["stem"]
    back, left = after & ~before["stem"], ~after
    assert report.groups[0].after > report.groups[0].before
    assert norms[back].min() >= norms[left].max()


def test_weights_that_read_a_channel_come_back_with_it():
    model, masks, dense = network(2, 0.5)
    dead = ~live_channels(model, masks)["a"]
    columns = torch.zeros_like(masks["b.weight"])
    columns[:, dead] = True
    masks.prune("b.weight", columns)
    align(model, EXAMPLE, masks, dense, CYCLES, Options(mode="up", multiples=(8,)))
    back = dead & live_channels(model, masks)["a"]
    rows = live_channels(model, masks)["stem"]
    assert back.any()
    assert torch.equal(model.b.weight[rows][:, back], dense["b.weight"][rows][:, back])
    assert not model.b.weight[~rows].any()


def test_cycles_are_those_of_the_exported_and_simplified_network():
    """The same cost from torch modules and, independently, from the graph that is left of them."""
    model, masks, dense = network(3, 0.4)
    report = align(model, EXAMPLE, masks, dense, CYCLES, Options(mode="auto", multiples=(8,)))
    with torch.no_grad():  # no constants
        for norm in (model.n0, model.n1):
            norm.running_mean.zero_()
    exported = export_module(model, EXAMPLE, older_first=True)
    simplify(exported, SimplifyOptions())
    bound = bind_shapes(exported)
    values = (*bound.graph.inputs, *(value for node in bound.graph for value in node.outputs))
    shapes = {value.name: tuple(value.shape) for value in values}
    uses = layer_uses(bound.graph, coupled_channels(bound.graph), shapes)
    assert sum(CYCLES(use.shape) for use in uses) == report.cycles_after
    kept = np.sort([change.after for change in report.groups])
    made = {use.shape.outputs for use in uses}
    assert made == {*kept.tolist(), 5}


def test_dense_weights_of_another_network_are_refused():
    model, masks, dense = network(0, 0.5)
    del dense["n1.bias"]
    with pytest.raises(UserError, match=r"n1\.bias"):
        align(model, EXAMPLE, masks, dense, CYCLES, Options())
