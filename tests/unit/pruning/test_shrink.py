"""Cutting pruned channels out of live networks: outputs stay, training goes on as it would have."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from models import zoo
from sliceflow.errors import UserError
from sliceflow.frontend.torch import export_module
from sliceflow.passes.simplify import SimplifyOptions, simplify
from sliceflow.pruning.channels import observe
from sliceflow.pruning.channels.groups import find_groups
from sliceflow.pruning.channels.shrink import shrink
from sliceflow.pruning.training.masks import Masks
from tests.support.pruning_networks import lively


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


class Residual(nn.Module):
    """A sum, a depthwise convolution, norms without convolution biases."""

    def __init__(self):
        super().__init__()
        self.stem, self.n0 = nn.Conv2d(3, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12)
        self.a, self.n1 = nn.Conv2d(12, 16, 1, bias=False), nn.BatchNorm2d(16)
        self.d, self.n2 = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16)
        self.b, self.n3 = nn.Conv2d(16, 12, 1, bias=False), nn.BatchNorm2d(12)
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        x = self.n0(self.stem(x)).relu()
        y = self.n2(self.d(self.n1(self.a(x)).relu())).relu()
        return self.head((x + self.n3(self.b(y))).relu().mean((2, 3)))


class Segmentation(nn.Module):
    """Down, up by a transposed convolution and by interpolation, with concatenated skips."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 10, 3, padding=1, stride=2)
        self.c = nn.Conv2d(10, 12, 3, padding=1, stride=2)
        self.up = nn.ConvTranspose2d(12, 6, 2, stride=2)
        self.d, self.e = nn.Conv2d(16, 7, 3, padding=1), nn.Conv2d(15, 2, 1)

    def forward(self, x):
        a = self.a(x).relu()
        b = self.b(a).relu()
        y = self.d(torch.cat([self.up(self.c(b).relu()), b], 1)).relu()
        return self.e(torch.cat([functional.interpolate(y, scale_factor=2), a], 1))


