"""Networks as people write them: whatever cannot be traced stays, and what is cut out changes nothing."""

import copy

import pytest
import torch

from sliceflow.pruning.channels.groups import find_groups
from sliceflow.pruning.channels.observe import largest_difference, outputs
from sliceflow.pruning.channels.shrink import shrink
from sliceflow.pruning.training.masks import Masks
from tests.support.torch_pieces import PIECES, SIDE, assembled, random_assembled

EXAMPLE = torch.randn(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def prune(model, seed):
    """Half of the channels of each group, at random."""
    masks, generator = Masks(model), torch.Generator().manual_seed(seed)
    for group in find_groups(model, EXAMPLE):
        for name, mask in group.parameters_of(torch.rand(group.size, generator=generator) < 0.5):
            masks.prune(name, mask)
    return masks


def shrinks_to_the_same(model, label, seed=0):
    masks = prune(model, seed)
    x = torch.randn(3, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed + 1))
    before = outputs(model, x)
    report = shrink(model, EXAMPLE, masks=masks)
    assert largest_difference(before, outputs(model, x)) < 2e-5, label
    masks.apply()
    assert largest_difference(before, outputs(model, x)) < 2e-5, label
    return report


@pytest.mark.parametrize("name", PIECES)
def test_every_piece(name):
    model = assembled([name])
    owners = [id(p) for m in model.modules() for p in m._parameters.values() if p is not None]
    report = shrinks_to_the_same(model, name)
    after = [id(p) for m in model.modules() for p in m._parameters.values() if p is not None]
    assert len(set(owners)) == len(set(after)), "what was shared still is"
    assert report.totals()["channels_after"] < report.totals()["channels_before"], "the last layer can be traced"


@pytest.mark.parametrize("seed", range(25))
def test_random_networks(seed):
    model = random_assembled(seed)
    shrinks_to_the_same(model, f"seed {seed}: {[type(piece).__name__ for piece in model.pieces]}", seed)


@pytest.mark.parametrize("kind", ["tuple", "dict"])
def test_networks_with_several_outputs(kind):
    model = assembled(["LayerScale", "Chunks"], outputs=kind)
    shrinks_to_the_same(model, kind)
    assert model.last.out_channels == 6 or kind  # the maps are outputs: their channels stay
    assert model.pieces[1].body.out_channels == 8


def kept(model, caplog):
    caplog.clear()
    groups = find_groups(model, EXAMPLE)
    return {group.name for group in groups}, caplog.text


def test_what_stays_is_named(caplog):
    groups, said = kept(assembled(["Tied"]), caplog)
    assert groups == {"stem", "last"}
    assert "layer pieces.0.one keeps all its channels: a parameter that makes them has another use" in said
    groups, said = kept(assembled(["NormParametrization"]), caplog)
    assert groups == {"stem", "pieces.0.last", "last"}
    assert "layer pieces.0.body keeps all its channels: their weights are computed of other parameters" in said
    groups, said = kept(assembled(["SoftmaxChannels"]), caplog)
    assert groups == {"pieces.0.body", "last"}
    assert "layer stem keeps all its channels" in said


def test_a_learned_gain_does_not_keep_channels_from_being_pruned():
    """The channels of the residual sum are zero where they are read, whatever the gain is; only cutting it is left."""
    model = assembled(["LayerScale"])
    masks = prune(model, 0)
    assert {"stem.weight", "pieces.0.body.weight"} <= dict(masks.items()).keys()
    report = shrink(model, EXAMPLE, masks=masks)
    assert [held.group for held in report.held] == ["stem"]
    assert "does not run without them" in report.held[0].reason


def test_outputs_of_grouped_transposed_convolutions():
    """Each output's weights lie in the rows of its group."""
    model = assembled(["UpGroups"])
    before = copy.deepcopy(model)
    group = next(g for g in find_groups(model, EXAMPLE) if g.name == "pieces.0.up")
    for index in range(6):
        name, mask = group.parameters_of(torch.arange(6) == index)[0]
        assert name == "pieces.0.up.weight"
        model.load_state_dict(before.state_dict())
        model.pieces[0].up.weight.data[mask] = 0
        x = torch.randn(1, 8, 4, 4)
        changed = (model.pieces[0].up(x) != before.pieces[0].up(x)).flatten(2).any(2)[0]
        assert changed.nonzero().flatten().tolist() == [index]
