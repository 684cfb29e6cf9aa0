"""Pruning of blocks: what goes, when training comes, what is kept, what it costs."""

import copy
import itertools
import random
from pathlib import Path

import pytest
import scipy.stats
import torch
from block_networks import cifar, task, trained
from torch import nn

from sliceflow.errors import UserError
from sliceflow.pruning.blocks.network import BlockNetwork
from sliceflow.pruning.blocks.phasing import Fading, divide
from sliceflow.pruning.blocks.pruner import BlockOptions, BlockResult, as_data, prune_blocks
from sliceflow.pruning.blocks.ranking import kendall_tau
from sliceflow.pruning.blocks.repair import add_noise, recalibrate
from sliceflow.pruning.blocks.saliencies import SALIENCIES
from sliceflow.pruning.blocks.schedules import Every, LowHigh, Threshold, Uniform, fine_tuning
from sliceflow.pruning.method import Request
from sliceflow.pruning.methods import make_method
from sliceflow.pruning.training import fit as training_module
from sliceflow.pruning.training.callback import Callback
from sliceflow.pruning.training.fit import Training, fit
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import evaluate

TASK = task()
IMAGES = next(iter(TASK.validation))[0]
SHORT = fine_tuning(2, learning_rate=0.05)


def prune(model: nn.Module, target: int, schedule=None, run: Run | None = None, **options) -> BlockResult:
    network = BlockNetwork(model, IMAGES)
    return prune_blocks(network, TASK, target, schedule or Every(1, SHORT), BlockOptions(**options), run or Run())


def fires(schedule, target: int, drops: dict[int, float] | None = None) -> list[int]:
    return [s for s in range(1, target + 1) if schedule.training(s, target, (drops or {}).get(s, 0.0)) is not None]


def test_schedules() -> None:
    assert fires(Uniform(1, SHORT), 27) == [27]
    assert fires(Uniform(4, SHORT), 27) == [6, 12, 18, 27]
    assert fires(Uniform(4, SHORT), 45) == [11, 22, 33, 45]
    assert fires(Uniform(5, SHORT), 5) == [1, 2, 3, 4, 5]
    assert fires(Every(2, SHORT), 7) == [2, 4, 6, 7]
    assert fires(Threshold(0.1, SHORT), 9, {3: 0.11, 5: 0.1}) == [3, 9]
    assert fires(Threshold(0.1, SHORT, forced=(4,)), 9) == [4, 9]
    low, high = fine_tuning(1), fine_tuning(50)
    chosen = [LowHigh(low, high, (3,)).training(step, 5, 0.0) for step in range(1, 6)]
    assert chosen == [low, low, high, low, high]


def test_schedules_that_do_not_fit() -> None:
    with pytest.raises(UserError, match="do not fit"):
        Uniform(4, SHORT).training(1, 3, 0.0)
    for wrong in (lambda: Uniform(0, SHORT), lambda: Every(0, SHORT), lambda: Threshold(-0.1, SHORT)):
        with pytest.raises(UserError):
            wrong()


def test_rates_of_the_recipe() -> None:
    for epochs, milestones in ((50, (10, 20)), (20, (4, 8))):
        assert fine_tuning(epochs).milestones == milestones
    first, rest = divide(fine_tuning(50), 12)
    rates = [training_module.learning_rate(first, e, 0) for e in range(12)]
    rates += [training_module.learning_rate(rest, e, 0) for e in range(38)]
    assert rates == pytest.approx([training_module.learning_rate(fine_tuning(50), e, 0) for e in range(50)])
    with pytest.raises(UserError, match="cannot be taken"):
        divide(fine_tuning(5), 5)


