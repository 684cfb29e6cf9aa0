"""Random networks in which output channels of layers are pruned, with biases and batch norms that are not trivial.

Every tensor knows the *classes* of its channels: channels that can only be removed together have one number. That is an
account of the structure which owes nothing to the rules under test.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx

from tests.support.models import Graph

ACTIVATIONS = ("Relu", "LeakyRelu", "Sigmoid", "HardSwish", "Tanh", "Clip")


@dataclasses.dataclass
class Tensor:
    name: str
    classes: list[int]
    level: int
    """How often the map was made smaller: tensors of one level have one size."""

    @property
    def channels(self) -> int:
        return len(self.classes)


@dataclasses.dataclass(frozen=True)
class PrunedLayer:
    """A layer as the oracle needs it."""

    weight: str
    output: str
    source: Tensor
    classes: tuple[int, ...]
    padded: bool


class PrunedNetwork:
    """Adds random operators to a graph.

    Args:
        seed: of everything.
        size: of the map; left open if omitted.
        share: of the output channels that are pruned.
    """

    def __init__(self, seed: int, *, size: int | None = None, share: float = 0.5, channels: int = 3) -> None:
        self.g = Graph(seed)
        self.rng = self.g.rng
        self.size, self.share = size, share
        self.merged: dict[int, int] = {}
        self.ties: list[tuple[str, list[int], list[int]]] = []
        self.count = 0
        self.layers: list[PrunedLayer] = []
        name = self.g.input("N", channels, size or "H", size or "W")
        self.tensors = [Tensor(name, self.fresh(channels), 0)]
        self.inputs = set(self.tensors[0].classes)

    def fresh(self, count: int) -> list[int]:
        self.count += count
        return list(range(self.count - count, self.count))

    def find(self, number: int) -> int:
        while number in self.merged:
            number = self.merged[number]
        return number

    def settle(self, alive: set[str]) -> None:
        """Merge the classes that nodes with these outputs couple."""
        for name, a, b in self.ties:
            for x, y in zip(a, b, strict=True) if name in alive else ():
                x, y = self.find(x), self.find(y)
                if x != y:
                    self.merged[max(x, y)] = min(x, y)

    def add(self, tensor: Tensor) -> Tensor:
        self.tensors.append(tensor)
        return tensor

    def pick(self) -> Tensor:
        return self.tensors[-1 - min(int(self.rng.geometric(0.6)) - 1, len(self.tensors) - 1)]

    def like(self, tensor: Tensor) -> Tensor | None:
        """Another tensor of the same shape."""
        same = [t for t in self.tensors if (t.level, t.channels) == (tensor.level, tensor.channels) and t is not tensor]
        return same[int(self.rng.integers(len(same)))] if same else None

    def conv(
        self, x: Tensor, outputs: int, kernel: int = 3, *, pad: int | None = None, group: int = 1, norm: bool = False
    ) -> Tensor:
        """A convolution that keeps the size of the map, or loses the border if ``pad`` is 0."""
        pad = kernel // 2 if pad is None else pad
        weights = self.rng.standard_normal((outputs, x.channels // group, kernel, kernel)) / np.sqrt(kernel * kernel)
        weights[self.rng.random(outputs) < self.share] = 0
        weight = self.g.constant(weights)
        bias = [self.g.random(outputs)] if self.rng.random() < 0.8 else []
        name = self.g.node("Conv", x.name, weight, *bias, pads=[pad] * 4, group=group)
        classes = self.fresh(outputs)
        if group > 1 and group == outputs == x.channels:
            self.ties.append((name, classes, x.classes))
        self.layers.append(PrunedLayer(weight, name, x, tuple(classes), pad > 0))
        if norm:
            name = self.g.batch_norm(name, outputs)
        return self.add(Tensor(name, classes, x.level + (100 if 2 * pad < kernel - 1 else 0)))

    def activation(self, x: Tensor) -> Tensor:
        op = str(self.rng.choice(ACTIVATIONS))
        limits = [self.g.constant(-0.3), self.g.constant(0.6)] if op == "Clip" else []
        return self.add(Tensor(self.g.node(op, x.name, *limits), x.classes, x.level))

    def pool(self, x: Tensor) -> Tensor:
        op, stride = str(self.rng.choice(["MaxPool", "AveragePool"])), int(self.rng.integers(1, 3))
        options = {"count_include_pad": int(self.rng.integers(2))} if op == "AveragePool" else {}
        name = self.g.node(op, x.name, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[stride] * 2, **options)
        return self.add(Tensor(name, x.classes, x.level + (stride == 2)))

    def binary(self, op: str, x: Tensor, y: Tensor) -> Tensor:
        name = self.g.node(op, x.name, y.name)
        self.ties.append((name, x.classes, y.classes))
        return self.add(Tensor(name, x.classes, x.level))

    def scaled(self, x: Tensor) -> Tensor:
        """By a constant for each channel, some of them zero."""
        factors = self.rng.standard_normal((x.channels, 1, 1)) * (self.rng.random((x.channels, 1, 1)) > 0.2)
        return self.add(
            Tensor(self.g.node("Mul", self.g.node("Neg", x.name), self.g.constant(factors)), x.classes, x.level)
        )

    def concat(self, x: Tensor, y: Tensor) -> Tensor:
        return self.add(Tensor(self.g.node("Concat", x.name, y.name, axis=1), x.classes + y.classes, x.level))

    def excite(self, x: Tensor, activation: str = "Relu") -> Tensor:
        """Squeeze and excitation."""
        pooled = Tensor(self.g.node("GlobalAveragePool", x.name), x.classes, 1000)
        hidden = self.conv(pooled, 4, 1)
        gate = self.conv(Tensor(self.g.node(activation, hidden.name), hidden.classes, 1000), x.channels, 1)
        gate = Tensor(self.g.node("HardSigmoid", gate.name), gate.classes, x.level)
        del self.tensors[-2:]
        return self.binary("Mul", x, gate)

    def halves(self, x: Tensor) -> Tensor:
        """One part of a split, the other part behind an activation, joined the other way round."""
        first = int(self.rng.integers(1, x.channels))
        names = [f"{x.name}_a{len(self.g.nodes)}", f"{x.name}_b{len(self.g.nodes)}"]
        self.g.node("Split", x.name, self.g.constant([first, x.channels - first], "int64"), outputs=names, axis=1)
        tail = self.g.node("Relu", names[1])
        return self.add(
            Tensor(self.g.node("Concat", tail, names[0], axis=1), x.classes[first:] + x.classes[:first], x.level)
        )

    def shuffle(self, x: Tensor, size: int) -> Tensor:
        split = self.g.node("Reshape", x.name, self.g.constant([0, 2, x.channels // 2, size, size], "int64"))
        turned = self.g.node("Transpose", split, perm=[0, 2, 1, 3, 4])
        name = self.g.node("Reshape", turned, self.g.constant([0, x.channels, size, size], "int64"))
        return self.add(Tensor(name, [*np.array(x.classes).reshape(2, -1).T.reshape(-1)], x.level))

    def resize(self, x: Tensor) -> Tensor:
        name = self.g.node("Resize", x.name, "", self.g.constant([1, 1, 2, 2]), mode="nearest")
        return self.add(Tensor(name, x.classes, x.level - 1))

    def head(self, x: Tensor, outputs: int = 4) -> onnx.ModelProto:
        """A last layer without pruned channels."""
        self.share = 0.0
        if self.size is not None and x.level == 0 and self.rng.random() < 0.7:
            flat, columns = self.g.node("Flatten", x.name), x.channels * self.size**2
        else:
            flat, columns = self.g.node("Flatten", self.g.node("GlobalAveragePool", x.name)), x.channels
        weights = self.g.constant(self.rng.standard_normal((6, columns)) / np.sqrt(columns))
        hidden = self.g.node("Relu", self.g.node("Gemm", flat, weights, self.g.random(6), transB=1))
        return self.g.model(self.g.node("Gemm", hidden, self.g.random(outputs, 6), self.g.random(outputs), transB=1))


def random_pruned(seed: int, size: int | None) -> onnx.ModelProto:
    """A network of every kind of operator; with ``size``, also of those that need one."""
    n = PrunedNetwork(seed, size=size)
    n.conv(n.tensors[0], 8, norm=True)
    kinds = ["conv", "conv", "unpadded", "depthwise", "group", "activation", "activation", "pool", "add", "add", "mul"]
    kinds += ["concat", "excite", "halves", "scaled", "residual", "resize"] + ["shuffle"] * 2 * (size is not None)
    for _ in range(int(n.rng.integers(6, 14))):
        _step(n, str(n.rng.choice(kinds)), size)
    total = n.tensors[-1]
    for name in ("a", "b"):  # readers in other places of the network
        other = n.pick()
        pooled = [n.g.node("GlobalAveragePool", t.name) for t in (total, other)]
        total = Tensor(n.g.node("Concat", *pooled, axis=1, name=f"join_{name}"), total.classes + other.classes, 1)
    return n.head(n.tensors[-1] if n.rng.random() < 0.5 else total)


def _step(n: PrunedNetwork, kind: str, size: int | None) -> None:
    x, outputs = n.pick(), int(n.rng.choice([4, 6, 8, 12]))
    other = n.like(x)
    if kind == "conv":
        n.conv(x, outputs, int(n.rng.choice([1, 3])), norm=bool(n.rng.integers(2)))
    elif kind == "unpadded" and x.level < 100:
        n.conv(x, outputs, 3, pad=0)
    elif kind == "depthwise":
        n.conv(x, x.channels, 3, group=x.channels)
    elif kind == "group" and x.channels % 2 == 0:
        n.conv(x, outputs, 3, group=2)
    elif kind in ("add", "mul") and other is not None:
        n.binary(kind.capitalize(), x, other)
    elif kind == "residual":
        n.binary("Add", x, n.conv(n.activation(x), x.channels, 3))
    elif kind == "concat":
        same = [t for t in n.tensors if t.level == x.level and t.channels + x.channels <= 24]
        if same:
            n.concat(x, same[int(n.rng.integers(len(same)))])
    elif kind == "shuffle" and x.level == 0 and x.channels % 2 == 0 and size is not None:
        n.shuffle(x, size)
    elif kind in ("activation", "pool", "excite", "scaled") or (kind == "halves" and x.channels > 1):
        getattr(n, kind)(x)
    elif kind == "resize" and 0 < x.level < 50:
        n.resize(x)


def small_pruned(seed: int) -> tuple[PrunedNetwork, onnx.ModelProto]:
    """A network of few channels, of operators that hand a constant on whole."""
    n = PrunedNetwork(seed, channels=2)
    n.conv(n.tensors[0], 4)
    for _ in range(int(n.rng.integers(2, 7))):
        x, kind = (
            n.pick(),
            str(n.rng.choice(["conv", "conv", "depthwise", "relu", "add", "mul", "concat", "max", "excite"])),
        )
        other = n.like(x)
        if kind == "conv":
            n.conv(x, int(n.rng.choice([3, 4])), int(n.rng.choice([1, 3])))
        elif kind == "depthwise":
            n.conv(x, x.channels, group=x.channels)
        elif kind == "relu":
            n.add(Tensor(n.g.node("Relu", x.name), x.classes, x.level))
        elif kind in ("add", "mul") and other is not None:
            n.binary(kind.capitalize(), x, other)
        elif kind == "concat" and other is not None and x.channels <= 4:
            n.concat(x, other)
        elif kind == "max":
            name = n.g.node("MaxPool", x.name, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            n.add(Tensor(name, x.classes, x.level))
        elif kind == "excite":
            n.excite(x, "LeakyRelu")  # a ReLU of so few averages may be off for every image that the oracle tries
    last = n.tensors[-1]
    n.share = 0.0
    result = n.conv(last, 3, 1)
    n.inputs |= set(result.classes)
    return n, n.g.model(result.name)
