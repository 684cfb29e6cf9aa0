"""LOBSTER's update in its two forms, and in training."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from sliceflow.pruning.regularized.decay import insensitivity
from sliceflow.pruning.regularized.lobster import GradientDecay, effective_rate
from sliceflow.pruning.training.fit import Training, fit
from sliceflow.pruning.training.resplit import TensorLoader
from sliceflow.pruning.training.task import Task


@pytest.mark.parametrize("seed", range(5))
def test_both_forms_of_the_update_agree(seed):
    rng = torch.Generator().manual_seed(seed)
    weight = 3 * torch.randn(1000, generator=rng, dtype=torch.float64)
    gradient = 1.5 * torch.randn(1000, generator=rng, dtype=torch.float64)
    gradient[:3] = torch.tensor([0.0, 1.0, -1.0])
    rate, strength = 0.1, 0.01
    first = weight - rate * gradient - strength * weight * insensitivity(gradient.abs())
    decaying = weight * (gradient.abs() < 1)
    second = weight - strength * decaying - gradient * effective_rate(weight, gradient, rate, strength)
    torch.testing.assert_close(first, second, rtol=1e-14, atol=1e-14)
    swapped = weight - strength * decaying - gradient * (2 * rate - effective_rate(weight, gradient, rate, strength))
    assert not torch.allclose(first, swapped)  # a wrong sign would be seen


def test_cases_of_the_definition():
    rate, strength = 0.1, 0.01
    gradient = torch.tensor([0.0, 0.5, 0.5, 1.0, -2.0], dtype=torch.float64)
    weight = torch.tensor([2.0, 2.0, -2.0, 2.0, 2.0], dtype=torch.float64)
    assert insensitivity(gradient.abs()).tolist() == [1, 0.5, 0.5, 0, 0]
    rates = effective_rate(weight, gradient, rate, strength)
    assert rates[1] < rate < rates[2]  # same sign: slower; other sign: faster
    assert rates[3] == rates[4] == rate  # sensitive: plain gradient descent


def test_relative_insensitivity_does_not_depend_on_scale():
    sensitivity = torch.tensor([0.0, 0.001, 0.002, 0.005])
    assert insensitivity(sensitivity, relative=True).tolist() == pytest.approx([1, 0.5, 0, 0])
    assert insensitivity(1e-6 * sensitivity, relative=True).tolist() == pytest.approx([1, 0.5, 0, 0])
    assert insensitivity(torch.zeros(2), relative=True).tolist() == [1, 1]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_training_uses_the_raw_gradient_of_the_batch(momentum):
    """Two steps by hand: momentum and the optimizer's weight decay move weights, but do not enter the sensitivity."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    inputs, targets = 4 * torch.randn(6, 4).double(), torch.tensor([0, 1, 2, 2, 1, 0])
    loader = TensorLoader(inputs, targets, 6)
    rate, decay, strength = 0.2, 0.3, 0.4
    manual = copy.deepcopy(model)
    speeds = [torch.zeros_like(p) for p in manual.parameters()]
    for _ in range(2):
        raw = torch.autograd.grad(functional.cross_entropy(manual(inputs), targets), list(manual.parameters()))
        with torch.no_grad():
            for weight, gradient, speed in zip(manual.parameters(), raw, speeds, strict=True):
                speed.mul_(momentum).add_(gradient + decay * weight)
                weight.sub_(rate * speed + strength * weight * torch.relu(1 - gradient.abs()))
    training = Training(epochs=2, learning_rate=rate, momentum=momentum, weight_decay=decay, keep="last")
    task = Task(train=loader, validation=loader, test=loader)
    fit(model, task, training, [GradientDecay(dict(model.named_parameters()), strength)])
    for name, expected in manual.named_parameters():
        torch.testing.assert_close(model.get_parameter(name), expected, msg=name)
