"""The loop of scoring, selecting, masking and training: on real digits, and killed wherever it can be."""

import copy
import dataclasses
import functools

import pytest
import torch

from sliceflow.errors import UserError
from sliceflow.pruning.method import Request
from sliceflow.pruning.methods import METHODS, Entry, make_method, options_of
from sliceflow.pruning.training import checkpoint
from sliceflow.pruning.training.callback import Callback
from sliceflow.pruning.training.fit import Training, fit
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import evaluate
from tests.support.pruning_networks import Segmenter, digit_net, digits_task, same_state, squares_task

LOOPS = [name for name, entry in METHODS.items() if entry.place.endswith(":Gradual")]
SHORT = Training(epochs=2, learning_rate=0.05, momentum=0.9, weight_decay=1e-4)
THREE = {"schedule": "uniform", "rounds": 3}


@functools.cache
def trained():
    model = digit_net(width=8)
    fit(model, digits_task(), Training(epochs=12, learning_rate=0.05, momentum=0.9))
    return model


def prune(name, ratio, run=None, *, training=SHORT, protect=(), seed=0, task=None, model=None, **options):
    model = copy.deepcopy(trained()) if model is None else model
    request = Request(ratio=ratio, training=training, protect=protect, seed=seed)
    outcome = make_method(name, **options).prune(model, task or digits_task(), request, run or Run())
    return model, outcome


@pytest.mark.parametrize("name", LOOPS)
def test_every_method_prunes_what_was_asked_and_keeps_the_digits_readable(name):
    before = evaluate(trained(), digits_task().test, digits_task()).metric
    model, outcome = prune(name, 0.4, **THREE)
    after = evaluate(model, digits_task().test, digits_task()).metric
    assert before > 0.85
    assert after > before - (0.3 if "random" in name else 0.12), (name, before, after)  # the control may lose more
    assert [record["step"] for record in outcome.log] == [1, 2, 3]
    last = outcome.log[-1]
    total, gone = sum(last["of"].values()), sum(last["gone"].values())
    rounding = 0 if METHODS[name].fixed.get("scope") == "global" else len(last["of"])
    assert 0.4 * total - rounding - 1 <= gone <= 0.4 * total
    assert all(not dict(model.named_parameters())[key][~live].any() for key, live in outcome.masks.items())
    assert outcome.masks.pruned >= gone
    assert last["parameters"] == sum(p.numel() for p in model.parameters()) - outcome.masks.pruned


def test_weights_are_pruned_alone_and_channels_whole():
    _, outcome = prune("magnitude", 0.5)
    assert not make_method("magnitude").structured
    assert {name for name, _ in outcome.masks.items()} <= {"0.weight", "4.weight", "9.weight", "11.weight"}
    _, outcome = prune("l1-filter", 0.5)
    assert make_method("l1-filter").structured
    gone = ~outcome.masks["0.weight"]
    assert gone.flatten(1).all(1).sum() == gone.flatten(1).any(1).sum() == 4
    for name in ("0.bias", "1.weight", "1.bias"):
        assert torch.equal(~outcome.masks[name], gone.flatten(1).all(1)), name
    assert outcome.masks["9.weight"].all()


def test_kinds_of_layers():
    assert set(prune("l2-filter", 0.5)[1].log[0]["of"]) == {"0", "4"}
    assert set(prune("neuron", 0.5)[1].log[0]["of"]) == {"9"}
    assert set(prune("random", 0.5)[1].log[0]["of"]) == {"0", "4", "9"}
    assert set(prune("l2-filter", 0.5, layers="all", protect=["4"])[1].log[0]["of"]) == {"0", "9"}
    assert set(prune("magnitude", 0.5, protect=["0"])[1].log[0]["of"]) == {"4.weight", "9.weight", "11.weight"}


def test_the_lowest_go():
    model = copy.deepcopy(trained())
    norms = model[0].weight.detach().flatten(1).norm(dim=1)
    lowest = set(norms.argsort()[:4].tolist())
    _, outcome = prune("l2-filter", 0.5, model=model, training=dataclasses.replace(SHORT, epochs=0))
    assert set((~outcome.masks["0.bias"]).nonzero().flatten().tolist()) == lowest


def test_threshold_trains_only_where_too_much_was_lost():
    never = prune("l1-filter", 0.3, schedule="threshold", rounds=3, limit=2.0)[1]
    assert ["trained" in record for record in never.log] == [False, False, True]
    always = prune("l1-filter", 0.3, schedule="threshold", rounds=3, limit=-2.0)[1]
    assert ["trained" in record for record in always.log] == [True, True, True]


def test_low_epochs_and_costs():
    outcome = prune("l1-filter", 0.3, low_epochs=1, **THREE)[1]
    assert [record["epochs"] for record in outcome.log] == [1, 1, 2]
    assert [record["epoch_parameters"] for record in outcome.log] == [
        record["epochs"] * record["parameters"] for record in outcome.log
    ]


