"""Rounds of training and thresholding on small digits: what they end with, and that a killed run ends with the same."""

import copy
import functools

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels.shrink import shrink
from sliceflow.pruning.definitions import nonzero_parameters, parameters
from sliceflow.pruning.method import Outcome, Request
from sliceflow.pruning.methods import make_method
from sliceflow.pruning.regularized.plateau import prunable
from sliceflow.pruning.regularized.remaining import remaining
from sliceflow.pruning.training.callback import Callback
from sliceflow.pruning.training.fit import Training, fit
from sliceflow.pruning.training.resplit import TensorLoader, resplit
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import Task, evaluate

METHODS = [("serene", {}), ("serene", {"sensitivity": "local"}), ("lobster", {}), ("l2-threshold", {})]
TRAINING = Training(epochs=4, learning_rate=0.2, momentum=0.5, patience=2, seed=5)


@functools.cache
def digits() -> Task:
    images, labels = load_digits(return_X_y=True)
    inputs, targets = torch.tensor(images, dtype=torch.float32)[:900] / 16, torch.tensor(labels)[:900]
    return Task(
        train=TensorLoader(inputs[:600], targets[:600], 50, shuffle=True),
        validation=TensorLoader(inputs[600:800], targets[600:800], 200),
        test=TensorLoader(inputs[800:], targets[800:], 100),
    )


@functools.cache
def trained() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 24), nn.ReLU(inplace=True), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 10))
    fit(model, digits(), Training(epochs=12, learning_rate=0.3, momentum=0.5))
    return model


