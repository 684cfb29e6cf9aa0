"""Where a value has its images, and what a node does to them: the words that the rules of operators are written in."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sliceflow.passes.view import attribute, axis_of, constant, input_at, integers, static_shape


@dataclasses.dataclass(frozen=True)
class Line:
    """The images of a value stand in line along one of its axes.

    Attributes:
        axis: the axis.
        per: positions that each image has there; image i has ``i*per .. (i+1)*per``.
    """

    axis: int
    per: int = 1


Spread = dict[tuple[str, int], Line]
State = Line | None
"""Where the images are; None for a value that is the same for all images."""


class MixedError(Exception):
    """A node makes one image's results depend on other images, or on how many there are."""

    def __init__(self, node: ir.Node, why: str) -> None:
        super().__init__(why)
        self.node = node
        self.why = why


class UnruledError(Exception):
    """Nothing is known about what a node does to the images."""

    def __init__(self, node: ir.Node) -> None:
        super().__init__(node.name)
        self.node = node


class At:
    """A node, as a rule sees it: all sizes are known, and where the images of its inputs are.

    Args:
        node: the node.
        states: where values have their images; values that are not in it are the same for all images.
        images: how many there are.
        spread: constants that hold the same for each image, by the node's name and the number of the input; ``repeats``
            adds to it.
    """

    def __init__(self, node: ir.Node, states: Mapping[ir.Value, Line], images: int, spread: Spread) -> None:
        self.node = node
        self.images = images
        self._spread = spread
        self.lines = [None if value is None else states.get(value) for value in node.inputs]

    def line(self, index: int) -> State:
        """Where input ``index`` has its images."""
        return self.lines[index] if index < len(self.lines) else None

    def shape(self, index: int) -> tuple[int, ...]:
        """The shape of input ``index``."""
        return self._known(input_at(self.node, index))

    def out(self, index: int = 0) -> tuple[int, ...]:
        """The shape of output ``index``."""
        return self._known(self.node.outputs[index])

    def axis(self, number: int, index: int = 0) -> int:
        """An axis of input ``index``, from 0 on."""
        try:
            return axis_of(number, len(self.shape(index)))
        except ValueError as error:
            raise self.unruled() from error

    def number(self, name: str, default: int) -> int:
        """An integer attribute."""
        return int(attribute(self.node, name, default))

    def list(self, index: int, name: str = "") -> list[int] | None:
        """Integers that are a constant input, or an attribute; None if there are none.

        Raises:
            UnruledError: they are computed.
        """
        value = input_at(self.node, index)
        if value is None:
            found = attribute(self.node, name) if name else None
            return None if found is None else [int(item) for item in found]
        known = integers(value)
        if known is None:
            raise self.unruled()
        return known

    def mixed(self, why: str) -> MixedError:
        """What to raise if the node mixes images."""
        return MixedError(self.node, why)

    def unruled(self) -> UnruledError:
        """What to raise if a rule does not say."""
        return UnruledError(self.node)

    def repeats(self, index: int, line: Line) -> bool:
        """Whether input ``index`` is a constant that holds the same for each image along a line."""
        array = constant(input_at(self.node, index))
        if array is None or line.axis >= array.ndim or array.shape[line.axis] != self.images * line.per:
            return False
        if not np.all(array == np.take(array, [0], line.axis)):
            return False
        self._spread[str(self.node.name), index] = line
        return True

    def only(self, *indices: int) -> None:
        """Refuse images on inputs other than these.

        Raises:
            MixedError: there are some.
        """
        for index, line in enumerate(self.lines):
            if line is not None and index not in indices:
                raise self.mixed(f"its input {index} differs from image to image")

    def apart(self, line: Line, axes: Sequence[int], doing: str) -> None:
        """Refuse to compute along the axis of the images.

        Raises:
            MixedError: one of ``axes`` is that axis.
        """
        if line.axis in axes:
            raise self.mixed(f"it {doing} along axis {line.axis}, where the images are")

    def _known(self, value: ir.Value | None) -> tuple[int, ...]:
        found = static_shape(value)
        if found is None:
            raise self.unruled()
        return found


def broadcast(at: At, indices: Sequence[int], rank: int) -> State:
    """Where the result of broadcasting some inputs to ``rank`` dimensions has its images.

    Raises:
        MixedError: images meet other images, or values that differ along the images.
    """
    lines = {
        Line(line.axis + rank - len(at.shape(index)), line.per)
        for index in indices
        if (line := at.line(index)) is not None
    }
    if not lines:
        return None
    if len(lines) > 1:
        raise at.mixed("it combines each image with others: its inputs have the images along different axes")
    found = lines.pop()
    for index in indices:
        if at.line(index) is None and input_at(at.node, index) is not None:
            shape = at.shape(index)
            place = found.axis - rank + len(shape)
            if place >= 0 and shape[place] != 1 and not at.repeats(index, Line(place, found.per)):
                raise at.mixed(f"its input {index} of shape {list(shape)} has other values for each image")
    return found


def reshaped(before: Sequence[int], line: Line, after: Sequence[int], images: int) -> State:
    """The same elements in the same order with another shape; None if the images lie on no axis of it."""
    in_front = math.prod(before[: line.axis])
    for axis, size in enumerate(after):
        if math.prod(after[:axis]) == in_front and size and size % images == 0:
            return Line(axis, size // images)
    return None


def uniform_line(value: ir.Value, images: int) -> State:
    """The axis of a constant that is as long as there are images, if all its positions hold the same."""
    array = constant(value)
    if array is None:
        return None
    for axis, size in enumerate(array.shape):
        if size == images and bool(np.all(array == np.take(array, [0], axis))):
            return Line(axis)
    return None
