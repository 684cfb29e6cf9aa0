"""Networks of residual blocks written in several ways, and a small task."""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from models.resnet_cifar import CifarResNet, CifarResNetShape
from sliceflow.pruning.training.fit import Training, fit
from sliceflow.pruning.training.task import Task


class Inline(nn.Module):
    """A block whose layers are called one by one, with sums and activations in place, as torchvision writes it."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Inverted(nn.Module):
    """A block that has a shortcut only where shapes agree, and no activation behind the sum."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(channels, 8, 1), nn.ReLU6(), nn.Conv2d(8, out, 1))
        self.connected = channels == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.connected else self.conv(x)


class Stages(nn.Module):
    """Blocks in stages, a head behind them."""

    def __init__(self, *stages: nn.Module, channels: int) -> None:
        super().__init__()
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(channels, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stages(images).mean((2, 3)))


def inline(seed: int = 0) -> Stages:
    torch.manual_seed(seed)
    stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    first = nn.Sequential(Inline(4, 4), Inline(4, 4))
    return restless(Stages(stem, first, nn.Sequential(Inline(4, 8, 2), Inline(8, 8)), channels=8))


def cifar(blocks: tuple[int, int, int] = (2, 2, 2), seed: int = 0) -> CifarResNet:
    torch.manual_seed(seed)
    return restless(CifarResNet(CifarResNetShape(blocks=blocks, width=4, classes=3)))


def restless(model: nn.Module) -> nn.Module:
    """Batch normalizations that do something, in evaluation mode."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight.data, module.running_var):
                values.uniform_(0.5, 1.5)
            for values in (module.bias.data, module.running_mean):
                values.normal_(0, 0.3)
    return model.eval()


def task(seed: int = 0, examples: int = 22) -> Task:
    """Images whose class shows in their colours; the last batch is smaller."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (examples,), generator=generator)
    images = (
        torch.randn(examples, 3, 8, 8, generator=generator) * 0.5 + nn.functional.one_hot(labels, 3)[..., None, None]
    )
    loader = DataLoader(TensorDataset(images, labels), 8)
    return Task(train=loader, validation=loader, test=loader)


def trained(blocks: tuple[int, int, int] = (2, 2, 2)) -> CifarResNet:
    """A network that has learnt most of the task."""
    model = cifar(blocks)
    fit(model, task(), Training(epochs=8, learning_rate=0.05, momentum=0.9, best_by="metric"))
    return model.eval()
