"""Sensitivities against full Jacobians, which know nothing of hooks and backward passes."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from sliceflow.errors import UserError
from sliceflow.pruning.regularized.serene import sensitivities, sensitivity_maps

SEEDS = range(6)


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.norm(self.conv(x)) + x)


def mlp(seed: int) -> tuple[nn.Module, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    sizes = torch.randint(2, 9, (4,), generator=rng).tolist()
    activation = (nn.ReLU(), nn.Tanh(), nn.Sigmoid())[seed % 3]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), activation]
    return randomized(nn.Sequential(*layers[:-1]), seed), torch.randn(3, sizes[0], generator=rng, dtype=torch.float64)


def convnet(seed: int) -> tuple[nn.Module, torch.Tensor]:
    groups = 1 + seed % 2
    pool = (nn.MaxPool2d(2), nn.AvgPool2d(2))[seed // 2 % 2]
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=seed % 3, stride=1 + seed % 2, bias=seed % 2 == 0),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, 3, padding=1, groups=groups),
        nn.ReLU(inplace=True),
        pool,
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    images = torch.randn(2, 2, 9, 9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return randomized(model, seed), images


def residual(seed: int) -> tuple[nn.Module, torch.Tensor]:
    model = nn.Sequential(Residual(3), Residual(3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    images = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return randomized(model, seed), images


def randomized(model: nn.Module, seed: int) -> nn.Module:
    rng = torch.Generator().manual_seed(seed + 1000)
    for parameter in model.double().parameters():
        parameter.data = torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
    for name, buffer in model.named_buffers():
        if name.endswith(("mean", "var")):
            buffer.copy_(torch.rand(buffer.shape, generator=rng, dtype=torch.float64) + 0.5)
    return model.eval()


def jacobian(model: nn.Module, at: str, example: torch.Tensor) -> torch.Tensor:
    """Derivatives ``[outputs, ...]`` of all outputs for one example by what is added to the output of a module."""
    module = model.get_submodule(at)
    shapes = []
    handle = module.register_forward_hook(lambda _m, _i, output: shapes.append(output.shape))
    model(example[None])
    handle.remove()

    def outputs(added: torch.Tensor) -> torch.Tensor:
        hook = module.register_forward_hook(lambda _m, _i, output: output + added)
        try:
            return model(example[None])[0]
        finally:
            hook.remove()

    found = torch.autograd.functional.jacobian(outputs, torch.zeros(shapes[0], dtype=example.dtype))
    return found.reshape(-1, *shapes[0][1:])


def potential_at(model: nn.Module, layer: str) -> str:
    """The module whose output enters the activation: the batch normalization behind a layer, or the layer."""
    names = [name for name, _ in model.named_modules()]
    following = names[names.index(layer) + 1 :][:1]
    norm = bool(following) and isinstance(model.get_submodule(following[0]), nn.BatchNorm2d)
    return following[0] if norm else layer


@pytest.mark.parametrize("make", [mlp, convnet, residual])
@pytest.mark.parametrize("seed", SEEDS)
def test_exact_and_lower_are_those_of_the_full_jacobian(make, seed):
    model, inputs = make(seed)
    exact, lower = sensitivity_maps(model, inputs, "exact"), sensitivity_maps(model, inputs, "lower")
    layers = [name for name, m in model.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    assert sorted(exact) == sorted(layers)
    for name in layers:
        full = torch.stack([jacobian(model, potential_at(model, name), example) for example in inputs])
        torch.testing.assert_close(exact[name], full.abs().mean(1))
        torch.testing.assert_close(lower[name], full.mean(1).abs())


@pytest.mark.parametrize("make", [mlp, convnet])
@pytest.mark.parametrize("seed", SEEDS)
def test_upper_is_the_product_of_absolute_jacobians(make, seed):
    model, inputs = make(seed)
    upper = sensitivity_maps(model, inputs, "upper")
    norms = (nn.BatchNorm2d,)
    for row, example in enumerate(inputs):
        values, jacobians = example[None], []
        for module in model:
            jacobians.append(flat_jacobian(module, values).abs())
            values = module(values.clone())
        for index, module in enumerate(model):
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                behind = index + (2 if isinstance(model[min(index + 1, len(model) - 1)], norms) else 1)
                bound = torch.ones(1, values.numel(), dtype=values.dtype) / values.numel()
                for matrix in reversed(jacobians[behind:]):
                    bound = bound @ matrix
                torch.testing.assert_close(upper[str(index)][row].flatten(), bound[0])


def flat_jacobian(module: nn.Module, values: torch.Tensor) -> torch.Tensor:
    found = torch.autograd.functional.jacobian(lambda x: module(x.clone()), values)
    return found.reshape(-1, values.numel())


@pytest.mark.parametrize("make", [mlp, convnet, residual])
@pytest.mark.parametrize("seed", SEEDS)
def test_lower_is_below_exact_is_below_upper(make, seed):
    model, inputs = make(seed)
    bounds = [sensitivity_maps(model, inputs, kind) for kind in ("lower", "exact", "upper")]
    means = [sensitivities(model, inputs, kind) for kind in ("lower", "exact", "upper")]
    for lower, exact, upper in (bounds, means):
        for name in exact:
            assert (lower[name] <= exact[name] * (1 + 1e-9) + 1e-12).all(), (seed, name)
            assert (exact[name] <= upper[name] * (1 + 1e-9) + 1e-12).all(), (seed, name)
    if make is not mlp:  # where all neurons may be off
        first = next(iter(bounds[1]))
        assert (bounds[0][first] < 0.9 * bounds[1][first]).any()  # the three differ
        assert (bounds[1][first] < 0.9 * bounds[2][first]).any()


def test_absolute_values_come_before_every_mean():
    """Over classes for the exact one, over examples for all: derivatives of opposite sign must not cancel."""
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 2, bias=False)).double()
    model[1].weight.data = torch.tensor([[2.0], [-2.0]], dtype=torch.float64)
    inputs = torch.ones(1, 1, dtype=torch.float64)
    assert sensitivities(model, inputs, "exact")["0"].item() == 2
    assert sensitivities(model, inputs, "lower")["0"].item() == 0

    class Square(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 1, bias=False).double()

        def forward(self, x):
            return self.layer(x) ** 2

    square = Square()
    square.layer.weight.data.fill_(1)
    opposite = torch.tensor([[3.0], [-3.0]], dtype=torch.float64)
    assert sensitivities(square, opposite, "lower")["layer"].item() == 6


def test_a_filter_counts_by_its_mean_over_examples_and_positions():
    model, images = convnet(0)
    found, maps = sensitivities(model, images, "exact"), sensitivity_maps(model, images, "exact")
    for position in range(4):
        assert found["0"][position].item() == pytest.approx(maps["0"][:, position].mean().item())
    assert found["8"].tolist() == pytest.approx([1 / 3] * 3)  # an output depends on itself alone


def test_the_derivative_is_by_the_potential_not_by_the_activation():
    """A neuron that is off is insensitive, though the outputs would feel its activation."""
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(inplace=True), nn.Linear(2, 1))
    model[0].weight.data, model[0].bias.data = torch.ones(2, 1), torch.tensor([1.0, -5.0])
    for kind in ("exact", "lower", "upper", "local"):
        found = sensitivities(model, torch.ones(4, 1), kind)["0"]
        assert found[0] > 0, kind
        assert found[1] == 0, kind


def test_local_is_the_share_of_examples_with_a_positive_potential():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 2))
    model[0].weight.data.fill_(1)
    inputs = torch.tensor([[-1.0], [0.0], [0.5], [2.0]])  # at 0 the neuron is off
    found = sensitivities(model, inputs, "local")
    assert found["0"].tolist() == [0.5]
    assert found["2"].tolist() == [1, 1]


def test_maps_of_outputs_count_by_their_mean():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 3, 1)).double()
    images = torch.randn(1, 1, 2, 2, dtype=torch.float64)
    full = jacobian(model, "0", images[0]).reshape(3, 4, 2, 2, 2).mean(1)
    torch.testing.assert_close(sensitivity_maps(model, images, "exact")["0"][0], full.abs().mean(0))


def test_nothing_of_the_network_changes():
    model, images = convnet(1)
    model.train()
    model[5].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for kind in ("exact", "lower", "upper", "local"):
        sensitivities(model, images, kind)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training
    assert not model[5].training
    assert not any(module._forward_hooks for module in model.modules())


def test_frozen_layers_have_sensitivities():
    model, inputs = mlp(0)
    expected = sensitivities(model, inputs, "exact")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name, value in sensitivities(model, inputs, "exact").items():
        torch.testing.assert_close(value, expected[name])


class Falling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x):
        return self.second(-self.first(x))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(self.layer(x))


class Between(nn.Module):
    """Two layers, and a function between them."""

    def __init__(self, function) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
        self.function = function

    def forward(self, x):
        return self.second(self.function(self.first(x)))


FUNCTIONS = {
    "tanh": torch.tanh,
    "method": lambda p: p.sigmoid(),
    "gelu": functional.gelu,
    "gelu-tanh": lambda p: functional.gelu(p, approximate="tanh"),
    "leaky": lambda p: functional.leaky_relu(p, 0.3),
    "elu": functional.elu,
    "silu": functional.silu,
    "mish": nn.Mish(),
    "hardswish": nn.Hardswish(),
    "softplus": lambda p: functional.softplus(p, beta=2),
    "in place": lambda p: torch.tanh_(p),
    "relu in place": lambda p: functional.relu(p, inplace=True),
    "named": lambda p: functional.hardtanh(input=p, min_val=-0.5, max_val=0.4),
    "clamp": lambda p: p.clamp(min=0, max=0.5),
    "prelu": nn.PReLU(2, 0.2),
    "viewed": lambda p: torch.tanh(p.reshape(2, -1)).reshape(-1, 2),
    "twice": lambda p: 2 * torch.tanh(p) + 1,
    "dropout": nn.Sequential(nn.Dropout(), nn.Softsign()),
    "none": lambda p: p,
    "viewed only": lambda p: p.contiguous().clone(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_local_is_the_derivative_of_the_activation_whatever_its_form(name):
    """Against automatic differentiation of the function alone."""
    function = FUNCTIONS[name]
    outer = {"twice": torch.tanh}.get(name, function)  # what comes behind the activation is not part of it
    model = randomized(Between(function), 3).eval()
    inputs = torch.randn(6, 2, dtype=torch.float64)
    potential = model.first(inputs).detach().requires_grad_()
    (expected,) = torch.autograd.grad(outer(potential.clone()).sum(), potential)
    found = sensitivity_maps(model, inputs, "local")
    torch.testing.assert_close(found["first"], expected.abs())
    assert found["second"].eq(1).all()
    torch.testing.assert_close(sensitivities(model, inputs, "local")["first"], expected.abs().mean(0))


class FunctionalNet(nn.Module):
    """Convolution, norm, maxima, a residual sum: as the function of the whole says."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 2)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        x = torch.tanh(functional.max_pool2d(self.norm(self.a(x)), 2))
        return self.c(functional.elu(self.b(x) + x).mean((2, 3)))


