"""Factors follow their optimizer, fold exactly, and structures whose factor is small go."""

import copy
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from block_networks import Stages, inline, restless, task
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.blocks.network import BlockNetwork
from sliceflow.pruning.method import Request
from sliceflow.pruning.methods import make_method
from sliceflow.pruning.structures.scalable import Structures, find_structures
from sliceflow.pruning.structures.selection import Factors, StructureSelection, WeightL1, select, soft
from sliceflow.pruning.training.callback import Batch, Callback
from sliceflow.pruning.training.fit import Training, fit
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import Task, evaluate

TASK = task()
IMAGES = next(iter(TASK.validation))[0]
TRAINING = Training(epochs=6, learning_rate=0.05, momentum=0.9)


def plain(seed: int = 0) -> nn.Module:
    """No normalization; a transposed and a depthwise convolution among the layers."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.ReLU(), nn.ConvTranspose2d(4, 5, 2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 6), nn.ReLU(), nn.Linear(6, 3),
    ).eval()  # fmt: skip


class Cardinal(nn.Module):
    """A block with a grouped convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped, self.norm = nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False), nn.BatchNorm2d(8)
        self.out = nn.Conv2d(8, 8, 1)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(maps + self.out(torch.relu(self.norm(self.grouped(maps)))))


def cardinal(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return restless(Stages(nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU()), Cardinal(), Cardinal(), channels=8))


NETWORKS = [(plain, "channels"), (inline, "channels"), (cardinal, "groups"), (cardinal, "blocks"), (inline, "blocks")]


def factors_of(model: nn.Module, kind: str, draw) -> tuple[list[Structures], Factors]:
    found = find_structures(model, IMAGES.to(next(model.parameters())), kind)
    factors = Factors(found, 0.0, 0.9)
    factors.values = [draw(entry.count) for entry in found]
    return found, factors


@pytest.mark.parametrize(("make", "kind"), NETWORKS)
@torch.no_grad()
def test_folding_is_exact_for_factors_of_any_sign(make, kind: str) -> None:
    model, images = make().double(), IMAGES.double()
    plain_outputs = model(images)
    _, factors = factors_of(model, kind, lambda count: torch.randn(count, dtype=torch.float64))
    with factors.attached():
        scaled = model(images)
    assert torch.equal(model(images), plain_outputs)
    factors.fold()
    torch.testing.assert_close(model(images), scaled, rtol=1e-10, atol=1e-10)
    assert (scaled - plain_outputs).abs().max() > 1e-3


@torch.no_grad()
def test_negative_factors_do_not_pass_a_relu() -> None:
    """The deliberate fault: what was scaled before the activation, folded into the layer behind it."""
    model, wrong = plain().double(), plain().double()
    _, factors = factors_of(model, "channels", lambda count: torch.ones(count, dtype=torch.float64))
    factors.values[-1] = torch.tensor([1.0, -0.5, 1, 1, -2, 1], dtype=torch.float64)
    with factors.attached():
        scaled = model(IMAGES.double())
    wrong[-1].weight.mul_(factors.values[-1])
    assert (wrong(IMAGES.double()) - scaled).abs().max() > 1e-3


@pytest.mark.parametrize(("make", "kind"), [n for n in NETWORKS if n != (plain, "channels")])
@torch.no_grad()
def test_removing_structures_whose_factor_is_zero_changes_nothing(make, kind: str) -> None:
    model = make().double()
    generator = torch.Generator().manual_seed(3)

    def draw(count: int) -> Tensor:
        return (torch.rand(count, generator=generator) < 0.5).double() if count > 1 else torch.zeros(1).double()

    found, factors = factors_of(model, kind, draw)
    factors.fold()
    folded = model(IMAGES.double())
    parameters = dict(model.named_parameters())
    zeroed = 0
    for entry, value in zip(found, factors.values, strict=True):
        for name, mask in entry.parameters(value == 0):
            parameters[name][mask] = 0
            zeroed += int(mask.sum())
    assert zeroed
    assert torch.equal(model(IMAGES.double()), folded)


