"""Neurons at equilibrium stand still, and only they; velocities follow the published formulas."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from sliceflow.errors import UserError
from sliceflow.pruning.channels.chains import find_chains
from sliceflow.pruning.channels.macs import layer_macs
from sliceflow.pruning.equilibrium.freezing import Freezing, RandomFreezing
from sliceflow.pruning.equilibrium.neq import Equilibrium, EquilibriumOptions, cosine, observe
from sliceflow.pruning.training.callback import Batch, Callback, Epoch
from sliceflow.pruning.training.fit import Training, fit
from sliceflow.pruning.training.task import Quality, Task


class Net(nn.Module):
    """A residual network whose ReLUs overwrite what they read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.hidden = nn.Linear(4, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stem(images)
        maps = torch.relu_(self.norm(self.conv(maps)) + maps)
        return self.head(torch.relu(self.hidden(maps.mean((2, 3)))))


def task(seed: int = 0) -> Task:
    generator = torch.Generator().manual_seed(seed)
    data = TensorDataset(torch.randn(24, 1, 6, 6, generator=generator), torch.randint(3, (24,), generator=generator))
    loader = DataLoader(data, 8)
    return Task(train=loader, validation=loader, test=loader)


def net(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net()


SGD = Training(epochs=3, learning_rate=0.05, momentum=0.9, weight_decay=0.1, keep="last")
ADAMW = Training(epochs=3, learning_rate=0.01, optimizer="adamw", weight_decay=0.1, keep="last")


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_velocities_of_real_training_follow_the_closed_form(momentum: float) -> None:
    """The recursion of equation 9.4 and the sum of equation 9.5, in float64."""
    model, seen = net(), []

    class Watched(Equilibrium):
        def choose(self, epoch):
            frozen = super().choose(epoch)
            seen.append({name: value.clone() for name, value in self.similarities.items()})
            return frozen

    examples = [next(iter(task().validation))[0]]
    callback = Watched(model, examples, EquilibriumOptions(epsilon=0.02, momentum=momentum))
    fit(model, task(), Training(epochs=6, learning_rate=0.05, keep="last"), [callback])
    for name, velocity in callback.velocities.items():
        phis = [found[name] for found in seen]
        t = len(phis) - 1
        closed = phis[t] + sum((-1) ** a * (momentum ** (a - 1) + momentum**a) * phis[t - a] for a in range(1, t + 1))
        torch.testing.assert_close(velocity, closed, rtol=0, atol=1e-12)
        assert torch.equal(callback.frozen[name], velocity.abs() < 0.02)


def test_the_published_program_adds_what_the_thesis_subtracts() -> None:
    found = {}
    for damping in ("subtract", "add"):
        model = net()
        callback = Equilibrium(model, [torch.ones(2, 1, 6, 6)], EquilibriumOptions(damping=damping))
        callback.on_start(model, 2)
        for number in (1, 2):  # nothing changes: every similarity is 1
            callback.choose(Epoch(number, 0.1, 0.0, Quality(0.0, 0.0, 1)))
        found[damping] = float(callback.velocities["hidden"][0])
    assert found == {"subtract": pytest.approx(-0.5), "add": pytest.approx(0.5)}
    assert callback.similarities["hidden"].tolist() == pytest.approx([1.0] * 6)


def test_cosine() -> None:
    rng = np.random.default_rng(5)
    now, before = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 4, 5))
    whole = [
        np.dot(a.ravel(), b.ravel()) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(now, before, strict=True)
    ]
    single = [
        np.mean([np.dot(p, q) / np.linalg.norm(p) / np.linalg.norm(q) for p, q in zip(a, b, strict=True)])
        for a, b in zip(now, before, strict=True)
    ]
    pair = torch.from_numpy(now), torch.from_numpy(before)
    np.testing.assert_allclose(cosine(*pair), whole, atol=1e-12)
    np.testing.assert_allclose(cosine(*pair, per_example=True), single, atol=1e-12)


