"""The regularizer's step against the formula, element by element."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from sliceflow.errors import UserError
from sliceflow.pruning.regularized.plateau import prunable
from sliceflow.pruning.regularized.serene import NeuronDecay, sensitivities
from sliceflow.pruning.training.fit import Training, fit
from sliceflow.pruning.training.masks import Masks
from sliceflow.pruning.training.resplit import TensorLoader
from sliceflow.pruning.training.task import Task

STRENGTH, RATE = 0.25, 0.125


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), nn.ConvTranspose2d(4, 6, 2, groups=2), nn.Flatten(), nn.Linear(150, 3)
    ).double()


def one_batch() -> Task:
    loader = TensorLoader(torch.randn(5, 2, 6, 6).double(), torch.tensor([0, 1, 2, 0, 1]), 5)
    return Task(train=loader, validation=loader, test=loader)


def gradients(model: nn.Module, task: Task) -> dict[str, torch.Tensor]:
    inputs, targets = next(iter(task.train))
    found = torch.autograd.grad(functional.cross_entropy(model(inputs), targets), list(model.parameters()))
    return dict(zip(dict(model.named_parameters()), found, strict=True))


def filter_of(module: nn.Module, index: tuple[int, ...], field: str) -> int:
    """The output that an element of a parameter belongs to, from the definition of the layer."""
    if field == "weight" and isinstance(module, nn.ConvTranspose2d):
        group = index[0] // (module.in_channels // module.groups)
        return group * (module.out_channels // module.groups) + index[1]
    return index[0]


@pytest.mark.parametrize("kind", ["exact", "lower", "upper", "local"])
@pytest.mark.parametrize("rate", [RATE, 0.0])
def test_a_step_is_that_of_the_formula(kind, rate):
    """Also with a learning rate of 0, which must not stop the decay."""
    model, task = network(), one_batch()
    start, gradient = copy.deepcopy(model), gradients(model, task)
    found = sensitivities(start, next(iter(task.train))[0], kind)
    weights = prunable(model, task.example(), biases=True)
    fit(model, task, Training(epochs=1, learning_rate=rate, keep="last"), [NeuronDecay(model, weights, STRENGTH, kind)])
    for name, old in start.named_parameters():
        layer, _, field = name.rpartition(".")
        for index in torch.cartesian_prod(*[torch.arange(size) for size in old.shape]).reshape(-1, old.ndim).tolist():
            at = tuple(index)
            sensitivity = found[layer][filter_of(start.get_submodule(layer), at, field)]
            expected = old[at] - rate * gradient[name][at] - STRENGTH * old[at] * max(0, 1 - sensitivity)
            assert model.get_parameter(name)[at].item() == pytest.approx(expected.item(), abs=1e-12), (name, at)


def test_only_what_is_listed_decays():
    model, task = network(), one_batch()
    start = copy.deepcopy(model)
    weights = prunable(model, task.example(), output_layer=False)
    assert sorted(weights) == ["0.weight", "2.weight"]
    decay = NeuronDecay(model, weights, STRENGTH, "lower")
    fit(model, task, Training(epochs=1, learning_rate=0.0, keep="last"), [decay])
    changed = [name for name, old in start.named_parameters() if not torch.equal(old, model.get_parameter(name))]
    assert changed == ["0.weight", "2.weight"]


def test_pinned_weights_stay_zero_through_momentum():
    model, task = network(), one_batch()
    training = Training(epochs=3, learning_rate=RATE, momentum=0.9, weight_decay=0.1, keep="last")
    weights = prunable(model, task.example())
    gone = torch.rand_like(model[4].weight) < 0.5
    masks = Masks(model)
    masks.prune("4.weight", gone)
    fit(model, task, training, [NeuronDecay(model, weights, STRENGTH, "lower"), masks])
    assert (model[4].weight[gone] == 0).all()
    assert (model[4].weight[~gone] != 0).all()

    fit(model, task, training, [NeuronDecay(model, weights, STRENGTH, "lower")])  # without masks they would come back
    assert (model[4].weight[gone] != 0).any()


@pytest.mark.parametrize("strength", [-0.1, 1.0, float("nan")])
def test_strengths_out_of_range_are_refused(strength):
    with pytest.raises(UserError, match="strength"):
        NeuronDecay(nn.Linear(1, 1), {}, strength, "lower")
