"""Weights and units pruned by the same shares: what goes, what is left, how sparse matrices compute it."""

import copy

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from models.mlp import mlp
from sliceflow.errors import UserError
from sliceflow.pruning.channels.shrink import shrink
from sliceflow.pruning.sweep.coo import CooLinear, to_coo
from sliceflow.pruning.sweep.diagnostics import histograms, separation
from sliceflow.pruning.sweep.prune import hidden_layers, removed, sweep
from sliceflow.pruning.sweep.timing import break_even, forward_seconds
from sliceflow.pruning.training.resplit import TensorLoader
from sliceflow.pruning.training.task import Task, evaluate

INPUTS = torch.randn(30, 12, generator=torch.Generator().manual_seed(0))
LOADER = TensorLoader(INPUTS, torch.arange(30) % 5, 8)
TASK = Task(train=LOADER, validation=LOADER, test=LOADER)
SHARES = (0.0, 0.25, 0.5, 0.9, 0.99, 1.0)


def net(seed: int = 0, widths: tuple[int, ...] = (12, 64, 37, 5)) -> nn.Sequential:
    torch.manual_seed(seed)
    return mlp(widths)


def test_the_published_network() -> None:
    assert sum(p.numel() for p in mlp().parameters()) == 2_388_710


def test_what_goes_from_a_layer() -> None:
    """Against NumPy, layer by layer."""
    layer = net()[0]
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    for share in SHARES:
        count, units = int(share * weight.size), int(share * 64)
        gone, gone_bias = (found.numpy() for found in removed(layer, share, "weight"))
        assert gone.sum() == count
        assert gone_bias.sum() == units
        if 0 < count < weight.size:
            assert np.abs(weight[gone]).max() <= np.abs(weight[~gone]).min()
            assert np.abs(bias[gone_bias]).max() <= np.abs(bias[~gone_bias]).min()
        gone, gone_bias = (found.numpy() for found in removed(layer, share, "unit"))
        expected = np.argsort(np.sqrt((weight.astype(np.float64) ** 2).sum(1)))[:units]
        assert set(np.flatnonzero(gone_bias)) == set(expected)
        assert (gone == gone_bias[:, None]).all()


def test_copies_do_not_build_on_each_other() -> None:
    model = net()
    before = copy.deepcopy(model.state_dict())
    found = sweep(model, TASK, SHARES)
    assert [(one.mode, one.share) for one in found] == [(m, s) for m in ("weight", "unit") for s in SHARES]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    alone = sweep(model, TASK, [0.9], ["unit"])[0]
    again = next(one for one in found if (one.mode, one.share) == ("unit", 0.9))
    assert all(torch.equal(value, alone.model.state_dict()[n]) for n, value in again.model.state_dict().items())
    for one in found:
        assert one.quality == evaluate(one.model, TASK.test, TASK)
        assert torch.equal(one.model[-1].weight, model[-1].weight)
        assert torch.equal(one.model[-1].bias, model[-1].bias)
        zeros = sum(int((layer.weight == 0).sum()) for layer in hidden_layers(one.model).values())
        parts = ((64, 12), (37, 64))
        expected = sum(int(one.share * o * i) if one.mode == "weight" else int(one.share * o) * i for o, i in parts)
        assert zeros == expected
    kept = sweep(model, TASK, [0.9], ["unit"], biases=False)[0]
    assert torch.equal(kept.model[0].bias, model[0].bias)


def whole(model: nn.Module) -> nn.Module:
    """Weights rounded to small whole numbers: sums in float64 are exact in any order."""
    model = model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((parameter * 64).round())
    return model


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.9, 0.99])
def test_units_that_are_gone_are_cut_out_exactly(share: float) -> None:
    """Sizes follow the masks: 64 units at 1 % leave 64, not int(64 - 0.64)."""
    inputs = (INPUTS * 8).round().double()
    task = Task(train=LOADER, validation=LOADER, test=TensorLoader(inputs, LOADER.targets, 8))
    one = sweep(whole(net()), task, [share], ["unit"])[0]
    compact = copy.deepcopy(one.model)
    shrink(compact, inputs)
    assert torch.equal(compact(inputs), one.model(inputs))
    widths = [int(one.masks[f"{name}.bias"].sum()) for name in hidden_layers(one.model)]
    assert [layer.out_features for layer in hidden_layers(compact).values()] == widths
    assert widths == [n - int(n * share) for n in (64, 37)]