def test_outputs_and_potentials_by_hand() -> None:
    """Velocities of two epochs, for both of what can be observed, against the forward pass written out."""
    images = torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(1))

    def forward(model: Net) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        with torch.no_grad():
            p = {"stem.0": model.stem[1](model.stem[0](images))}
            y = {"stem.0": p["stem.0"].relu()}
            p["conv"] = model.norm(model.conv(y["stem.0"]))
            y["conv"] = (p["conv"] + y["stem.0"]).relu()  # its activation function reads the residual sum
            p["hidden"] = model.hidden(y["conv"].mean((2, 3)))
            y["hidden"] = p["hidden"].relu()
        return p, y

    first, second = net(0).eval(), net(1).eval()
    velocities = {}
    for index, what in enumerate(("potentials", "outputs")):
        model = copy.deepcopy(first)
        callback = Equilibrium(model, [images[:2], images[2:]], EquilibriumOptions(observe=what))
        callback.on_start(model, 2)
        model.load_state_dict(second.state_dict())
        callback.choose(Epoch(1, 0.1, 0.0, Quality(0.0, 0.0, 1)))
        callback.choose(Epoch(2, 0.1, 0.0, Quality(0.0, 0.0, 1)))
        before, after = forward(first)[index], forward(second)[index]
        for name, now in after.items():
            a, b = (v.double().transpose(0, 1).flatten(1) for v in (now, before[name]))
            same = (a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1)
            same = torch.where(same.isnan(), (a.norm(dim=1) == b.norm(dim=1)).double(), same)
            torch.testing.assert_close(callback.velocities[name], (1 - same) - 0.5 * same)
        velocities[what] = torch.cat(list(callback.velocities.values()))
    assert (velocities["outputs"] - velocities["potentials"]).abs().max() > 0.01
    assert EquilibriumOptions().observe == "outputs"


def test_an_activation_that_cannot_be_told_is_said(caplog) -> None:
    class Gated(Net):
        def forward(self, images: Tensor) -> Tensor:
            a = self.hidden(self.stem(images).mean((2, 3)))
            return self.head(a * torch.sigmoid(a))

    model, images = Gated(), torch.randn(3, 1, 6, 6)
    chains = find_chains(model, images)
    potentials, outputs = (observe(model, [images], chains, what) for what in ("potentials", "outputs"))
    assert torch.equal(potentials["hidden"], outputs["hidden"])
    assert torch.equal(potentials["stem.0"].relu(), outputs["stem.0"])
    assert "layer hidden is looked at by its potentials: 'mul' reads what it makes" in caplog.text


def test_dead_neurons_are_at_equilibrium() -> None:
    zeros, ones = torch.zeros(1, 2, 3), torch.ones(1, 2, 3)
    assert cosine(zeros, zeros).item() == 1
    assert cosine(zeros, ones).item() == 0
    assert cosine(ones, zeros).item() == 0


def test_outputs_are_taken_before_an_activation_overwrites_them() -> None:
    model = net().eval()
    images = torch.randn(3, 1, 6, 6)
    chains = find_chains(model, images)
    assert {name: chain.norm for name, chain in chains.items()} == {
        "stem.0": "stem.1", "conv": "norm", "hidden": None, "head": None,
    }  # fmt: skip
    with torch.no_grad():
        expected = model.stem[1](model.stem[0](images))
    found = observe(model, [images[:2], images[2:]], chains)["stem.0"]
    assert (found < 0).any()
    torch.testing.assert_close(found, expected.transpose(0, 1).flatten(2))


class Some(Freezing):
    """Freezes given neurons from the second epoch on, for as many epochs as asked for."""

    def __init__(self, model, wanted, until=99):
        super().__init__(model, torch.zeros(1, 1, 6, 6))
        self.wanted, self.until = wanted, until

    def choose(self, epoch):
        none = {name: torch.zeros_like(mask) for name, mask in self.frozen.items()}
        return {**none, **self.wanted} if epoch.number < self.until else none