def test_local_through_norms_maxima_and_residual_sums():
    model = randomized(FunctionalNet(), 5).eval()
    images = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    found = sensitivity_maps(model, images, "local")
    with torch.no_grad():
        p = model.norm(model.a(images))
        torch.testing.assert_close(found["a"], 1 - torch.tanh(p) ** 2)
        x = torch.tanh(functional.max_pool2d(p, 2))
        total = model.b(x) + x
        torch.testing.assert_close(found["b"], torch.where(total > 0, 1.0, total.exp()))


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.SiLU(), nn.Linear(2, 2)), "upper", "'silu'"),
        (Falling(), "upper", "'neg'"),
        (Between(lambda p: functional.gelu(p)), "upper", "'gelu'"),
        (Between(lambda p: 1 - p), "upper", "'rsub'"),
        (Between(lambda p: -0.5 * p), "upper", "'mul'"),
        (Between(lambda p: functional.linear(p, torch.tensor([[-1.0, 0.0], [0.0, 1.0]]))), "upper", "'linear'"),
        (Between(lambda p: p * torch.sigmoid(p)), "local", "'mul' reads what it makes"),
        (Between(lambda p: torch.softmax(p, 1)), "local", "'softmax' reads what it makes"),
        (Between(lambda p: p + p.relu()), "local", "several functions|reads what it makes"),
        (Between(lambda p: p[:, :2].relu()), "local", "'getitem' reads what it makes"),
        (Between(lambda p: functional.gelu(functional.max_pool1d(p[None], 1)[0])), "local", "reads what it makes"),
        (Between(lambda p: functional.dropout(p, 0.5).relu()), "local", "'dropout' reads what it makes"),
        (Twice(), "exact", "more than once"),
    ],
)
def test_networks_that_do_not_suit_are_refused(model, kind, message):
    with pytest.raises(UserError, match=message):
        sensitivities(model, torch.randn(3, 2), kind)