class Dense(nn.Module):
    """A norm over concatenated channels, and PReLU for each channel."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 3, padding=1)
        self.n, self.p, self.c = nn.BatchNorm2d(10), nn.PReLU(10), nn.Conv2d(10, 5, 1)
        self.f, self.g = nn.Linear(5 * 4, 9), nn.Linear(9, 3)

    def forward(self, x):
        a = self.a(x).relu()
        y = self.c(self.p(self.n(torch.cat([a, self.b(a)], 1)))).relu()
        return self.g(self.f(functional.adaptive_avg_pool2d(y, 2).flatten(1)).tanh())


class Perceptron(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(3 * 64, 20), nn.ReLU(), nn.Linear(20, 15), nn.ReLU(), nn.Linear(15, 4))


NETWORKS = {kind.__name__: kind for kind in (Residual, Segmentation, Dense, Perceptron)}
EXAMPLE = torch.zeros(1, 3, 8, 8)


def pruned(model: nn.Module, example=EXAMPLE, share: float = 0.5, kinds: tuple[str, ...] = ()) -> tuple[Masks, int]:
    """Prune random channels; one at least stays of each group. Returns the masks, and how many channels are left."""
    masks, left = Masks(model), 0
    for group in find_groups(model, example):
        gone = torch.rand(group.size) < share
        gone[int(torch.randint(group.size, ()))] = False
        for name, mask in group.parameters_of(gone):
            if not kinds or name.endswith(kinds):
                masks.prune(name, mask)
        left += int((~gone).sum()) * len(group.makers)
    return masks, left


def difference(old: nn.Module, new: nn.Module, size: int) -> float:
    with torch.no_grad():
        x = torch.randn(2, 3, size, size)
        a, b = old.eval()(x), new.eval()(x)
    assert a.shape == b.shape
    return float((a - b).abs().max() / a.abs().max())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_stay_and_every_pruned_channel_goes(name, seed):
    model = lively(NETWORKS[name](), seed)
    _, left = pruned(model, share=0.3 + 0.15 * seed)
    before = copy.deepcopy(model)
    report = shrink(model, EXAMPLE)
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))]
    made = sum(layer.weight.shape[isinstance(layer, nn.ConvTranspose2d)] for layer in layers)
    depthwise = sum(layer.out_channels for layer in layers if getattr(layer, "groups", 1) > 1)
    head = report.layers[-1].after.outputs
    assert made - depthwise - head == left, f"seed {seed}"
    assert report.totals()["parameters_after"] == sum(p.numel() for p in model.parameters())
    assert (report.held, report.folded) == ([], 0)
    for size in (8,) if name == "Perceptron" else (8, 20):
        assert difference(before, model, size) < 1e-5, f"seed {seed}"


@pytest.mark.parametrize("kind", ["sgd", "nesterov", "adam"])
@pytest.mark.parametrize(("name", "training"), [("Residual", True), ("Residual", False), ("Segmentation", True)])
def test_training_goes_on_as_it_would_have(name, training, kind):
    whole = lively(NETWORKS[name](), 3)
    batches = [torch.randn(6, 3, 8, 8) for _ in range(9)]

    def optimizer_of(model):
        if kind == "adam":
            return torch.optim.AdamW(model.parameters(), lr=0.003, weight_decay=0.01)
        return torch.optim.SGD(
            model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-3, nesterov=kind == "nesterov"
        )

    def train(model, optimizer, masks, part):
        model.train(training)
        for x in part:
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
            masks.apply()

    masks, _ = pruned(whole)
    optimizer = optimizer_of(whole)
    train(whole, optimizer, masks, batches[:3])
    small = copy.deepcopy(whole)
    small_optimizer, small_masks = optimizer_of(small), Masks(small, dict(masks.items()))
    small_optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    report = shrink(small, EXAMPLE, optimizer=small_optimizer, masks=small_masks)
    assert report.totals()["parameters_after"] < 0.7 * report.totals()["parameters_before"]
    train(whole, optimizer, masks, batches[3:])
    train(small, small_optimizer, small_masks, batches[3:])
    assert difference(whole, small, 8) < 2e-5
    forgetful = copy.deepcopy(small)  # without what the optimizer remembers, training takes another way
    train(forgetful, optimizer_of(forgetful), Masks(forgetful), batches)
    train(small, small_optimizer, small_masks, batches)
    assert difference(small, forgetful, 8) > 1e-4


def test_gradients_are_cut_too():
    model = lively(Residual(), 0)
    pruned(model)
    model(torch.randn(2, 3, 8, 8)).sum().backward()
    grad = model.head.weight.grad.clone()
    kept = model.n0.weight != 0
    shrink(model, EXAMPLE)
    assert all(p.grad.shape == p.shape for p in model.parameters())
    assert torch.equal(model.head.weight.grad, grad[:, kept])


class Chain(nn.Module):
    """Two convolutions, the second one as told; a function between them."""

    def __init__(self, function, **options):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 3, **options)
        self.c, self.function = nn.Conv2d(4, 2, 1), function

    def forward(self, x):
        return self.c(self.b(self.function(self.a(x))).relu())


@pytest.mark.parametrize("function", [torch.relu, torch.sigmoid, lambda x: functional.avg_pool2d(x.tanh(), 2, 1)])
@pytest.mark.parametrize(
    ("options", "left"),
    [({}, 5), ({"padding": 1, "padding_mode": "replicate"}, 5), ({"padding": 1}, 8), ({"bias": False}, 8)],
)
def test_constants_move_into_biases_or_stay(function, options, left):
    torch.manual_seed(1)
    model = Chain(function, **options)
    with torch.no_grad():
        model.a.weight[[1, 4, 6]] = 0
        model.a.bias[[1, 4, 6]] = torch.tensor([0.7, 0.2, 1.1])
    before = copy.deepcopy(model)
    report = shrink(model, EXAMPLE)
    assert (model.a.out_channels, model.b.in_channels) == (left, left)
    assert report.folded == 8 - left
    assert [held.channels for held in report.held] == ([3] if left == 8 else [])
    for size in (8, 13):
        assert difference(before, model, size) < 1e-5


def test_sigmoid_of_nothing_is_half():
    """Zero weights and biases are not enough: what the reader sees counts."""
    model = Chain(torch.sigmoid, padding=1)
    pruned(model, kinds=("a.weight", "a.bias"))
    report = shrink(model, EXAMPLE)
    assert model.a.out_channels == 8
    assert "b, which pads with zeros" in report.held[0].reason


def test_a_border_that_shows_only_after_pooling_is_not_folded():
    """Constants behind a padded depthwise convolution depend on the map's size once they are averaged."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.d = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, padding=1, groups=6)
            self.f = nn.Linear(6, 2)

        def forward(self, x):
            return self.f(self.d(self.a(x)).mean((2, 3)))

    torch.manual_seed(0)
    model = Net()
    model.a.weight.data[:2] = 0
    before = copy.deepcopy(model)
    report = shrink(model, EXAMPLE)
    assert (model.a.out_channels, report.folded) == (6, 0)
    model.a.bias.data[:2] = before.a.bias.data[:2] = 0
    shrink(model, EXAMPLE)
    assert model.a.out_channels == 4  # the depthwise bias is left: the same at any size
    assert difference(before, model, 17) < 1e-6