class Trace(Callback):
    def __init__(self, model):
        self.model, self.epochs, self.gradients = model, [], []

    def on_optimizer(self, optimizer):
        self.optimizer = optimizer

    def on_backward(self, batch: Batch) -> None:
        self.gradients.append({name: p.grad.clone() for name, p in self.model.named_parameters()})

    def on_epoch(self, epoch):
        state = {
            name: {k: v.clone() for k, v in self.optimizer.state[p].items() if v.ndim}
            for name, p in self.model.named_parameters()
        }
        self.epochs.append((copy.deepcopy(self.model.state_dict()), state))


WANTED = {
    "stem.0": torch.tensor([True, False, True, False]),
    "hidden": torch.tensor([False, True, False, False, False, True]),
}
PARAMETERS = {
    "stem.0.weight": "stem.0",
    "stem.1.weight": "stem.0",
    "stem.1.bias": "stem.0",
    "hidden.weight": "hidden",
    "hidden.bias": "hidden",
}


@pytest.mark.parametrize("training", [SGD, ADAMW], ids=["sgd", "adamw"])
def test_frozen_neurons_do_not_move(training: Training) -> None:
    model = net()
    callback, trace = Some(model, WANTED), Trace(model)
    fit(model, task(), training, [callback, trace])
    (one, state_one), (two, state_two), (three, _) = trace.epochs
    for name, layer in PARAMETERS.items():
        gone = WANTED[layer]
        assert torch.equal(one[name][gone], two[name][gone]), name
        assert torch.equal(one[name][gone], three[name][gone]), name
        assert (one[name][~gone] != two[name][~gone]).any(), name
        for key, value in state_one[name].items():
            assert torch.equal(value[gone], state_two[name][key][gone]), (name, key)
        assert not trace.gradients[-1][name][gone].any()
        assert trace.gradients[0][name][gone].any()
    for name in ("head.weight", "head.bias", "conv.weight", "norm.weight"):
        assert (one[name] != two[name]).all(), name
    assert torch.equal(one["stem.1.running_mean"], two["stem.1.running_mean"]) is False


def test_gradients_pass_through_frozen_neurons() -> None:
    """With all of a layer frozen, the layers before it get the gradient they would get anyway."""
    model, other = net(), net()
    callback, trace, plain = Some(model, {"hidden": torch.ones(6, dtype=torch.bool)}), Trace(model), Trace(other)
    training = Training(epochs=2, learning_rate=0.0, keep="last")
    fit(model, task(), training, [callback, trace])
    fit(other, task(), training, [plain])
    assert torch.equal(trace.gradients[-1]["conv.weight"], plain.gradients[-1]["conv.weight"])
    assert trace.gradients[-1]["conv.weight"].any()
    assert not trace.gradients[-1]["hidden.weight"].any()


def test_they_move_again_without_a_kick() -> None:
    model = net()
    callback, trace = Some(model, WANTED, until=2), Trace(model)
    fit(model, task(), SGD, [callback, trace])
    (two, state_two), (three, _) = trace.epochs[1:]
    gone = WANTED["hidden"]
    assert (two["hidden.weight"][gone] != three["hidden.weight"][gone]).all()
    assert state_two["hidden.weight"]["momentum_buffer"][gone].any()


def test_weight_decay_alone_would_move_them() -> None:
    """The deliberate fault: a callback that only clears gradients lets momentum and decay go on."""

    class Careless(Some):
        def on_step(self, batch):
            pass

    model = net()
    callback, trace = Careless(model, WANTED), Trace(model)
    fit(model, task(), SGD, [callback, trace])
    gone = WANTED["hidden"]
    assert (trace.epochs[0][0]["hidden.weight"][gone] != trace.epochs[1][0]["hidden.weight"][gone]).all()


