"""Small networks and tasks for tests: every way in which channels are coupled, trained in a second."""

import random

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sliceflow.pruning.training.task import Task

torch.set_num_threads(1)


def conv(inputs, outputs, size=3, **options):
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, **options)


def lively(model, seed=None):
    """Norms that are not trivial."""
    if seed is not None:
        torch.manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values, low, high in (
                (layer.weight, 0.5, 1.5),
                (layer.bias, -0.5, 0.5),
                (layer.running_mean, -0.5, 0.5),
                (layer.running_var, 0.5, 2),
            ):
                nn.init.uniform_(values, low, high)
    return model


class Residual(nn.Module):
    """y + f(y), with a projection where the channels change."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.first = nn.Sequential(conv(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU())
        self.second = nn.Sequential(conv(outputs, outputs), nn.BatchNorm2d(outputs))
        self.project = conv(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x):
        return (self.project(x) + self.second(self.first(x))).relu()


class Dense(nn.Module):
    """cat(x, f(x))."""

    def __init__(self, inputs, growth):
        super().__init__()
        self.body = nn.Sequential(conv(inputs, growth), nn.ReLU())

    def forward(self, x):
        return torch.cat([x, self.body(x)], 1)


class Net(nn.Module):
    """Stages on 8x8 images, then a fully connected head behind flattening or a global mean."""

    def __init__(self, stages, channels, hidden, classes, *, flatten, side):
        super().__init__()
        self.stages, self.flatten = nn.Sequential(*stages), flatten
        inputs = channels * side * side if flatten else channels
        self.hidden, self.out = nn.Linear(inputs, hidden), nn.Linear(hidden, classes)

    def forward(self, x):
        x = self.stages(x)
        x = x.flatten(1) if self.flatten else x.mean((2, 3))
        return self.out(self.hidden(x).relu())


class Segmenter(nn.Module):
    """A small U-Net: one skip connection by concatenation, one transposed convolution."""

    def __init__(self, classes=3, width=6):
        super().__init__()
        self.down = nn.Sequential(conv(1, width), nn.BatchNorm2d(width), nn.ReLU())
        self.deep = nn.Sequential(conv(width, 2 * width), nn.BatchNorm2d(2 * width), nn.ReLU())
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.last = nn.Sequential(conv(2 * width, width), nn.ReLU(), nn.Conv2d(width, classes, 1))

    def forward(self, x):
        skip = self.down(x)
        deep = self.deep(nn.functional.max_pool2d(skip, 2))
        return self.last(torch.cat([self.up(deep).relu(), skip], 1))


def digit_net(seed=0, width=6):
    """Conv, BN, ReLU, pool, conv, BN, ReLU, pool, flatten, hidden layer, ten classes."""
    torch.manual_seed(seed)
    return nn.Sequential(
        conv(1, width), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
        conv(width, 8), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32, 12), nn.ReLU(), nn.Linear(12, 10),
    )  # fmt: skip


def random_net(seed):
    """A network of random blocks: plain, residual, dense, depthwise, grouped, pooled; one input channel, 8x8."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    channels, side, stages = 4, 8, [conv(1, 4), nn.ReLU()]
    for _ in range(rng.randint(2, 5)):
        outputs = rng.choice([4, 6, 8])
        kind = rng.choice(["plain", "norm", "residual", "dense", "depthwise", "grouped", "prelu", "pool"])
        if kind == "plain":
            stages += [conv(channels, outputs, rng.choice([1, 3]), bias=rng.random() < 0.5), nn.LeakyReLU(0.1)]
        elif kind == "norm":
            stages += [conv(channels, outputs, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        elif kind == "residual":
            outputs = rng.choice([channels, outputs])
            stages.append(Residual(channels, outputs))
        elif kind == "dense":
            stages.append(Dense(channels, outputs))
            outputs += channels
        elif kind == "depthwise":
            stages += [conv(channels, channels, groups=channels), nn.ReLU(), conv(channels, outputs, 1), nn.ReLU6()]
        elif kind == "grouped":
            stages += [conv(channels, outputs, groups=2), nn.Hardswish()]
        elif kind == "prelu":
            stages += [conv(channels, outputs), nn.PReLU(rng.choice([1, outputs]))]
        else:
            outputs = channels
            if side > 2:
                stages.append(rng.choice([nn.MaxPool2d, nn.AvgPool2d])(2))
                side //= 2
        channels = outputs
    last = next(stage for stage in reversed(stages) if isinstance(stage, nn.Conv2d | Residual | Dense))
    flatten = rng.random() < 0.5 and not isinstance(last, Dense)  # the tracer loses its way in flattened concatenations
    net = Net(stages, channels, rng.randint(3, 9), 5, flatten=flatten, side=side)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.5)
    return net


def digits_task(count=320, batch=32):
    """8x8 digits: so many to train with, 200 to validate and 200 to test with."""
    data = load_digits()
    images = torch.tensor(data.images / 16, dtype=torch.float32)[:, None]
    labels = torch.tensor(data.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    sets = [
        TensorDataset(images[part], labels[part]) for part in (order[400 : 400 + count], order[:200], order[200:400])
    ]
    return Task(
        train=DataLoader(sets[0], batch, shuffle=True),
        validation=DataLoader(sets[1], 100),
        test=DataLoader(sets[2], 100),
    )


def squares_task(count=64, batch=16):
    """Images of a bright and a dim square on noise; each pixel belongs to one of them or to neither."""
    generator = torch.Generator().manual_seed(0)
    images = 0.1 * torch.rand(count, 1, 8, 8, generator=generator)
    labels = torch.zeros(count, 8, 8, dtype=torch.long)
    for index in range(count):
        for kind, level in ((1, 1.0), (2, 0.5)):
            row, column = torch.randint(0, 5, (2,), generator=generator).tolist()
            images[index, 0, row : row + 3, column : column + 3] += level
            labels[index, row : row + 3, column : column + 3] = kind
    whole = TensorDataset(images, labels)
    train, rest = (
        torch.utils.data.Subset(whole, range(count // 2)),
        torch.utils.data.Subset(whole, range(count // 2, count)),
    )
    return Task(
        train=DataLoader(train, batch, shuffle=True), validation=DataLoader(rest, batch), test=DataLoader(rest, batch)
    )


def same_state(first, second):
    """Whether two networks have exactly equal tensors."""
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
