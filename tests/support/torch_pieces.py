"""Pieces of torch networks as people write them: bare parameters, splits, shared weights, functional calls.

A piece reads ``[N, c, 4, 4]`` and makes ``[N, piece.made, 4, 4]``. Random networks are built out of them.
"""

import random

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

from tests.support.pruning_networks import conv

SIDE = 4


class Piece(nn.Module):
    """Base: as many channels as it reads, and one convolution."""

    made: int

    def __init__(self, c):
        super().__init__()
        self.c = self.made = c
        self.make(c)

    def make(self, c):
        self.body = conv(c, c)


def bare(*shape, low=0.5, high=1.5):
    return nn.Parameter(torch.empty(shape).uniform_(low, high))


class LayerScale(Piece):
    def make(self, c):
        self.body, self.gain = conv(c, c), bare(1, c, 1, 1)

    def forward(self, x):
        return x + self.gain * self.body(x).relu()


class Shift(Piece):
    def make(self, c):
        self.body, self.shift = conv(c, c), bare(c, 1, 1)

    def forward(self, x):
        return (self.body(x) + self.shift).relu()


class ScalarGain(Piece):
    def make(self, c):
        self.body, self.gain = conv(c, c), bare()

    def forward(self, x):
        return self.gain * self.body(x)


class PositionCode(Piece):
    def make(self, c):
        self.body, self.code = conv(c, c), bare(1, c, SIDE, SIDE)

    def forward(self, x):
        return self.body(x + self.code)


class Token(Piece):
    """A learned token in front of the positions, as in vision transformers."""

    def make(self, c):
        self.token, self.norm, self.mix = bare(1, 1, c), nn.LayerNorm(c), nn.Linear(c, c)

    def forward(self, x):
        y = x.flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(len(y), -1, -1), y], 1)
        y = self.mix(self.norm(y))
        return y[:, 1:].transpose(1, 2).reshape(x.shape)


class Partial(Piece):
    def make(self, c):
        self.part, self.mix = conv(2, 2), conv(c, c, 1)

    def forward(self, x):
        a, b = torch.split(x, [2, x.shape[1] - 2], 1)
        return self.mix(torch.cat([self.part(a), b], 1)).relu()


class FixedSplit(Piece):
    """Sizes in the code."""

    def make(self, c):
        self.wide, self.one, self.two = conv(c, 8), conv(3, 4), conv(5, 4)
        self.made = 8

    def forward(self, x):
        a, b = torch.split(self.wide(x).relu(), [3, 5], 1)
        return torch.cat([self.two(b), self.one(a)], 1)


class Chunks(Piece):
    def make(self, c):
        self.wide, self.body = conv(c, 2 * c, 1), conv(c, c)

    def forward(self, x):
        a, b = self.wide(x).chunk(2, 1)
        return self.body(a * torch.sigmoid(b))


class Slices(Piece):
    def make(self, c):
        self.wide, self.body = conv(c, 2 * c, 1), conv(c, c)
        self.half = c

    def forward(self, x):
        y = self.wide(x)
        return self.body(y[:, : self.half].relu()) + y[:, self.half :]


class Tied(Piece):
    def make(self, c):
        self.one, self.two = conv(c, c), conv(c, c)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.two(self.one(x).relu()).relu()


class TiedTranspose(Piece):
    """An autoencoder with one matrix."""

    def make(self, c):
        self.narrow = nn.Linear(c, 5)

    def forward(self, x):
        y = self.narrow(x.movedim(1, -1)).relu()
        return functional.linear(y, self.narrow.weight.t()).movedim(-1, 1)


class Twice(Piece):
    def forward(self, x):
        return self.body(self.body(x).relu()).relu()


class TwoNames(Piece):
    def make(self, c):
        self.body = conv(c, c)
        self.alias = self.body

    def forward(self, x):
        return self.alias(x).relu()


class SharedNorm(Piece):
    def make(self, c):
        self.one, self.two, self.norm = conv(c, c), conv(c, c), nn.BatchNorm2d(c)

    def forward(self, x):
        return self.norm(self.one(x)).relu() + self.norm(self.two(x)).relu()


class Shuffle(Piece):
    """Pixel shuffle."""

    def make(self, c):
        self.wide, self.up, self.body = conv(c, 4 * c), nn.PixelShuffle(2), conv(c, c)

    def forward(self, x):
        return self.body(functional.avg_pool2d(self.up(self.wide(x)), 2))


class Unshuffle(Piece):
    def make(self, c):
        self.body = conv(4 * c, c)

    def forward(self, x):
        return functional.interpolate(self.body(functional.pixel_unshuffle(x, 2)), scale_factor=2)


class ChannelShuffle(Piece):
    def forward(self, x):
        n, c, h, w = x.shape
        return self.body(x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w))