def test_segmentation_networks():
    task, model = squares_task(), Segmenter()
    fit(model, task, Training(epochs=25, learning_rate=0.02, optimizer="adamw"))
    before = evaluate(model, task.test, task).metric
    options = Training(epochs=6, learning_rate=0.01, optimizer="adamw")
    _, outcome = prune("taylor", 0.3, task=task, model=model, training=options, **THREE)
    after = evaluate(model, task.test, task).metric
    assert before > 0.9
    assert after > before - 0.04, (before, after)
    assert set(outcome.log[-1]["of"]) == {"down.0", "deep.0", "up", "last.0"}
    assert sum(outcome.log[-1]["gone"].values()) == int(0.3 * (6 + 12 + 6 + 6))


class Killed(Exception):
    """In the place of a signal."""


class Hook(Callback):
    """Counts steps of training over all stages, and ends the process at one of them."""

    def __init__(self, at=0):
        self.steps, self.at = 0, at

    def on_step(self, batch):
        self.steps += 1
        if self.steps == self.at:
            raise Killed


@functools.cache
def undisturbed(name):
    hook = Hook()
    model, outcome = prune(name, 0.4, Run(None, lambda stage: hook), task=digits_task(96), **THREE)
    return model, outcome, hook.steps


@pytest.mark.parametrize("name", ["taylor", "magnitude"])
@pytest.mark.parametrize("at", [1, 8, 18])
def test_killed_in_training_it_ends_the_same(tmp_path, name, at):
    expected, outcome, steps = undisturbed(name)
    assert steps == 18
    hook = Hook(at)
    with pytest.raises(Killed):
        prune(name, 0.4, Run(tmp_path, lambda stage: hook), task=digits_task(96), **THREE)
    check_resumed(tmp_path, name, expected, outcome)


@pytest.mark.parametrize("when", ["before", "behind"])
@pytest.mark.parametrize("write", [1, 2, 3, 5, 9])
def test_killed_around_a_checkpoint_it_ends_the_same(tmp_path, monkeypatch, write, when):
    expected, outcome, _ = undisturbed("taylor")
    written, honest = [], checkpoint.save

    def save(path, state):
        written.append(path)
        if len(written) == write and when == "before":
            raise Killed
        honest(path, state)
        if len(written) == write:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save", save)
        with pytest.raises(Killed):
            prune("taylor", 0.4, Run(tmp_path), task=digits_task(96), **THREE)
    assert len(written) == write
    check_resumed(tmp_path, "taylor", expected, outcome)


def check_resumed(folder, name, expected, outcome):
    torch.manual_seed(1234)
    model, again = prune(name, 0.4, Run(folder), task=digits_task(96), **THREE)
    assert same_state(model, expected)
    assert again.log == outcome.log
    assert {key: value.tolist() for key, value in again.masks.items()} == {
        key: value.tolist() for key, value in outcome.masks.items()
    }


def test_checkpoints_of_other_weights_or_options_are_refused(tmp_path):
    prune("l1-filter", 0.4, Run(tmp_path))
    with pytest.raises(UserError, match="another run"):
        prune("l1-filter", 0.5, Run(tmp_path))
    model = copy.deepcopy(trained())
    model[0].weight.data[0, 0, 0, 0] += 1e-3
    with pytest.raises(UserError, match="another run"):
        prune("l1-filter", 0.4, Run(tmp_path), model=model)


def test_seeds_decide_what_is_random():
    masks = [prune("random", 0.4, seed=seed)[1].masks["0.bias"].tolist() for seed in (0, 0, 1)]
    assert masks[0] == masks[1] != masks[2]


def test_names_and_options_that_do_not_exist():
    with pytest.raises(UserError) as caught:
        make_method("l3-filter")
    assert "l1-filter" in caught.value.fix
    with pytest.raises(UserError) as caught:
        make_method("l1-filter", round=3)
    assert "round" in caught.value.why
    assert "rounds" in caught.value.fix
    for wrong in (
        {"rounds": "3"},
        {"scope": "world"},
        {"rounds": 0, "schedule": "cubic"},
        {"batches": 0},
        {"least": 0},
    ):
        with pytest.raises(UserError):
            make_method("l1-filter", **wrong)
    with pytest.raises(UserError, match="'criterion' is 'l1'"):
        make_method("l1-filter", criterion="taylor")
    assert options_of("taylor")["scope"] == "global"
    for ratio in (-0.1, 1.0):
        with pytest.raises(UserError, match="ratio"):
            prune("l1-filter", ratio)


@pytest.mark.parametrize("name", METHODS)
def test_every_name_makes_a_method(name):
    assert isinstance(METHODS[name], Entry)
    assert METHODS[name].summary
    assert isinstance(make_method(name).structured, bool)
    assert options_of(name) is not None


def test_networks_that_do_not_suit():
    with pytest.raises(UserError, match="nothing to prune"):
        prune("neuron", 0.5, model=Segmenter(), task=squares_task(8, 4))
    with pytest.raises(UserError, match="no layer 'x'"):
        prune("magnitude", 0.5, protect=["x"])


def test_a_network_that_diverged_is_refused():
    model = copy.deepcopy(trained())
    model[4].weight.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(UserError, match="not numbers"):
        prune("l2-filter", 0.5, model=model)