def pruned(
    name: str, options: dict[str, object], ratio: float = 0.99, run: Run | None = None, task: Task | None = None
) -> tuple[nn.Module, Outcome]:
    model = copy.deepcopy(trained())
    request = Request(ratio=ratio, training=TRAINING)
    return model, make_method(name, **options).prune(model, task or digits(), request, run or Run())


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_much_goes_and_the_network_still_works(name, options):
    model, outcome = pruned(name, {"tolerance": 0.3, "strength": 1e-3, "rounds": 4, **options})
    assert evaluate(model, digits().test, digits()).metric > 0.75
    log = outcome.log
    assert [entry["round"] for entry in log] == list(range(len(log)))
    assert log[-1]["sparsity"] > 0.5
    assert log[-1]["compression"] == pytest.approx(parameters(model) / nonzero_parameters(model))
    for parameter, mask in outcome.masks.items():
        assert (model.get_parameter(parameter)[~mask] == 0).all()
    zeros = sum(int((module.weight == 0).sum()) for module in model if isinstance(module, nn.Linear))
    assert zeros == outcome.masks.pruned
    assert log[-1]["loss"] == pytest.approx(evaluate(model, digits().validation, digits()).loss)
    assert all((module.bias != 0).all() for module in model if isinstance(module, nn.Linear))


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.62])
def test_no_more_than_the_ratio_is_pruned(ratio):
    model, outcome = pruned("l2-threshold", {"tolerance": 5.0, "strength": 1e-3}, ratio)
    total = sum(weight.numel() for weight in prunable(model, digits().example()).values())
    assert outcome.masks.pruned == int(ratio * total)  # the tolerance would allow more
    assert len(outcome.log) == (2 if ratio else 1)  # trained behind the last pruning


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_a_killed_run_ends_with_the_same(name, options, tmp_path):
    options = {"tolerance": 0.2, "strength": 1e-3, "rounds": 2, **options}
    expected, expected_outcome = pruned(name, options)
    epochs = Killer(None)
    again, _ = pruned(name, options, run=Run(tmp_path / "whole", lambda _: epochs))
    assert same(expected, again)
    for limit in (epochs.seen // 2, epochs.seen):
        folder, killer = tmp_path / str(limit), Killer(limit)
        with pytest.raises(KeyboardInterrupt):
            pruned(name, options, run=Run(folder, lambda _, killer=killer: killer))
        model, outcome = pruned(name, options, run=Run(folder, lambda _: Killer(None)))
        assert same(expected, model)
        assert outcome.log == expected_outcome.log
        for parameter, mask in expected_outcome.masks.items():
            assert torch.equal(mask, outcome.masks[parameter])


class Killer(Callback):
    """Counts epochs, and stops the run after so many."""

    def __init__(self, limit: int | None) -> None:
        self.limit, self.seen = limit, 0

    def on_epoch(self, epoch) -> None:
        self.seen += 1
        if self.limit is not None and self.seen >= self.limit:
            raise KeyboardInterrupt


def same(first: nn.Module, second: nn.Module) -> bool:
    return all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_a_folder_of_other_options_is_refused(tmp_path):
    pruned("lobster", {"rounds": 1}, run=Run(tmp_path))
    with pytest.raises(UserError, match="another run"):
        pruned("lobster", {"rounds": 1, "strength": 2e-4}, run=Run(tmp_path))


def test_epochs_keep_to_the_budget():
    _, outcome = pruned("l2-threshold", {"tolerance": 0.3, "budget": 7})
    assert sum(entry["epochs"] for entry in outcome.log) == 7


def test_a_drop_of_the_metric_leads_back_to_the_round_before():
    """The metric may not fall at all, while the loss may grow fivefold: what is returned has the metric."""
    task = digits()
    free, _ = pruned("l2-threshold", {"tolerance": 4.0, "rounds": 4})
    model, outcome = pruned("l2-threshold", {"tolerance": 4.0, "rounds": 4, "drop": 0.01})
    start = evaluate(trained(), task.validation, task).metric
    assert evaluate(free, task.validation, task).metric < start - 0.01
    assert evaluate(model, task.validation, task).metric >= start - 0.01
    assert outcome.log[-1]["metric"] == pytest.approx(evaluate(model, task.validation, task).metric)
    assert sum(int((m.weight == 0).sum()) for m in model if isinstance(m, nn.Linear)) == outcome.masks.pruned


def test_the_network_comes_back_whole_if_the_first_round_costs_too_much():
    model, outcome = pruned("lobster", {"strength": 0.9, "drop": 0.0})  # leaves nothing of the weights
    assert same(model, trained())
    assert outcome.masks.pruned == 0
    assert [entry["compression"] for entry in outcome.log] == [1]


def test_zeros_of_the_network_are_pinned():
    model = copy.deepcopy(trained())
    model[0].weight.data[:4] = 0
    outcome = make_method("l2-threshold", rounds=0).prune(model, digits(), Request(ratio=0.9, training=TRAINING), Run())
    assert outcome.masks.pruned == 4 * 64
    assert (model[0].weight[:4] == 0).all()


def test_protected_layers_and_the_output_layer_keep_their_weights():
    model = copy.deepcopy(trained())
    request = Request(ratio=0.9, training=TRAINING, protect=("0",))
    make_method("lobster", tolerance=1.0, rounds=2, output_layer=False).prune(model, digits(), request, Run())
    left = {layer.layer: (layer.live_weights, layer.weights) for layer in remaining(model)}
    assert left["0"] == (64 * 24, 64 * 24)
    assert left["4"] == (160, 160)
    assert left["2"][0] < left["2"][1]


def test_biases_take_part_only_if_wanted():
    model, outcome = pruned("serene", {"tolerance": 3.0, "rounds": 2, "biases": True})
    assert any(name.endswith("bias") for name, mask in outcome.masks.items() if not mask.all())
    assert sum(int((p == 0).sum()) for p in model.parameters()) == outcome.masks.pruned


def test_each_round_may_have_its_own_split():
    task = digits()
    other = resplit(task, 3)
    before = torch.cat([task.train.inputs, task.validation.inputs])
    after = torch.cat([other.train.inputs, other.validation.inputs])
    assert len(other.validation.inputs) == len(task.validation.inputs)
    assert not torch.equal(other.validation.inputs, task.validation.inputs)
    assert sorted(map(tuple, before.tolist())) == sorted(map(tuple, after.tolist()))
    image, label = other.train.inputs[0], other.train.targets[0]
    at = (before == image).all(1).nonzero()[0, 0]
    assert torch.cat([task.train.targets, task.validation.targets])[at] == label
    plain, _ = pruned("l2-threshold", {"rounds": 1})
    split, _ = pruned("l2-threshold", {"rounds": 1, "resplit": True})
    assert not same(plain, split)
    assert same(split, pruned("l2-threshold", {"rounds": 1, "resplit": True})[0])


def test_a_neuron_has_gone_when_all_its_weights_have():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ConvTranspose2d(4, 6, 2, groups=2), nn.Linear(3, 2))
    model[0].weight.data[1] = 0
    model[0].weight.data[2, 0] = 0  # half of a filter
    model[1].weight.data[2:, 1] = 0  # filter 4: the second group's second
    model[2].weight.data[0] = torch.tensor([1.0, -1.0, 0.0])  # its sum is zero, it is not
    counted = {layer.layer: (layer.live_neurons, layer.neurons) for layer in remaining(model)}
    assert counted == {"0": (3, 4), "1": (5, 6), "2": (2, 2)}
    assert [layer.live_weights for layer in remaining(model)] == [72 - 18 - 9, 48 - 8, 5]


def test_neurons_that_have_gone_are_those_that_shrinking_removes():
    model, outcome = pruned("serene", {"tolerance": 2.0, "strength": 1e-3, "rounds": 4, "relative": True})
    inputs = digits().test.inputs
    before, counted = model(inputs), {entry["layer"]: entry for entry in outcome.log[-1]["layers"]}
    assert 0 < counted["0"]["live_neurons"] < 24  # something went, not all
    report = shrink(model, digits().example(), masks=outcome.masks)
    torch.testing.assert_close(model(inputs), before, rtol=1e-4, atol=1e-5)
    for layer in report.layers:
        if layer.name in ("0", "2"):  # outputs stay in any case
            assert layer.after.outputs <= counted[layer.name]["live_neurons"], layer  # those that nothing reads go too


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("serene", {"strength": 1.0}, "strength"),
        ("lobster", {"tolerance": -0.1}, "tolerance"),
        ("serene", {"sensitivity": "global"}, "wrong"),
    ],
)
def test_wrong_options_are_refused(name, options, message):
    with pytest.raises(UserError, match=message):
        make_method(name, **options)
    with pytest.raises(UserError, match="no layer"):
        prunable(trained(), digits().example(), ("nine",))
