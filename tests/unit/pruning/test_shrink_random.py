"""Random networks, randomly pruned, some with constants left: shrinking never changes an output."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sliceflow.pruning.channels.groups import find_groups
from sliceflow.pruning.channels.shrink import shrink
from tests.support.pruning_networks import lively

ACTIVATIONS = (torch.relu, torch.sigmoid, functional.hardswish, functional.leaky_relu, torch.tanh)


class RandomNet(nn.Module):
    """Layers that read random earlier tensors; each step is (kind, layer, sources, function)."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.layers = nn.ModuleList()
        self.plan: list[tuple[str, int, list[int], int]] = []
        shapes = [(3, 0)]  # channels, and how often the map was halved
        for _ in range(int(rng.integers(4, 11))):
            kind = str(rng.choice(["conv", "conv", "conv1", "depthwise", "group", "norm", "add", "cat", "pool", "up"]))
            source = max(0, len(shapes) - 1 - int(rng.geometric(0.6)) + 1)
            count, level = shapes[source]
            same = [i for i, shape in enumerate(shapes) if i and shape == shapes[source]]
            function, layer, sources, made = int(rng.integers(-3, len(ACTIVATIONS))), None, [source], (count, level)
            bias = bool(rng.integers(2))
            if kind in ("conv", "conv1") or source == 0:
                size, kind, made = (1 if kind == "conv1" else 3), "conv", (int(rng.integers(4, 13)), level)
                mode = str(rng.choice(["zeros", "zeros", "reflect"]))
                layer = nn.Conv2d(count, made[0], size, padding=size // 2, bias=bias, padding_mode=mode)
            elif kind == "depthwise":
                layer = nn.Conv2d(count, count, 3, padding=1, groups=count, bias=bias)
            elif kind == "group" and count % 2 == 0:
                layer = nn.Conv2d(count, 8, 3, padding=1, groups=2, bias=bias)
                made = 8, level
            elif kind == "norm":
                layer = nn.BatchNorm2d(count)
            elif kind == "add" and len(same) > 1:
                sources = [int(rng.choice(same)), int(rng.choice(same))]
            elif kind == "cat":
                sources = [source, int(rng.choice([i for i, shape in enumerate(shapes) if shape[1] == level and i]))]
                made = count + shapes[sources[1]][0], level
            elif kind == "pool" and level < 2:
                made = count, level + 1
            elif kind == "up" and level > 0:
                layer, made = nn.ConvTranspose2d(count, 6, 2, stride=2, bias=bias), (6, level - 1)
            else:
                continue
            self.plan.append((kind, len(self.layers) if layer is not None else -1, sources, function))
            if layer is not None:
                self.layers.append(layer)
            shapes.append(made)
        read = {source for _, _, sources, _ in self.plan for source in sources}
        self.ends = [i for i in range(1, len(shapes)) if i not in read]  # nothing is computed in vain
        self.head = nn.Linear(sum(shapes[i][0] for i in self.ends), 4)

    def forward(self, x):
        values = [x]
        for kind, number, sources, function in self.plan:
            picked = [values[source] for source in sources]
            if number >= 0:
                y = self.layers[number](picked[0])
            elif kind == "pool":
                y = functional.avg_pool2d(picked[0], 2)
            else:
                y = torch.cat(picked, 1) if kind == "cat" else picked[0] + picked[1]
            values.append(ACTIVATIONS[function](y) if function >= 0 else y)
        return self.head(torch.cat([values[i].mean((2, 3)) for i in self.ends], 1))


def prune(model: nn.Module, example: torch.Tensor, everything: bool) -> int:
    """Prune channels at random, of some groups the weights only; returns how many."""
    parameters, count = dict(model.named_parameters()), 0
    for group in find_groups(model, example):
        gone = torch.rand(group.size) < 0.5
        count += int(gone.sum())
        for name, mask in group.parameters_of(gone):
            if everything or name.endswith("weight"):
                parameters[name].data[mask] = 0
    return count


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_nothing_changes(seed, everything):
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model, example = lively(RandomNet(seed)), torch.zeros(1, 3, 8, 8)
    prune(model, example, everything)
    before = copy.deepcopy(model).eval()
    report = shrink(model, example)
    assert report.totals()["parameters_after"] == sum(p.numel() for p in model.parameters()), seed
    model.eval()
    with torch.no_grad():
        for size in (8, 20):
            x = 3 * torch.randn(3, 3, size, size)
            expected, found = before(x), model(x)
            assert (expected - found).abs().max() <= 2e-5 * expected.abs().max(), (seed, size)
    assert shrink(model, example).totals()["parameters_before"] == report.totals()["parameters_after"], seed
    model.train()
    model(torch.randn(4, 3, 8, 8)).sum().backward()


def test_most_of_what_is_pruned_goes():
    """Not only is nothing changed: over many networks, what is wholly pruned goes."""
    torch.set_num_threads(1)
    pruned = gone = 0
    for seed in range(12):
        torch.manual_seed(seed)
        model, example = lively(RandomNet(seed)), torch.zeros(1, 3, 8, 8)
        pruned += prune(model, example, everything=True)
        totals = shrink(model, example).totals()
        gone += totals["channels_before"] - totals["channels_after"]
    assert gone > 0.7 * pruned