def test_a_unit_that_is_dead_by_itself_keeps_its_bias() -> None:
    """It has no weights but says something: one that is left out as if it were pruned would change the outputs."""
    model = whole(net())
    with torch.no_grad():
        model[0].weight[3] = 0
        model[0].bias[3] = 7
    inputs = (INPUTS * 8).round().double()
    compact, wrong = copy.deepcopy(model), copy.deepcopy(model)
    shrink(compact, inputs)
    assert torch.equal(compact(inputs), model(inputs))
    wrong[0].bias.data[3] = 0
    assert not torch.equal(wrong(inputs), model(inputs))


def test_sparse_matrices_compute_the_same() -> None:
    for one in sweep(net(), TASK, (0.0, 0.5, 0.9, 1.0)):
        sparse = to_coo(one.model)
        layers = [module for module in sparse.modules() if isinstance(module, CooLinear)]
        assert len(layers) == 2
        assert type(sparse[-1]) is nn.Linear
        with torch.no_grad():
            torch.testing.assert_close(sparse(INPUTS), one.model(INPUTS))
        live = [int(layer.weight.count_nonzero()) for layer in hidden_layers(one.model).values()]
        assert [layer.stored_bytes for layer in layers] == [20 * count for count in live]
    dense = 4 * 12 * 64
    half = removed(net()[0], 0.8, "weight")[0]
    assert 20 * int((~half).sum()) == pytest.approx(dense, rel=0.01)  # storage breaks even at a density of a fifth


def test_a_sparse_layer_without_bias() -> None:
    layer = nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        torch.testing.assert_close(CooLinear(layer)(INPUTS[:, :4]), layer(INPUTS[:, :4]))


@pytest.mark.parametrize("seed", range(3))
def test_separation_equals_sklearn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kept, gone = rng.integers(0, 20, 40) / 20, rng.integers(0, 12, 30) / 20  # with ties
    expected = roc_auc_score([1] * 40 + [0] * 30, [*kept, *gone])
    assert separation(torch.from_numpy(kept), torch.from_numpy(gone)) == pytest.approx(expected, abs=1e-12)


def test_separation_of_both_modes() -> None:
    """Weights that go are the smallest; units that go hold weights of all magnitudes."""
    found = {one.mode: one.separation for one in sweep(net(widths=(200, 300, 200, 5)), _wide(200), [0.5])}
    assert list(found["weight"].values()) == [1.0, 1.0]
    assert all(0.5 < value < 0.56 for value in found["unit"].values())


def _wide(inputs: int) -> Task:
    loader = TensorLoader(torch.randn(4, inputs), torch.tensor([0, 1, 2, 3]), 4)
    return Task(train=loader, validation=loader, test=loader)


def test_histograms() -> None:
    kept, gone = torch.tensor([0.0, 0.5, 1.0, 2.0]), torch.tensor([0.1])
    edges, first, second = histograms(kept, gone, 4)
    assert edges.tolist() == [0, 0.5, 1, 1.5, 2]
    assert (first.tolist(), second.tolist()) == ([1, 1, 1, 1], [1, 0, 0, 0])


def test_timing_leaves_out_the_warm_up_and_takes_the_median() -> None:
    ticks = iter([0, 100, 0, 1, 0, 9, 0, 2])  # one warm-up round, then 1, 9 and 2 seconds
    found = forward_seconds({"a": nn.Identity()}, INPUTS, rounds=3, warm_up=1, clock=lambda: float(next(ticks)))
    assert found == {"a": 2.0}
    with pytest.raises(UserError):
        forward_seconds({}, INPUTS, rounds=0)


def test_break_even() -> None:
    shares = (0.5, 0.8, 0.9, 0.99)
    assert break_even(shares, (4, 2, 0.9, 0.5), 1.0) == 0.9
    assert break_even(shares, (0.9, 2, 0.9, 0.5), 1.0) == 0.9
    assert break_even(shares, (0.9, 0.8, 0.7, 0.5), 1.0) == 0.5
    assert break_even(shares, (4, 2, 0.9, 1.5), 1.0) is None


def test_wrong_input() -> None:
    with pytest.raises(UserError, match="0 to 1"):
        sweep(net(), TASK, [1.5])
    with pytest.raises(UserError, match="two fully connected layers"):
        sweep(nn.Sequential(nn.Linear(12, 5)), TASK, [0.5])
