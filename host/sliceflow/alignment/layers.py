"""Layers by their shapes, and what a network of them costs when channel groups have other sizes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Part:
    """A run of channels on one side of a layer.

    Attributes:
        channels: how many.
        places: inputs of the layer for each channel: more than one where a flattened map is read.
    """

    channels: int
    places: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerShape:
    """All of a layer that its cycles depend on.

    Attributes:
        inputs: what is read, side by side; several parts are a concatenation.
        outputs: channels made.
        kernel, stride, dilation: (rows, columns).
        pad: (top, left, bottom, right).
        groups: of channels.
        in_size, out_size: (rows, columns) of the maps; (1, 1) for a fully connected layer.
        stem: it reads the network's input.
    """

    inputs: tuple[Part, ...]
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    in_size: tuple[int, int] = (1, 1)
    out_size: tuple[int, int] = (1, 1)
    stem: bool = False

    @property
    def depthwise(self) -> bool:
        """Whether every channel is convolved by itself."""
        return self.groups > 1 and self.groups == self.outputs == sum(part.channels for part in self.inputs)


@dataclasses.dataclass(frozen=True)
class LayerUse:
    """A layer in a network.

    Attributes:
        name: for reports.
        shape: as it is now.
        reads: for each part of the inputs the name of the group that it belongs to; empty for channels that stay.
        makes: for each group the outputs that belong to it. Other outputs stay.
    """

    name: str
    shape: LayerShape
    reads: tuple[str, ...]
    makes: Mapping[str, int]


class NetworkCost:
    """Cycles of a network as a function of the sizes of its groups.

    Args:
        layers: its layers.
        cycles_of: predicted cycles of one layer.
    """

    def __init__(self, layers: Sequence[LayerUse], cycles_of: Callable[[LayerShape], int]) -> None:
        self._layers = [(layer, tuple(sorted({*layer.reads, *layer.makes} - {""}))) for layer in layers]
        self._cycles_of = functools.lru_cache(maxsize=None)(cycles_of)  # layers of one shape are common
        self._known: dict[tuple[int, tuple[int | None, ...]], int] = {}

    def __call__(self, sizes: Mapping[str, int]) -> int:
        """Cycles of all layers.

        Args:
            sizes: channels of groups by name; groups that are not named keep theirs.
        """
        return sum(self._cycles(number, sizes) for number in range(len(self._layers)))

    def by_layer(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Cycles of each layer by its name."""
        return {layer.name: self._cycles(number, sizes) for number, (layer, _) in enumerate(self._layers)}

    def _cycles(self, number: int, sizes: Mapping[str, int]) -> int:
        layer, names = self._layers[number]
        key = number, tuple([sizes.get(name) for name in names])
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._cycles_of(resized(layer, sizes))
        return found


def resized(layer: LayerUse, sizes: Mapping[str, int]) -> LayerShape:
    """The shape of a layer when groups have other sizes."""
    shape = layer.shape
    inputs = tuple(
        dataclasses.replace(part, channels=sizes.get(group, part.channels))
        for part, group in zip(shape.inputs, layer.reads, strict=True)
    )
    outputs = shape.outputs + sum(sizes.get(group, count) - count for group, count in layer.makes.items())
    groups = outputs if shape.depthwise else shape.groups
    return dataclasses.replace(shape, inputs=inputs, outputs=outputs, groups=groups)