def test_blocks_go_one_by_one_by_their_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ties go to the block that runs first."""
    table = {f"blocks.{i}": score for i, score in enumerate([3.0, 1.0, 2.0, 1.0, 9.0, 1.0])}
    monkeypatch.setitem(SALIENCIES, "table", lambda context: {name: table[name] for name in context.network.blocks})
    result = prune(cifar(), 5, Uniform(1, Training(epochs=0)), saliency="table")
    assert result.removed == ["blocks.1", "blocks.3", "blocks.5", "blocks.2", "blocks.0"]
    assert result.ranking(0) == ["blocks.1", "blocks.3", "blocks.5", "blocks.2", "blocks.0", "blocks.4"]
    assert result.ranking(4) == result.ranking(0)
    sizes = [step.parameters for step in result.steps]
    assert sizes == sorted(sizes, reverse=True)
    assert [step.macs for step in result.steps] == sorted((step.macs for step in result.steps), reverse=True)


def test_stages_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    result = prune(cifar((1, 3, 2)), 5, Uniform(1, Training(epochs=0)), saliency="weights-mean", equalize=True)
    stages = BlockNetwork(cifar((1, 3, 2)), IMAGES).stages
    assert [stages[name] for name in result.removed] == [0, 1, 2, 1, 1]


@pytest.mark.parametrize(("recompute", "expected"), [(1, [1, 2, 3, 4, 5]), (2, [1, 3, 5]), (4, [1, 5]), (None, [1])])
def test_scores_are_computed_when_due(recompute, expected, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(context):
        seen.append(6 - len(context.network.blocks) + 1)
        return SALIENCIES["weights-mean"](context)

    monkeypatch.setitem(SALIENCIES, "watched", watched)
    result = prune(cifar(), 5, Uniform(1, Training(epochs=0)), saliency="watched", recompute=recompute)
    assert seen == expected
    assert len(set(result.removed)) == 5


def test_training_that_only_harms_is_taken_back() -> None:
    """A huge rate ruins the weights; those before training come back, and count no kept epoch."""
    model = trained()
    other = BlockNetwork(copy.deepcopy(model), IMAGES)
    result = prune(model, 2, Uniform(1, fine_tuning(2, learning_rate=1e6)), saliency="weights-mean")
    for name in result.removed:
        other.remove(name)
    expected = other.model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    loop = result.steps[-1].loops[0]
    assert (loop.epochs, loop.kept, loop.before) == (2, 0, loop.after)
    assert result.cost == 2 * other.parameters
    assert result.cost_kept == 0


def test_costs_and_qualities_of_loops() -> None:
    model = trained()
    result = prune(model, 4, Every(2, fine_tuning(3, learning_rate=0.05)), saliency="random")
    assert [len(step.loops) for step in result.steps] == [0, 1, 0, 1]
    loops = [loop for step in result.steps for loop in step.loops]
    assert [loop.parameters for loop in loops] == [result.steps[1].parameters, result.steps[3].parameters]
    assert result.cost == sum(3 * loop.parameters for loop in loops)
    assert result.cost_kept == sum(loop.kept * loop.parameters for loop in loops)
    assert 0 < result.cost_kept <= result.cost
    assert evaluate(model, TASK.validation, TASK) == loops[-1].after
    assert as_data(result)["cost"] == result.cost


def test_the_threshold_counts_from_the_last_training(monkeypatch: pytest.MonkeyPatch) -> None:
    drops = []

    class Watched(Threshold):
        def training(self, step, target, drop):
            drops.append(drop)
            return super().training(step, target, drop)

    result = prune(cifar(), 4, Watched(0.05, SHORT, forced=(2,)), saliency="weights-mean")
    reference = result.initial.metric
    for step, drop in zip(result.steps, drops, strict=True):
        assert drop == pytest.approx(reference - step.validation.metric)
        reference = step.loops[-1].after.metric if step.loops else reference


def fading_run(held: bool) -> tuple[BlockNetwork, dict[str, torch.Tensor], list[float]]:
    network = BlockNetwork(cifar(), IMAGES)
    block = network.blocks["blocks.1"]
    before = copy.deepcopy(block.branch.state_dict())
    gates = []

    class Watch(Callback):
        def on_step(self, batch):
            gates.append(block.gate)
            if not held:
                block.held = False

    training = Training(epochs=4, learning_rate=0.05, momentum=0.9, weight_decay=0.1, keep="last")
    fit(network.model, TASK, training, [Fading([block]), Watch()])
    return network, before, gates


def test_a_faded_block_is_as_good_as_removed() -> None:
    network, before, gates = fading_run(held=True)
    assert list(dict.fromkeys(gates)) == [0.75, 0.5, 0.25, 0.0]
    branch = network.blocks["blocks.1"].branch
    assert all(torch.equal(value, before[name]) for name, value in branch.state_dict().items())
    assert all(parameter.requires_grad for parameter in branch.parameters())
    with torch.no_grad():
        faded = network.model.eval()(IMAGES)
        network.remove("blocks.1")
        assert torch.equal(network.model(IMAGES), faded)


def test_statistics_of_a_fading_block_would_move() -> None:
    """The deliberate fault: parameters held, but not the branch's mode."""
    network, before, _ = fading_run(held=False)
    after = network.blocks["blocks.1"].branch.state_dict()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert moved
    assert all("running" in name or "tracked" in name for name in moved)


def test_blocks_chosen_silently_fade_together() -> None:
    model = cifar()
    schedule = Every(2, fine_tuning(5, learning_rate=0.05))
    result = prune(model, 4, schedule, saliency="weights-mean", fade=2)
    first, second = result.steps[1].loops
    assert (first.epochs, first.kept, second.epochs) == (2, 2, 3)
    assert first.parameters == BlockNetwork(cifar(), IMAGES).parameters  # both blocks are back while they fade
    assert second.parameters == result.steps[1].parameters
    assert result.cost == sum(loop.epochs * loop.parameters for step in result.steps for loop in step.loops)
    assert len(BlockNetwork(model, IMAGES).blocks) == 2


