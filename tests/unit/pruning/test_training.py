"""Training against plain loops written down here, and its checkpoints."""

import copy
import dataclasses
import math
import pickle

import pytest
import torch
from torch import nn

from sliceflow.errors import UserError
from sliceflow.pruning.training import checkpoint
from sliceflow.pruning.training.callback import Callback
from sliceflow.pruning.training.fit import Training, fit, learning_rate
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import Task, evaluate
from tests.support.pruning_networks import Segmenter, digit_net, digits_task, same_state, squares_task

SGD = Training(epochs=3, learning_rate=0.1, momentum=0.9, weight_decay=1e-3, keep="last")


def fixed_task(targets=None):
    """Two batches that never change their order."""
    x, y = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 3
    batches = [(x[:5], y[:5]), (x[5:], y[5:])]
    return Task(train=batches, validation=batches, test=batches)


def test_sgd_does_what_the_book_says():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    oracle = copy.deepcopy(model)
    task = fixed_task()
    fit(model, task, SGD)
    velocity = [torch.zeros_like(p) for p in oracle.parameters()]
    for _ in range(3):
        for x, y in task.train:
            loss = nn.functional.cross_entropy(oracle(x), y)
            gradients = torch.autograd.grad(loss, list(oracle.parameters()))
            with torch.no_grad():
                for p, v, g in zip(oracle.parameters(), velocity, gradients, strict=True):
                    v.mul_(0.9).add_(g + 1e-3 * p)
                    p.sub_(0.1 * v)
    for p, q in zip(model.parameters(), oracle.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


def test_steps_and_one_cycle():
    steps = Training(epochs=9, learning_rate=2.0, milestones=(3, 6))
    rates = [learning_rate(steps, epoch, 0.5) for epoch in range(9)]
    assert rates == pytest.approx([2.0] * 3 + [0.2] * 3 + [0.02] * 3)
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    oracle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2.0, total_steps=1001, cycle_momentum=False)
    cycle = Training(epochs=10, learning_rate=2.0, schedule="one-cycle")
    for step in range(1000):
        assert learning_rate(cycle, step // 100, step % 100 / 100) == pytest.approx(
            oracle.get_last_lr()[0], rel=0.02, abs=1e-4
        )
        optimizer.step()
        oracle.step()


def test_evaluation_weighs_the_last_batch_by_its_size():
    model, task = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), fixed_task()
    quality = evaluate(model, task.test, task)
    x, y = torch.cat([b[0] for b in task.test]), torch.cat([b[1] for b in task.test])
    assert quality.loss == pytest.approx(nn.functional.cross_entropy(model(x), y).item(), rel=1e-6)
    assert quality.metric == pytest.approx(float((model(x).argmax(1) == y).float().mean()))
    assert quality.examples == 8


def test_the_metric_of_maps_is_the_share_of_pixels():
    task, model = squares_task(16, 8), Segmenter()
    quality = evaluate(model, task.test, task)
    with torch.no_grad():
        hits = [(model.eval()(x).argmax(1) == y).float().mean() for x, y in task.test]
    assert quality.metric == pytest.approx(float(torch.stack(hits).mean()), rel=1e-5)


class Losses(Callback):
    """Replaces what training believes the validation losses to be."""

    def __init__(self):
        self.states, self.model = [], None

    def on_start(self, model, epochs):
        self.model = model

    def on_epoch(self, epoch):
        self.states.append(copy.deepcopy(self.model.state_dict()))


@pytest.mark.parametrize(("initial", "best"), [(False, 2), (True, 0)])
def test_the_best_epoch_is_restored(monkeypatch, initial, best):
    losses = iter([0.1, 0.9, 0.5, 0.7, 0.6])
    from sliceflow.pruning.training import fit as training

    honest = training.evaluate
    monkeypatch.setattr(training, "evaluate", lambda *given: dataclasses.replace(honest(*given), loss=next(losses)))
    model = digit_net()
    start, seen = copy.deepcopy(model.state_dict()), Losses()
    history = fit(model, digits_task(64), Training(epochs=4, learning_rate=0.05, initial=initial), [seen])
    assert history.kept == best
    wanted = start if best == 0 else seen.states[best - 1]
    assert all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items())


