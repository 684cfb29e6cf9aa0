"""Blocks are found however they are written; what is left without them is their shortcut."""

import copy

import pytest
import torch
from block_networks import Inline, Inverted, Stages, cifar, inline, restless
from torch import Tensor, nn

from models.resnet import ResNet, ResNetShape
from models.resnet_cifar import CifarResNet, of_depth
from models.resnet_cifar import network as build_network
from sliceflow.errors import UserError
from sliceflow.pruning.blocks.dead import remove_dead_blocks
from sliceflow.pruning.blocks.network import BlockNetwork, find_residuals
from sliceflow.pruning.blocks.residual import split
from sliceflow.pruning.channels.macs import macs

IMAGES = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("layers", "parameters"), [(20, 272_474), (32, 466_906), (44, 661_338), (56, 855_770), (110, 1_730_714)]
)
def test_sizes_of_published_networks(layers: int, parameters: int) -> None:
    assert sum(p.numel() for p in CifarResNet(of_depth(layers)).parameters()) == parameters


def test_layers_that_are_no_residual_network() -> None:
    with pytest.raises(UserError, match="6n \\+ 2"):
        of_depth(21)
    assert build_network(8, width=4, classes=3, in_channels=1)(torch.zeros(2, 1, 8, 8)).shape == (2, 3)


def test_sizes_of_published_removals() -> None:
    """Blocks of ResNet-110, and the shares of parameters that its published prunings removed."""
    network = BlockNetwork(CifarResNet(of_depth(110)).eval(), torch.zeros(1, 3, 8, 8))
    groups = [[n for n, stage in network.stages.items() if stage == group] for group in range(3)]
    assert [len(group) for group in groups] == [18, 18, 18]
    for group, (first, other) in zip(groups, ((4_672, 4_672), (13_952, 18_560), (55_552, 73_984)), strict=True):
        for name, expected in ((group[0], first), (group[1], other)):
            with network.without(name):
                assert 1_730_714 - network.parameters == expected, name
    for counts, percent in (((0, 1, 0), 1.07), ((0, 2, 1), 6.42), ((3, 16, 8), 52.17), ((12, 17, 16), 89.87)):
        gone = [name for group, count in zip(groups, counts, strict=True) for name in group[len(group) - count :]]
        for name in gone:
            network.remove(name)
        assert round(100 * (1 - network.parameters / 1_730_714), 2) == percent
        for name in gone:
            network.restore(name)
    assert network.parameters == 1_730_714


def by_hand(model: CifarResNet, images: Tensor, gone: set[int]) -> Tensor:
    """The network's formula, block by block."""
    maps = model.stem(images)
    for index, block in enumerate(model.blocks):
        plain = isinstance(block.shortcut, nn.Identity)
        if index not in gone:
            maps = torch.relu(block.layers(maps) + block.shortcut(maps))
        elif not plain:
            maps = torch.relu(block.shortcut(maps))
    return model.head(maps.mean((2, 3)))


@pytest.mark.parametrize("gone", [set(), {0}, {2}, {4, 5}, {0, 1, 2, 3, 4, 5}], ids=str)
def test_outputs_without_blocks(gone: set[int]) -> None:
    model = cifar()
    original = copy.deepcopy(model)
    network = BlockNetwork(model, IMAGES)
    names = list(network.blocks)
    for index in gone:
        network.remove(names[index])
    with torch.no_grad():
        torch.testing.assert_close(model(IMAGES), by_hand(original, IMAGES, gone), rtol=1e-6, atol=1e-6)


def test_the_activation_behind_a_bare_shortcut_stays() -> None:
    """Without it the next block would meet negative values: the deliberate fault."""
    model = cifar()
    network = BlockNetwork(model, IMAGES)
    name = next(name for name, block in network.blocks.items() if not block.plain)
    network.remove(name)
    bare = model.get_submodule(name)
    maps = torch.rand(2, 4, 8, 8)
    with torch.no_grad():
        assert (bare(maps) >= 0).all()
        assert (bare[0](maps) < 0).any()


@pytest.mark.parametrize("make", [cifar, inline])
def test_blocks_go_physically_and_come_back(make) -> None:
    model = make()
    with torch.no_grad():
        before = model(IMAGES)
    network = BlockNetwork(model, IMAGES)
    size, work = network.parameters, network.macs
    assert work == macs(make(), IMAGES[:1])
    with torch.no_grad():
        assert torch.equal(model(IMAGES), before)
    name = list(network.blocks)[1]
    with network.without(name):
        assert network.parameters < size
        assert network.macs < work
        assert not any(key.startswith(f"{name}.") for key in model.state_dict())
        assert name not in network.blocks
        with pytest.raises(UserError, match="there is no block"):
            network.remove(name)
    assert (network.parameters, network.macs) == (size, work)
    with torch.no_grad():
        assert torch.equal(model(IMAGES), before)