@pytest.mark.parametrize("fade", [0, 1])
def test_a_killed_run_goes_on_to_the_same_result(fade: int, tmp_path: Path) -> None:
    def run(folder: Path, kill: int) -> tuple[BlockResult, nn.Module]:
        count = itertools.count(1)

        class Kill(Callback):
            def on_epoch(self, epoch):
                if next(count) == kill:
                    raise KeyboardInterrupt

        model = cifar()
        options = {"saliency": "random", "noise": 0.05, "fade": fade, "recalibrate": True, "seed": 3}
        found = prune(model, 3, Every(1, fine_tuning(3, 0.05)), Run(folder, lambda _: Kill()), **options)
        return found, model

    straight, one = run(tmp_path / "a", 0)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", 5)
    resumed, two = run(tmp_path / "b", 0)
    assert resumed == straight
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())


def test_noise_is_a_share_of_each_layers_own_spread() -> None:
    model = nn.Sequential(nn.Conv2d(8, 64, 5), nn.Conv2d(64, 32, 5), nn.Linear(3, 3))
    model[1].weight.data.mul_(10)
    before = copy.deepcopy(model)
    add_noise(model, 0.25, seed=1)
    for new, old in zip(model[:2], before[:2], strict=True):
        noise = new.weight - old.weight
        assert float(noise.detach().std() / old.weight.detach().std()) == pytest.approx(0.25, rel=0.03)
        assert abs(float(noise.detach().mean() / noise.detach().std())) < 0.03
    assert torch.equal(model[2].weight, before[2].weight)


def test_recalibration_takes_the_mean_of_all_batches() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3)).eval()
    recalibrate(model, TASK.train)
    means = torch.stack([images.mean((0, 2, 3)) for images, _ in TASK.train]).mean(0)
    torch.testing.assert_close(model[0].running_mean, means)
    assert (model[0].momentum, model[0].training) == (0.3, False)


def test_kendall_tau_equals_scipy() -> None:
    rng = random.Random(4)
    names = [f"b{i}" for i in range(12)]
    for _ in range(20):
        one, other = rng.sample(names, 12), rng.sample(names, 12)
        ranks = [[order.index(name) for name in names] for order in (one, other)]
        assert kendall_tau(one, other) == pytest.approx(scipy.stats.kendalltau(*ranks).statistic)
    assert kendall_tau(names, names) == 1
    assert kendall_tau(names, names[::-1]) == -1
    with pytest.raises(UserError):
        kendall_tau(names, names[1:])


@pytest.mark.parametrize("options", [{"saliency": "best"}, {"recompute": 0}, {"noise": -1.0}, {"fade": -1}])
def test_wrong_options(options) -> None:
    with pytest.raises(UserError):
        BlockOptions(**options)


def test_more_blocks_than_there_are() -> None:
    with pytest.raises(UserError, match="7 blocks cannot be removed"):
        prune(cifar(), 7)


@pytest.mark.parametrize("schedule", ["uniform", "every", "threshold", "low-high"])
def test_as_a_method_among_others(schedule: str) -> None:
    """What is masked in the network computes what is left of it when blocks are removed."""
    model, twin = trained(), trained()
    request = Request(ratio=0.5, training=SHORT, protect=("blocks.1.layers.0",))
    outcome = make_method("blocks", saliency="weights-mean", schedule=schedule).prune(model, TASK, request, Run())
    assert len(outcome.log) == 2  # half of five: one block is protected
    removed = [record["block"] for record in outcome.log]
    assert "blocks.1" not in removed
    gone = {name for name, live in outcome.masks.items() if not live.any()}
    expected = {
        name for name in dict(model.named_parameters()) if name.startswith(tuple(f"{r}.layers" for r in removed))
    }
    assert gone == {name for name, _ in outcome.masks.items()} == expected
    assert all(not parameter.any() for name, parameter in model.named_parameters() if name in gone)
    network = BlockNetwork(twin, IMAGES)
    twin_state = network.model.state_dict()
    for name, value in model.state_dict().items():
        for inner in (name, *(name.replace(part, f"{new}.{part}") for part, new in _PARTS.items())):
            if inner in twin_state:
                twin_state[inner].copy_(value)
    for name in removed:
        network.remove(name)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(IMAGES), network.model.eval()(IMAGES))
    trained_metric = outcome.log[-1]["trained_metric"]
    assert evaluate(model, TASK.validation, TASK).metric == trained_metric


_PARTS = {"layers": "branch", "shortcut": "shortcut"}


def test_blocks_that_cannot_be_masked() -> None:
    """Behind a normalization without scale a branch of zeros is not zero."""
    model = trained()
    for block in model.blocks:
        block.layers[4] = nn.BatchNorm2d(block.layers[4].num_features, affine=False)
        block.layers[4].running_mean.fill_(1.0)
    method = make_method("blocks", saliency="weights-mean")
    with pytest.raises(UserError, match="differ from blocks that are removed"):
        method.prune(model, TASK, Request(ratio=0.5, training=Training(epochs=0)), Run())
