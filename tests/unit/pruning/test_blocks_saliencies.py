"""Saliencies equal what slow, obvious computations give."""

import copy

import block_networks
import pytest
import torch
from block_networks import task
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from sliceflow.pruning.blocks.network import BlockNetwork
from sliceflow.pruning.blocks.saliencies import SALIENCIES, Context

TASK = task()
IMAGES, LABELS = (torch.cat(parts) for parts in zip(*TASK.validation, strict=True))


@pytest.fixture(scope="module", name="trained")
def trained_network() -> nn.Module:
    return block_networks.trained()


def scores(name: str, model: nn.Module, **options) -> list[float]:
    network = BlockNetwork(copy.deepcopy(model), IMAGES)
    before = copy.deepcopy(network.model.state_dict())
    found = SALIENCIES[name](Context(network, TASK, **options))
    assert list(found) == list(network.blocks)
    after = network.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(parameter.grad is None for parameter in network.model.parameters())
    return list(found.values())


def maps_of(model: nn.Module, gone: int | None = None) -> list[tuple[Tensor, Tensor]]:
    """What enters and leaves each block."""
    found, maps = [], model.stem(IMAGES)
    for index, block in enumerate(model.blocks):
        entered = maps
        if index != gone:
            maps = torch.relu(block.layers(maps) + block.shortcut(maps))
        elif not isinstance(block.shortcut, nn.Identity):
            maps = torch.relu(block.shortcut(maps))
        found.append((entered, maps))
    return found


def logits(model: nn.Module, gone: int | None = None) -> Tensor:
    return model.head(maps_of(model, gone)[-1][1].mean((2, 3)))


@torch.no_grad()
def test_oracle(trained: nn.Module) -> None:
    expected = [-float((logits(trained, i).argmax(1) == LABELS).float().mean()) for i in range(6)]
    assert scores("oracle", trained) == pytest.approx(expected)
    assert len(set(expected)) > 1


@torch.no_grad()
def test_activation_mean(trained: nn.Module) -> None:
    maps = maps_of(trained)
    branch = [float(b.layers(x).abs().mean()) for b, (x, _) in zip(trained.blocks, maps, strict=True)]
    assert scores("activation-mean", trained) == pytest.approx(branch, rel=1e-5)
    assert scores("activation-mean", trained, measured="block") == pytest.approx(
        [float(y.abs().mean()) for _, y in maps], rel=1e-5
    )


def change(trained: nn.Module) -> list[float]:
    found = []
    for block, (x, y) in zip(trained.blocks, maps_of(trained), strict=True):
        plain = isinstance(block.shortcut, nn.Identity)
        found.append(float(mse_loss(x if plain else torch.relu(block.shortcut(x)), y)))
    return found


@torch.no_grad()
def test_activation_change(trained: nn.Module) -> None:
    assert scores("activation-change", trained) == pytest.approx(change(trained), rel=1e-5)


@torch.no_grad()
def test_activation_change_next(trained: nn.Module) -> None:
    full = maps_of(trained)
    expected = [float(mse_loss(maps_of(trained, i)[i + 1][1], full[i + 1][1])) for i in range(5)]
    assert scores("activation-change-next", trained) == pytest.approx([*expected, change(trained)[5]], rel=1e-5)


def test_gradient_equals_a_difference_quotient(trained: nn.Module) -> None:
    inputs, targets = next(iter(TASK.validation))
    model = copy.deepcopy(trained).double()
    network = BlockNetwork(model, inputs.double())
    expected = []
    for block in network.blocks.values():
        losses = []
        for gate in (1 - 1e-5, 1 + 1e-5):
            block.gate = gate
            with torch.no_grad():
                losses.append(float(nn.functional.cross_entropy(model(inputs.double()), targets)))
        block.gate = 1.0
        expected.append(abs(losses[1] - losses[0]) / 2e-5)
    assert scores("gradient", trained) == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert scores("gradient-max", trained) == pytest.approx([-score for score in expected], rel=1e-3, abs=1e-6)


@torch.no_grad()
def test_weights_mean(trained: nn.Module) -> None:
    expected = []
    for block in trained.blocks:
        weights = torch.cat([block.layers[0].weight.flatten(), block.layers[3].weight.flatten()])
        expected.append(float(weights.abs().mean()))
    assert scores("weights-mean", trained) == pytest.approx(expected)


def test_random_scores_depend_on_the_seed(trained: nn.Module) -> None:
    assert scores("random", trained, seed=1) == scores("random", trained, seed=1)
    assert scores("random", trained, seed=1) != scores("random", trained, seed=2)


def test_training_mode_does_not_matter(trained: nn.Module) -> None:
    """Batch statistics would change every score: the deliberate fault."""
    in_training = copy.deepcopy(trained).train()
    assert scores("activation-change", in_training) == pytest.approx(scores("activation-change", trained), rel=1e-5)
    with torch.no_grad():
        batch = [float((x - y).abs().mean()) for x, y in maps_of(in_training)[:1]]
        running = [float((x - y).abs().mean()) for x, y in maps_of(trained)[:1]]
    assert batch != pytest.approx(running, rel=1e-2)