@torch.no_grad()
def test_a_masked_block_is_a_removed_one() -> None:
    model = inline()
    other = BlockNetwork(copy.deepcopy(model), IMAGES)
    found = find_structures(model, IMAGES, "blocks")
    assert [entry.name for entry in found] == list(other.blocks)
    for name, mask in found[2].parameters(torch.tensor([True])):
        model.get_parameter(name)[mask] = 0
    other.remove(found[2].name)
    torch.testing.assert_close(model(IMAGES), other.model(IMAGES))


def test_the_optimizer_is_accelerated_proximal_gradient_descent() -> None:
    """Step by step as published, on numbers, with the gradients of a quadratic loss."""
    rng = np.random.default_rng(2)
    rate, sparsity, momentum = 0.1, 0.4, 0.9
    curvature, target = rng.uniform(0.5, 2, 6), rng.normal(0, 0.5, 6)
    structures = [Structures("x", 6, (), lambda _: [])]
    factors = Factors(structures, sparsity, momentum)
    factors.values = [torch.ones(6, dtype=torch.float64, requires_grad=True)]
    factors._velocities = [torch.zeros(6, dtype=torch.float64)]
    factors.on_optimizer(torch.optim.SGD([torch.zeros(1)], lr=rate))
    batch = Batch(torch.zeros(1), torch.zeros(1), torch.zeros(1), torch.zeros(()))
    value, velocity = np.ones(6), np.zeros(6)
    for step in range(400):
        loss = (torch.from_numpy(curvature) * (factors.values[0] - torch.from_numpy(target)) ** 2).sum() / 2
        loss.backward()
        factors.on_step(batch)
        z = value - rate * curvature * (value - target)
        proximal = np.array([np.sign(one) * max(abs(one) - rate * sparsity, 0.0) for one in z])
        velocity = momentum * velocity + proximal - value
        value = proximal + momentum * velocity
        np.testing.assert_allclose(factors.values[0].detach().numpy(), value, atol=1e-12, err_msg=str(step))
    optimum = np.sign(target) * np.maximum(np.abs(target) - sparsity / curvature, 0)
    np.testing.assert_allclose(value, optimum, atol=1e-6)
    assert (optimum == 0).any()
    assert (optimum != 0).any()


def test_soft_thresholding_minimizes() -> None:
    grid = torch.linspace(-3, 3, 6001)
    for value, limit in itertools.product((-1.7, -0.2, 0.0, 0.3, 2.0), (0.0, 0.25, 1.0)):
        best = grid[(0.5 * (grid - value) ** 2 + limit * grid.abs()).argmin()]
        assert float(soft(torch.tensor(value), limit)) == pytest.approx(float(best), abs=1e-3)


def test_weight_decay_passes_factors_by() -> None:
    model = inline()
    found = find_structures(model, IMAGES, "channels")
    factors = Factors(found, 0.0, 0.9)
    indifferent = Task(train=TASK.train, validation=TASK.validation, test=TASK.test, loss=lambda out, _: 0 * out.sum())
    before = model.head.weight.detach().clone()
    with factors.attached():
        fit(model, indifferent, Training(epochs=2, learning_rate=0.1, weight_decay=0.5, keep="last"), [factors])
    assert all((value == 1).all() for value in factors.values)
    assert (model.head.weight.detach().abs() < 0.9 * before.abs()).all()


def test_selection() -> None:
    entries = [Structures("a", 4, (), lambda _: []), Structures("b", 3, (), lambda _: [], least=0)]
    factors = [torch.tensor([0.05, -0.02, 0.001, -0.3]), torch.tensor([0.0, -0.04, 0.08])]
    everything = select(entries, factors, 1.0, 0.99)
    assert [gone.tolist() for gone in everything] == [[True, True, True, False], [True, True, True]]
    assert [gone.tolist() for gone in select(entries, factors, 0.05, 0.99)] == [
        [False, True, True, False], [True, True, False],
    ]  # fmt: skip
    assert [gone.tolist() for gone in select(entries, factors, 0.05, 0.3)] == [
        [False, False, True, False], [True, False, False],
    ]  # fmt: skip