def test_blocks_of_other_networks() -> None:
    network = BlockNetwork(inline(), IMAGES)
    assert list(network.blocks) == ["stages.1.0", "stages.1.1", "stages.2.0", "stages.2.1"]
    assert list(network.stages.values()) == [0, 0, 1, 1]
    assert [block.plain for block in network.blocks.values()] == [True, True, False, True]
    bottlenecks = ResNet(ResNetShape(blocks=(2, 2), bottleneck=True, width=4, classes=3)).eval()
    assert [b.plain for b in BlockNetwork(bottlenecks, IMAGES).blocks.values()] == [False, True, False, True]
    inverted = Stages(Inverted(3, 4), Inverted(4, 4), Inverted(4, 4), channels=4)
    assert list(BlockNetwork(inverted, IMAGES).blocks) == ["stages.1", "stages.2"]
    mixed = Stages(Inverted(3, 3), Inline(3, 3), channels=3)
    assert list(BlockNetwork(copy.deepcopy(mixed), IMAGES, kind="Inline").blocks) == ["stages.1"]


class Odd(nn.Module):
    """Modules that end with a sum and are no blocks."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.one, self.two = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "two branches":
            return self.one(x) + self.two(x)
        if self.kind == "common part":
            x = self.one(x)
            return self.two(x) + x
        if self.kind == "layer behind":
            return self.two(self.one(x) + x)
        if self.kind == "mode":
            return nn.functional.dropout(self.one(x), training=self.training) + x
        if self.kind == "control flow":
            return self.one(x) + x if x.sum() > 0 else x
        return self.one(x) * x


@pytest.mark.parametrize("kind", ["two branches", "common part", "layer behind", "mode", "control flow", "product"])
def test_what_is_no_block(kind: str) -> None:
    assert split(Odd(kind)) is None


def test_a_network_without_blocks() -> None:
    with pytest.raises(UserError, match="no residual block of class Inline"):
        BlockNetwork(cifar(), IMAGES, kind="Inline")


def test_modes_and_gradients_are_left_alone() -> None:
    model = inline().train()
    model.stages[1][0].bn1.eval()
    network = BlockNetwork(restless(model).train(), IMAGES)
    model.stages[1][0].branch.bn1.eval()
    with network.without("stages.2.0"):
        pass
    modes = {name: module.training for name, module in model.named_modules()}
    assert [name for name, mode in modes.items() if not mode] == ["stages.1.0.branch.bn1"]
    model(IMAGES).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("make", [cifar, inline])
def test_blocks_that_are_masked_go(make) -> None:
    model = make()
    size = sum(parameter.numel() for parameter in model.parameters())
    names = list(BlockNetwork(make(), IMAGES).blocks)
    for block in find_residuals(model).values():
        for parameter in block.branch.parameters():
            assert parameter.any()
    residuals = find_residuals(model)
    for name in names[1:3]:
        for parameter in residuals[name].branch.parameters():
            parameter.data.zero_()
    next(iter(residuals[names[3]].branch.parameters())).data.zero_()  # one layer alone does not make a dead block
    with torch.no_grad():
        before = model(IMAGES)
        negative = torch.randn(2, 4, 6, 6)
        dead = model.get_submodule(names[1])(negative)
    assert remove_dead_blocks(model, IMAGES) == names[1:3]
    with torch.no_grad():
        assert torch.equal(model(IMAGES), before)
        assert torch.equal(model.get_submodule(names[1])(negative), dead)  # for any input, negative ones, too
    assert sum(parameter.numel() for parameter in model.parameters()) < size
    assert remove_dead_blocks(make(), IMAGES) == []


def test_a_branch_that_speaks_without_weights_stays() -> None:
    model = cifar()
    block = model.blocks[1]
    for parameter in block.layers.parameters():
        parameter.data.zero_()
    block.layers[4] = nn.BatchNorm2d(4, affine=False)
    block.layers[4].running_mean.fill_(-1.0)
    model.eval()
    assert remove_dead_blocks(model, IMAGES) == []
    assert model.blocks[1] is block
