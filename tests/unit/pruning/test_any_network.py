"""Networks as people write them: whatever cannot be traced stays, and what is cut out changes nothing."""

import copy

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from sliceflow.alignment import Options
from sliceflow.errors import UserError
from sliceflow.pruning.channels.align import align
from sliceflow.pruning.channels.groups import find_groups
from sliceflow.pruning.channels.observe import largest_difference, outputs
from sliceflow.pruning.channels.shrink import shrink
from sliceflow.pruning.equilibrium.freezing import RandomFreezing
from sliceflow.pruning.equilibrium.neq import Equilibrium, EquilibriumOptions
from sliceflow.pruning.method import Request
from sliceflow.pruning.methods import METHODS, make_method
from sliceflow.pruning.psp_entropy import psp_entropy
from sliceflow.pruning.training.fit import Training, fit
from sliceflow.pruning.training.masks import Masks
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import Task
from tests.support.torch_pieces import PIECES, SIDE, assembled, random_assembled

GENERATOR = torch.Generator().manual_seed(0)
EXAMPLE = torch.randn(2, 1, SIDE, SIDE, generator=GENERATOR)


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
    assert model.pieces[1].body.out_channels == 8, "the maps are outputs"


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


TASK = Task(
    **{
        part: DataLoader(TensorDataset(torch.randn(12, 1, SIDE, SIDE, generator=GENERATOR), torch.arange(12) % 3), 6)
        for part in ("train", "validation", "test")
    }
)
ONE_ROUND = {"rounds": 1, "tolerance": 1.0}
OPTIONS = [
    *(
        ("serene", {"sensitivity": kind, "rounds": 1, "tolerance": 1.0})
        for kind in ("lower", "exact", "upper", "local")
    ),
    *(("structure-selection", {"structures": kind, "threshold": 2.0}) for kind in ("channels", "groups", "blocks")),
    *((name, {"biases": True, **ONE_ROUND}) for name in ("lobster", "l2-threshold")),
    *((name, {}) for name in METHODS if name not in ("serene", "structure-selection", "lobster", "l2-threshold")),
]


@pytest.mark.parametrize("seed", range(30))
def test_every_method_prunes_any_network_or_says_why_not(seed):
    """Random methods on random networks; then all that is done with what was pruned. Nothing but UserError may come."""
    method, options = OPTIONS[seed % len(OPTIONS)]
    model = random_assembled(100 + seed, most=2)
    label = f"seed {seed}: {method} {options} on {[type(piece).__name__ for piece in model.pieces]}"
    dense = copy.deepcopy(model.state_dict())
    training = Training(epochs=1, learning_rate=0.01, momentum=0.9)
    try:
        request = Request(ratio=0.5, training=training, seed=seed)
        masks = make_method(method, **options).prune(model, TASK, request, Run()).masks
    except UserError:
        return
    parameters = dict(model.named_parameters())
    assert all(not parameters[name][~live].any() for name, live in masks.items()), label
    align(
        model, EXAMPLE, masks, dense, lambda shape: sum(part.channels for part in shape.inputs), Options(multiples=(4,))
    )
    before = outputs(model, EXAMPLE)
    shrink(model, EXAMPLE, masks=masks)
    assert largest_difference(before, outputs(model, EXAMPLE)) < 1e-4, label


@pytest.mark.parametrize("seed", range(12))
def test_neurons_of_any_network_are_frozen_and_counted(seed):
    model = random_assembled(200 + seed, most=2)
    label = f"seed {seed}: {[type(piece).__name__ for piece in model.pieces]}"
    kinds = (Equilibrium(model, [EXAMPLE], EquilibriumOptions(epsilon=10.0)), RandomFreezing(model, EXAMPLE, 0.5))
    for callback in kinds:
        fit(model, TASK, Training(epochs=2, learning_rate=0.01), [callback])
        assert 0 < callback.costs[-1].frozen <= callback.costs[-1].neurons, label
    try:
        found = psp_entropy(model, TASK.train)
    except UserError:
        return
    assert all(entropy.first.isfinite().all() for entropy in found.values()), label


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