class WeightNorm(Piece):
    def make(self, c):
        self.body, self.last = weight_norm(conv(c, c)), conv(c, c)

    def forward(self, x):
        return self.last(self.body(x).relu())


class NormParametrization(WeightNorm):
    def make(self, c):
        self.body, self.last = parametrizations.weight_norm(conv(c, c)), conv(c, c)


class SpectralNorm(WeightNorm):
    def make(self, c):
        self.body, self.last = spectral_norm(conv(c, c)), conv(c, c)


class Buffer(Piece):
    def make(self, c):
        self.body = conv(c, c)
        self.register_buffer("gain", torch.linspace(0.5, 1.5, c).reshape(c, 1, 1))

    def forward(self, x):
        return self.body(x).relu() * self.gain


class Attention(Piece):
    def make(self, c):
        self.attend = nn.MultiheadAttention(c, 2, batch_first=True)

    def forward(self, x):
        y = x.flatten(2).transpose(1, 2)
        y = y + self.attend(y, y, y, need_weights=False)[0]
        return y.transpose(1, 2).reshape(x.shape)


class OwnAttention(Piece):
    def make(self, c):
        self.qkv, self.out = nn.Linear(c, 3 * c), nn.Linear(c, c)

    def forward(self, x):
        n, c, h, w = x.shape
        y = self.qkv(x.flatten(2).transpose(1, 2)).reshape(n, h * w, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        q, k, v = y.unbind(0)
        y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, h * w, c)
        return self.out(y).transpose(1, 2).reshape(n, c, h, w)


class NonLocal(Piece):
    def make(self, c):
        self.query, self.key, self.value = conv(c, 2, 1), conv(c, 2, 1), conv(c, c, 1)

    def forward(self, x):
        q, k, v = (f(x).flatten(2) for f in (self.query, self.key, self.value))
        return x + (v @ torch.softmax(q.transpose(1, 2) @ k, -1)).reshape(x.shape)


class ChannelsLast(Piece):
    """A ConvNeXt block."""

    def make(self, c):
        self.depth, self.norm = conv(c, c, groups=c), nn.LayerNorm(c)
        self.up, self.down, self.gain = nn.Linear(c, 2 * c), nn.Linear(2 * c, c), bare(c)

    def forward(self, x):
        y = self.norm(self.depth(x).permute(0, 2, 3, 1))
        return x + (self.gain * self.down(functional.gelu(self.up(y)))).permute(0, 3, 1, 2)


class MapNorm(Piece):
    def make(self, c):
        self.body, self.norm = conv(c, c), nn.LayerNorm([c, SIDE, SIDE])

    def forward(self, x):
        return self.norm(self.body(x)).relu()


class Groups(Piece):
    def make(self, c):
        self.body, self.norm = conv(c, c), nn.GroupNorm(2, c)

    def forward(self, x):
        return self.norm(self.body(x)).relu()


class Instances(Piece):
    def make(self, c):
        self.body, self.norm = conv(c, c), nn.InstanceNorm2d(c, affine=True, track_running_stats=True)

    def forward(self, x):
        return self.norm(self.body(x)).relu()


class UpGroups(Piece):
    def make(self, c):
        self.up, self.body = nn.ConvTranspose2d(c, 6, 2, stride=2, groups=2), conv(6, c)

    def forward(self, x):
        return self.body(functional.max_pool2d(self.up(x).relu(), 2))


class Up(UpGroups):
    def make(self, c):
        self.up, self.body = nn.ConvTranspose2d(c, 6, 2, stride=2), conv(6, c)


class UpRows(Piece):
    def make(self, c):
        self.up, self.body = nn.ConvTranspose1d(c, 6, 2, stride=2), nn.Conv1d(6, c, 3, padding=1)

    def forward(self, x):
        return self.body(functional.max_pool1d(self.up(x.flatten(2)).relu(), 2)).reshape(x.shape)


class UpVolume(Piece):
    def make(self, c):
        self.up, self.body = nn.ConvTranspose3d(c, 5, 1), nn.Conv3d(5, c, 1)

    def forward(self, x):
        return self.body(self.up(x.unsqueeze(2)).relu()).squeeze(2)


class Multiplier(Piece):
    """A depthwise convolution that makes two channels of each."""

    def make(self, c):
        self.depth, self.body = conv(c, 2 * c, groups=c), conv(2 * c, c, 1)

    def forward(self, x):
        return self.body(self.depth(x).relu())


class Lookup(Piece):
    def make(self, c):
        self.body, self.codes = conv(c, c), nn.Embedding(5, c)

    def forward(self, x):
        return self.body(x) + self.codes(torch.ones(len(x), dtype=torch.long))[:, :, None, None]