def test_live_filters_whose_weights_add_up_to_zero_stay():
    model = Chain(torch.relu)
    with torch.no_grad():
        model.a.weight[2] = torch.tensor([[1.0, -1, 0], [-1, 1, 0], [0, 0, 0]])
    assert model.a.weight[2].sum() == 0
    shrink(model, EXAMPLE)
    assert model.a.out_channels == 8


def test_a_whole_layer_keeps_one_channel_and_outputs_stay():
    model = Chain(torch.relu)
    for parameter in model.parameters():
        parameter.data.zero_()
    shrink(model, EXAMPLE)
    assert [m.out_channels for m in (model.a, model.b, model.c)] == [1, 1, 2]


def test_channels_that_nobody_reads_go_and_so_do_their_makers():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    with torch.no_grad():
        model[4].weight[:, [1, 3]] = 0
        model[2].weight[[0, 2, 4], 5] = 0  # 5 is read by 1 and 3 only
    before = copy.deepcopy(model)
    shrink(model, torch.zeros(1, 4))
    assert (model[0].out_features, model[2].out_features) == (5, 3)
    x = torch.randn(9, 4)
    assert torch.allclose(before(x), model(x), atol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "outputs", "left"),
    [([4, 5, 6, 7], range(8, 16), (4, 8, 2)), ([1, 4], [], (8, 16, 4)), ([1, 2, 5, 7], [3, 7, 11, 12], (4, 12, 4))],
)
def test_groups_stay_equally_large(inputs, outputs, left):
    """Two of four groups go as a whole; two of four lose an input, which is too few; all lose an input and output."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.g = nn.Conv2d(3, 8, 1, bias=False), nn.Conv2d(8, 16, 3, padding=1, groups=4, bias=False)
            self.c = nn.Conv2d(16, 3, 1)

        def forward(self, x):
            return self.c(self.g(self.a(x)).relu())

    model = Net()
    model.a.weight.data[inputs] = 0
    model.g.weight.data[list(outputs)] = 0
    before = copy.deepcopy(model)
    shrink(model, EXAMPLE)
    assert (model.a.out_channels, model.g.out_channels, model.g.groups) == left
    assert difference(before, model, 9) < 1e-6


class Odd(nn.Module):
    """Something happens to the channels that no layer shows."""

    def __init__(self, what):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)
        self.what = what

    def forward(self, x):
        return self.b(self.what(self.a(x).relu()))


@pytest.mark.parametrize(
    "what", [lambda x: x / (1 + x.mean(1, keepdim=True)), lambda x: functional.local_response_norm(x, 3, 1.0)]
)
def test_what_is_not_understood_stays_and_is_taken_back(what):
    torch.manual_seed(0)
    model = Odd(what)
    masks, _ = pruned(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    model(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    masks.apply()
    moments = copy.deepcopy(optimizer.state_dict())["state"]
    before = copy.deepcopy(model.state_dict())
    (held,) = shrink(model, EXAMPLE, optimizer=optimizer, masks=masks).held
    assert held.group == "a"
    assert "its outputs would differ" in held.reason
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(mask.shape == before[name].shape for name, mask in masks.items())
    for index, parameter in enumerate(model.parameters()):
        assert optimizer.param_groups[0]["params"][index] is parameter
        assert torch.equal(optimizer.state[parameter]["momentum_buffer"], moments[index]["momentum_buffer"])
    assert (model.a.out_channels, model.b.in_channels) == (8, 8)


def test_layers_whose_results_are_thrown_away_hold_what_they_read():
    """Nothing shows that they read the channels, until the network is run without them."""

    class Wasteful(Odd):
        def __init__(self):
            super().__init__(lambda x: x)
            self.unused = nn.BatchNorm2d(8)

        def forward(self, x):
            self.unused(self.a(x))
            return super().forward(x)

    torch.manual_seed(0)
    model = Wasteful()
    pruned(model)
    before = copy.deepcopy(model.state_dict())
    (held,) = shrink(model, EXAMPLE).held
    assert "does not run without them" in held.reason
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_wrong_constant_is_caught(monkeypatch):
    model = Chain(torch.sigmoid, padding=1)
    pruned(model, kinds=("a.weight", "a.bias"))
    monkeypatch.setattr(
        observe,
        "constant_inputs",
        lambda model, inputs: {m: torch.zeros(m.weight.shape[1]) for m in (model.b, model.c)},
    )
    (held,) = shrink(model, EXAMPLE).held
    assert "would differ" in held.reason
    assert model.a.weight.shape[0] == 8


def test_layers_that_cannot_lose_channels_hold_them():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Conv2d(4, 2, 1))
    pruned(model)
    report = shrink(model, EXAMPLE)
    assert model[0].out_channels == 8
    assert "1 (GroupNorm) cannot lose channels" in report.held[0].reason
    assert model[3].out_channels < 4


def test_protected_layers_stay():
    torch.manual_seed(0)
    model = Chain(torch.relu)
    pruned(model)
    shrink(model, EXAMPLE, protect=("a",))
    assert model.a.out_channels == 8
    assert model.b.out_channels < 4


def test_an_optimizer_state_of_another_shape_is_refused():
    model = Chain(torch.relu)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    optimizer.state[model.a.weight]["rows"] = torch.zeros(8)
    with pytest.raises(UserError, match=r"'rows'.*\n.*a\.weight"):
        shrink(model, EXAMPLE, optimizer=optimizer)


def test_sizes_in_the_code_hold_the_channels_in_front_of_them():
    """The digit network reshapes to a fixed number of columns; ONNX has no such code."""
    torch.manual_seed(5)
    model = zoo.seed_weights(zoo.build(zoo.entry("vgg-mnist").shape), 5)
    example = torch.zeros(1, 1, 28, 28)
    _, left = pruned(model, example)
    exported = export_module(model, example, older_first=True)
    report = shrink(model, example)
    assert [held.group for held in report.held] == ["features.17"]
    simplify(exported, SimplifyOptions())
    outputs = [node.outputs[0].shape[1] for node in exported.graph if node.op_type in ("Conv", "Gemm")]
    assert sum(outputs) == left + 10
    assert [*outputs[:5], *outputs[6:]] == [
        layer.after.outputs for layer in report.layers if layer.kind != "BatchNorm2d" and layer.name != "features.17"
    ]


@pytest.mark.parametrize("name", ["Residual", "Segmentation"])
def test_export_and_simplification_find_the_same_channels(name):
    model = lively(NETWORKS[name](), 8)
    pruned(model)
    exported = export_module(model, EXAMPLE, older_first=True)
    simplify(exported, SimplifyOptions())
    shrink(model, EXAMPLE)
    by_op = {"Conv": nn.Conv2d, "ConvTranspose": nn.ConvTranspose2d, "Gemm": nn.Linear}
    for op, kind in by_op.items():
        found = sorted(node.outputs[0].shape[1] for node in exported.graph if node.op_type == op)
        expected = sorted(m.weight.shape[op == "ConvTranspose"] for m in model.modules() if type(m) is kind)
        assert found == expected