def test_the_gradient_of_the_weights_norm() -> None:
    model = inline()
    other = copy.deepcopy(model)
    (0.3 * sum(m.weight.abs().sum() for m in other.modules() if isinstance(m, (nn.Conv2d, nn.Linear)))).backward()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    WeightL1(model, 0.3).on_backward(Batch(IMAGES, IMAGES, IMAGES, torch.zeros(())))
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one.grad, torch.zeros_like(two) if two.grad is None else two.grad)


@pytest.mark.parametrize(("make", "kind"), [(inline, "channels"), (plain, "channels"), (inline, "blocks")])
def test_the_whole_method(make, kind: str) -> None:
    model = make()
    fit(model, TASK, Training(epochs=6, learning_rate=0.05, momentum=0.9))
    method = make_method("structure-selection", structures=kind, sparsity=0.3, threshold=0.3, weight_threshold=0.01)
    outcome = method.prune(model, TASK, Request(ratio=0.4, training=TRAINING), Run())
    stages = {record["stage"]: record for record in outcome.log}
    assert list(stages) == ["factors", "folded", "removed", "trained again", "small weights"]
    assert stages["folded"]["difference"] < 1e-5
    assert stages["folded"]["metric"] == stages["factors"]["metric"]
    removed = stages["removed"]
    assert 0 < removed["removed"] <= 0.4 * removed["structures"]
    parameters = dict(model.named_parameters())
    for name, live in outcome.masks.items():
        assert not parameters[name][~live].any()
    assert all(live.any() for name, live in outcome.masks.items() if kind == "channels" and name.endswith("weight"))
    assert evaluate(model, TASK.validation, TASK).metric == stages["small weights"]["metric"] > 0.4


def test_protected_layers_have_no_factors() -> None:
    for kind, layer, expected in (("channels", "stages.2.1.conv1", 1), ("blocks", "stages.2.1.conv1", 1)):
        free = {entry.name for entry in find_structures(inline(), IMAGES, kind)}
        held = {entry.name for entry in find_structures(inline(), IMAGES, kind, [layer])}
        assert len(free - held) == expected
    with pytest.raises(UserError, match="no groups that can be scaled"):
        find_structures(cardinal(), IMAGES, "groups", ["stages.1.grouped", "stages.2.grouped"])


def test_a_killed_run_goes_on_to_the_same_result(tmp_path: Path) -> None:
    def run(folder: Path, kill: int) -> dict[str, Tensor]:
        count = itertools.count(1)

        class Kill(Callback):
            def on_epoch(self, epoch):
                if next(count) == kill:
                    raise KeyboardInterrupt

        model = inline()
        method = StructureSelection(sparsity=0.3, threshold=0.3)
        method.prune(model, TASK, Request(ratio=0.4, training=TRAINING), Run(folder, lambda _: Kill()))
        return model.state_dict()

    straight = run(tmp_path / "a", 0)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", 4)
    resumed = run(tmp_path / "b", 0)
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_wrong_options() -> None:
    for options in ({"sparsity": -1.0}, {"momentum": 1.0}, {"threshold": -0.1}):
        with pytest.raises(UserError, match="must not be negative"):
            StructureSelection(**options)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_an_indifferent_factor_is_zero_after_a_quarter_of_the_training(momentum: float) -> None:
    indifferent = Task(train=TASK.train, validation=TASK.validation, test=TASK.test, loss=lambda out, _: 0 * out.sum())
    seen = []

    class Watch(Callback):
        def on_epoch(self, epoch):
            seen.append(max(float(value.detach().abs().max()) for value in factors.values))

    model, training = inline(), Training(epochs=40, learning_rate=0.05, keep="last")
    method = StructureSelection(momentum=momentum)
    found = find_structures(model, IMAGES, "channels")
    factors = Factors(found, method._usual_sparsity(indifferent, training), momentum)
    with factors.attached():
        fit(model, indifferent, training, [factors, Watch()])
    assert seen[4] > 0.3
    assert seen[8] > 0.05
    assert max(seen[14:]) < 0.1  # momentum carries it to and fro