def test_nothing_freezes_in_the_first_epoch_nor_with_epsilon_0() -> None:
    for epsilon, expected in ((0.0, [0, 0, 0]), (10.0, [0, 14, 14])):
        model = net()
        callback = Equilibrium(model, [torch.ones(2, 1, 6, 6)], EquilibriumOptions(epsilon=epsilon))
        fit(model, task(), SGD, [callback])
        assert [cost.frozen for cost in callback.costs] == expected


def test_costs_of_back_propagation() -> None:
    model = net()
    macs = layer_macs(model, torch.zeros(1, 1, 6, 6))
    assert macs == {"stem.0": 36 * 9 * 4, "conv": 36 * 9 * 16, "hidden": 24, "head": 18}
    half = {"stem.0": WANTED["stem.0"], "conv": torch.ones(4, dtype=torch.bool)}
    callback = Some(model, half)
    fit(model, task(), SGD, [callback])
    first, second = callback.costs[0], callback.costs[1]
    full = 1296 + 2 * (5184 + 24 + 18)
    assert (first.full, first.needed, first.proportional, first.frozen, first.neurons) == (full, full, full, 0, 14)
    assert second.needed == 1296 // 2 + 5184 + 2 * (24 + 18)  # conv: only the gradient of its inputs
    assert second.proportional == 1296 // 2 + 2 * (24 + 18)
    everything = {name: torch.ones_like(mask) for name, mask in callback.frozen.items()}
    callback = Some(model, everything)
    fit(model, task(), SGD, [callback])
    assert callback.costs[1].needed == 18  # nothing before the head is trained, so nothing must be reached


def test_a_killed_run_goes_on_to_the_same_result(tmp_path: Path) -> None:
    images = [next(iter(task().validation))[0]]
    options = EquilibriumOptions(epsilon=0.3)

    def run(kill: bool) -> tuple[dict[str, Tensor], Equilibrium]:
        model = net()
        path = tmp_path / f"{kill}.pt"
        callback = Equilibrium(model, images, options)

        class Kill(Callback):
            def on_epoch(self, epoch):
                if kill and epoch.number == 4:
                    raise KeyboardInterrupt

        training = Training(epochs=6, learning_rate=0.05, momentum=0.9, weight_decay=0.01, keep="last")
        if kill:
            with pytest.raises(KeyboardInterrupt):
                fit(model, task(), training, [callback, Kill()], resume_from=path)
            model = net(9)
            callback = Equilibrium(model, images, options)
            kill = False
        fit(model, task(), training, [callback, Kill()], resume_from=path)
        return model.state_dict(), callback

    (straight, one), (resumed, two) = run(False), run(True)
    assert one.costs == two.costs
    assert any(cost.frozen > 0 for cost in one.costs)
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    assert all(torch.equal(one.velocities[name], two.velocities[name]) for name in one.velocities)


def test_random_freezing() -> None:
    model = net()
    callback = RandomFreezing(model, torch.zeros(1, 1, 6, 6), 0.5, seed=1)
    draws = [callback.choose(Epoch(n, 0.1, 0.0, Quality(0.0, 0.0, 1))) for n in range(400)]
    assert abs(float(torch.stack([d["hidden"].float().mean() for d in draws]).mean()) - 0.5) < 0.05
    assert any((draws[0][name] != draws[1][name]).any() for name in draws[0])
    with pytest.raises(UserError):
        RandomFreezing(model, torch.zeros(1, 1, 6, 6), 1.5)


@pytest.mark.parametrize("options", [{"epsilon": -1.0}, {"momentum": 1.0}, {"momentum": -0.1}])
def test_wrong_options(options: dict[str, float]) -> None:
    with pytest.raises(UserError, match="epsilon must not be negative"):
        EquilibriumOptions(**options)


def test_networks_without_hidden_neurons() -> None:
    with pytest.raises(UserError, match="no hidden neurons"):
        RandomFreezing(nn.Sequential(nn.Linear(3, 2)), torch.zeros(1, 3), 0.5)