class Einsum(Piece):
    def make(self, c):
        self.body, self.matrix = conv(c, c), bare(c, c, low=-1.0)

    def forward(self, x):
        return torch.einsum("nchw,cd->ndhw", self.body(x).relu(), self.matrix)


class MatMul(Piece):
    def make(self, c):
        self.matrix, self.body = bare(c, c, low=-1.0), conv(c, c)

    def forward(self, x):
        return self.body((x.movedim(1, -1) @ self.matrix).movedim(-1, 1).relu())


class Functional(Piece):
    def make(self, c):
        self.weight, self.bias, self.body = bare(c, c, 3, 3, low=-0.5, high=0.5), bare(c), conv(c, c)

    def forward(self, x):
        return self.body(functional.conv2d(x, self.weight, self.bias, padding=1).relu())


class FunctionalNorm(Piece):
    def make(self, c):
        self.body, self.gain, self.shift = conv(c, c), bare(c), bare(c)
        self.register_buffer("mean", torch.rand(c))
        self.register_buffer("var", torch.rand(c) + 0.5)

    def forward(self, x):
        return functional.batch_norm(self.body(x), self.mean, self.var, self.gain, self.shift).relu()


class Standardized(nn.Conv2d):
    """Weight standardization: a layer that computes its weight."""

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5)
        return functional.conv2d(x, weight, self.bias, self.stride, self.padding)


class Standardization(Piece):
    def make(self, c):
        self.body, self.last = Standardized(c, c, 3, padding=1), conv(c, c)

    def forward(self, x):
        return self.last(self.body(x).relu())