def test_patience_ends_training(monkeypatch):
    from sliceflow.pruning.training import fit as training

    losses = iter([9, 5, 4, 4, 4.5, 1])
    honest = training.evaluate
    monkeypatch.setattr(training, "evaluate", lambda *given: dataclasses.replace(honest(*given), loss=next(losses)))
    history = fit(digit_net(), digits_task(32), Training(epochs=50, learning_rate=0.01, patience=2))
    assert (len(history.epochs) - 1, history.kept) == (4, 2)


class Killed(Callback):
    """Raises in the middle of a step, as a signal would."""

    def __init__(self, at):
        self.left = at

    def on_step(self, batch):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


class Counter(Callback):
    """Something a callback must remember."""

    def __init__(self):
        self.steps = 0

    def on_step(self, batch):
        self.steps += 1

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


def dropped():
    torch.manual_seed(1)
    return nn.Sequential(digit_net(), nn.Dropout(0.2))


TRAININGS = {
    "sgd": SGD,
    "best, steps": Training(epochs=3, learning_rate=0.1, momentum=0.9, milestones=(1,), seed=5),
    "adamw, one-cycle": Training(epochs=3, learning_rate=0.01, optimizer="adamw", schedule="one-cycle"),
}


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS.keys())
@pytest.mark.parametrize("at", [1, 3, 5, 8, 11])
def test_a_killed_training_goes_on_to_the_same_result(tmp_path, training, at):
    task = digits_task(128)  # four steps an epoch
    whole, counter = dropped(), Counter()
    expected = fit(whole, task, training, [counter])
    with pytest.raises(KeyboardInterrupt):
        fit(dropped(), task, training, [Counter()], observers=[Killed(at)], resume_from=tmp_path / "c.pt")
    assert (tmp_path / "c.pt").exists() == (at > 4)
    torch.manual_seed(99)  # the state of the generator must not matter
    resumed, resumed_counter = dropped(), Counter()
    history = fit(resumed, task, training, [resumed_counter], resume_from=tmp_path / "c.pt")
    assert same_state(resumed, whole)
    assert history.epochs[1:] == expected.epochs[1:]
    assert (history.kept, resumed_counter.steps) == (expected.kept, counter.steps) == (expected.kept, 12)


def test_a_finished_stage_is_not_run_again(tmp_path):
    task, first, again = digits_task(64), digit_net(), digit_net(seed=1)
    run = Run(tmp_path)
    run.fit("stage", first, task, SGD)
    counted = Counter()
    Run(tmp_path, lambda stage: counted).fit("stage", again, task, SGD)
    assert counted.steps == 0
    assert same_state(first, again)


def test_another_run_is_not_resumed(tmp_path):
    task, path = digits_task(32), tmp_path / "c.pt"
    fit(digit_net(), task, SGD, resume_from=path)
    with pytest.raises(UserError, match="another run"):
        fit(digit_net(), task, dataclasses.replace(SGD, learning_rate=0.2), resume_from=path)
    with pytest.raises(UserError, match="another run"):
        fit(digit_net(width=5), task, SGD, resume_from=path)
    with pytest.raises(UserError, match="another run"):
        fit(digit_net(), task, SGD, [Counter()], resume_from=path)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "pickle", "folder", "other"])
def test_damaged_checkpoints_are_refused(tmp_path, damage):
    path = tmp_path / "c.pt"
    fit(digit_net(), digits_task(32), SGD, resume_from=path)
    data = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        content = {"empty": b"", "cut": data[: len(data) // 2], "text": b"hello", "pickle": pickle.dumps(Bomb())}
        path.write_bytes(content.get(damage, data))
    if damage == "other":
        checkpoint.save(path, {"identity": 3})
    with pytest.raises(UserError, match="checkpoint") as caught:
        fit(digit_net(), digits_task(32), SGD, resume_from=path)
    assert str(path) in caught.value.where


def test_impossible_options_are_refused():
    for wrong in ({"epochs": -1}, {"learning_rate": -1.0}, {"patience": 0}):
        with pytest.raises(UserError):
            Training(**{"epochs": 1, **wrong})
    empty = Task(train=[], validation=fixed_task().validation, test=[])
    with pytest.raises(UserError, match="no example to train"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), empty, SGD)
    with pytest.raises(UserError, match="no example to judge"):
        evaluate(digit_net(), [], fixed_task())


def test_a_diverged_epoch_is_never_the_best():
    model = digit_net()
    history = fit(model, digits_task(32), Training(epochs=2, learning_rate=1e30, initial=True))
    assert history.kept == 0
    assert math.isinf(history.epochs[2].validation.loss)
    assert all(value.isfinite().all() for value in model.state_dict().values())