class GainConv(nn.Conv2d):
    """A layer with a parameter more."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.gain = bare()

    def forward(self, x):
        return super().forward(x) * self.gain


class OwnParameter(Piece):
    def make(self, c):
        self.body, self.last = GainConv(c, c, 3, padding=1), conv(c, c)

    def forward(self, x):
        return self.last(self.body(x).relu())


class InPlace(Piece):
    def forward(self, x):
        y = self.body(x)
        y.add_(0.5).mul_(0.5)
        y[:, :2] = 0.25
        return y.relu_()


class Residue(Piece):
    def forward(self, x):
        y = self.body(x)
        y += x
        return functional.relu(y, inplace=True)


class Flow(Piece):
    def make(self, c):
        self.one, self.two = conv(c, c), conv(c, c)

    def forward(self, x):
        for layer in [self.one, self.two]:
            x = layer(x).relu() if x.abs().mean() > 0.01 else x
        return x


class Squeeze(Piece):
    def make(self, c):
        self.body, self.down, self.up = conv(c, c), nn.Linear(c, 4), nn.Linear(4, c)

    def forward(self, x):
        y = self.body(x)
        return y * torch.sigmoid(self.up(self.down(y.mean((2, 3))).relu()))[:, :, None, None]


class Neighbours(Piece):
    """ECA: a convolution over the channels."""

    def make(self, c):
        self.body, self.look = conv(c, c), nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x):
        y = self.body(x)
        return y * torch.sigmoid(self.look(y.mean((2, 3))[:, None]))[:, 0, :, None, None]


class SoftmaxChannels(Piece):
    def forward(self, x):
        return self.body(torch.softmax(x, 1))


class Flip(Piece):
    def forward(self, x):
        return self.body(x.flip(1))


class Roll(Piece):
    def forward(self, x):
        return self.body(x.roll(1, 1))


class Maxout(Piece):
    def make(self, c):
        self.wide, self.body = conv(c, 2 * c), conv(c, c)

    def forward(self, x):
        y = self.wide(x)
        return self.body(y.reshape(len(y), self.c, 2, *y.shape[2:]).amax(2))


class Pick(Piece):
    def forward(self, x):
        return self.body(x[:, torch.arange(self.c - 1, -1, -1)])


class Repeat(Piece):
    def make(self, c):
        self.body = conv(2 * c, c)

    def forward(self, x):
        return self.body(x.repeat(1, 2, 1, 1))


class Interleave(Repeat):
    def forward(self, x):
        return self.body(x.repeat_interleave(2, 1))


class Coordinates(Piece):
    def make(self, c):
        self.body = conv(c + 2, c)

    def forward(self, x):
        rows = torch.linspace(-1, 1, x.shape[2]).reshape(1, 1, -1, 1).expand(len(x), 1, *x.shape[2:])
        return self.body(torch.cat([x, rows, rows.transpose(2, 3)], 1))


class OneMap(Piece):
    """Spatial attention: statistics over the channels."""

    def make(self, c):
        self.body, self.look = conv(c, c), conv(2, 1)

    def forward(self, x):
        y = self.body(x).relu()
        return y * torch.sigmoid(self.look(torch.cat([y.mean(1, keepdim=True), y.amax(1, keepdim=True)], 1)))


class PadChannels(Piece):
    def make(self, c):
        self.body = conv(c, c + 2)
        self.made = c + 2

    def forward(self, x):
        return functional.pad(x, (0, 0, 0, 0, 1, 1)) + self.body(x)


class Unfold(Piece):
    def make(self, c):
        self.mix = nn.Linear(9 * c, c)

    def forward(self, x):
        columns = functional.unfold(x, 3, padding=1).transpose(1, 2)
        return self.mix(columns).transpose(1, 2).reshape(x.shape)


class Stack(Piece):
    def make(self, c):
        self.one, self.two = conv(c, c), conv(c, c)

    def forward(self, x):
        return torch.stack([self.one(x), self.two(x).relu()], 1).sum(1)


class Where(Piece):
    def forward(self, x):
        y = self.body(x)
        return torch.where(y > 0.1, y, x)


class Recurrent(Piece):
    def make(self, c):
        self.scan = nn.LSTM(c, c, batch_first=True)

    def forward(self, x):
        y, _ = self.scan(x.flatten(2).transpose(1, 2))
        return y.transpose(1, 2).reshape(x.shape)


class Gates(Recurrent):
    def make(self, c):
        self.scan = nn.GRU(c, c, batch_first=True)


class Bilinear(Piece):
    def make(self, c):
        self.mix = nn.Bilinear(c, c, c)

    def forward(self, x):
        y = x.movedim(1, -1).contiguous()
        return self.mix(y, y).movedim(-1, 1)


class Slopes(Piece):
    def make(self, c):
        self.body, self.slope, self.one = conv(c, c), nn.PReLU(c), nn.PReLU()

    def forward(self, x):
        return self.one(self.slope(self.body(x)))


class Normalized(Piece):
    def forward(self, x):
        return functional.normalize(self.body(x), dim=1)


class Frozen(Piece):
    def make(self, c):
        self.body = conv(c, c)
        self.body.weight.requires_grad_(False)

    def forward(self, x):
        return self.body(x).tanh()


class NoGrad(Piece):
    def make(self, c):
        self.body, self.last = conv(c, c), conv(c, c)

    def forward(self, x):
        with torch.no_grad():
            y = self.body(x)
        return self.last(y)


class ManyOutputs(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.one, self.two = conv(c, c), conv(c, 3)

    def forward(self, x):
        return {"a": self.one(x), "b": (self.two(x), x.shape[1])}


class Nested(Piece):
    """Modules that hand on more than a tensor."""

    def make(self, c):
        self.inner, self.last = ManyOutputs(c), conv(c + 3, c)

    def forward(self, x):
        found = self.inner(x)
        return self.last(torch.cat([found["a"].relu(), found["b"][0]], 1))


class Unused(Piece):
    def make(self, c):
        self.body, self.unused, self.dropped = conv(c, c), conv(c, c), nn.BatchNorm2d(c)

    def forward(self, x):
        y = self.body(x)
        self.dropped(y)
        return y.relu()


class Lists(Piece):
    def make(self, c):
        self.bodies = nn.ModuleDict({name: conv(c, c) for name in ("a", "b")})
        self.gains = nn.ParameterList([bare(c, 1, 1), bare(c, 1, 1)])

    def forward(self, x):
        return sum(gain * body(x).relu() for gain, body in zip(self.gains, self.bodies.values(), strict=True))


PIECES = {kind.__name__: kind for kind in Piece.__subclasses__()} | {
    kind.__name__: kind for parent in Piece.__subclasses__() for kind in parent.__subclasses__()
}


class Assembled(nn.Module):
    """A stem, pieces, a convolution, and a head of 3 classes."""

    def __init__(self, names, channels=8, outputs="tensor"):
        super().__init__()
        self.stem, made, pieces = conv(1, channels), channels, []
        for name in names:
            pieces.append(PIECES[name](made))
            made = pieces[-1].made
        self.pieces, self.last, self.head = nn.ModuleList(pieces), conv(made, 6), nn.Linear(6, 3)
        self.outputs = outputs

    def forward(self, x):
        x = self.stem(x).relu()
        for piece in self.pieces:
            x = piece(x)
        y = self.head(self.last(x).relu().mean((2, 3)))
        return {"tensor": y, "tuple": (y, x), "dict": {"scores": y, "maps": [x]}}[self.outputs]


def assembled(names, seed=0, **options):
    torch.manual_seed(seed)
    return Assembled(names, **options)


def random_assembled(seed, most=4):
    """Some random pieces, but none of those that take long to trace."""
    rng = random.Random(seed)
    names = [name for name in PIECES if name not in ("NonLocal", "Gates")]
    return assembled([rng.choice(names) for _ in range(rng.randint(min(2, most - 1), most))], seed)
