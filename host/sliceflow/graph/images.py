"""How arrays hold the images of inputs and outputs. The only place that takes batches apart and puts them together.

A ``Value`` whose shape has a 0 counts images along that axis. Any other is whole: an array of exactly its shape stands
for all images (a table of gains, a mask) or is a single sample; one sample for each image lies along a further axis in
front, or along the first axis if that has size 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.graph.program import Value

Array = NDArray[Any]


class Picks(Protocol):
    """Samples that are read when they are picked."""

    def __getitem__(self, picked: Sequence[int], /) -> Array:
        """The samples at some indices."""


@dataclasses.dataclass(frozen=True)
class Lineup:
    """Where an array has its images.

    Attributes:
        count: how many there are; None if the array stands for all images.
        axis: along which they lie.
        stacked: whether that axis is none of the image's own.
    """

    count: int | None
    axis: int = 0
    stacked: bool = False

    def image(self, array: Array, index: int) -> Array:
        """One image in the shape that the program's steps take."""
        if self.count is None:
            return array
        if self.stacked:
            return np.asarray(array[index])
        return array[(slice(None),) * self.axis + (slice(index, index + 1),)]

    def pick(self, array: Array | Picks, indices: Sequence[int]) -> Array:
        """Several images for one run of a model; of stacked ones, a single image.

        Args:
            array: whatever can be indexed with a list along its first axis.
            indices: which images.
        """
        if self.axis or self.count is None:
            return np.asarray(array) if self.count is None else np.take(np.asarray(array), indices, self.axis)
        picked = np.asarray(array[list(indices)])
        return picked.reshape(picked.shape[1:]) if self.stacked else picked


def lineup(value: Value, shape: Sequence[int]) -> Lineup | None:
    """Where an array of some shape has the images of an input, None if it does not fit.

    Args:
        value: the input.
        shape: of the array.
    """
    wanted, found = value.shape, tuple(shape)
    axis = image_axis(value)
    if axis is not None:
        return Lineup(found[axis], axis) if _equal_but(wanted, found, axis) else None
    if found == wanted:
        return Lineup(None)
    if found[1:] == wanted and found:
        return Lineup(found[0], stacked=True)
    return Lineup(found[0]) if wanted and wanted[0] == 1 and _equal_but(wanted, found, 0) else None


def _equal_but(wanted: tuple[int, ...], found: tuple[int, ...], axis: int) -> bool:
    return len(wanted) == len(found) and all(
        place == axis or size == got for place, (size, got) in enumerate(zip(wanted, found, strict=True))
    )


def image_axis(value: Value) -> int | None:
    """The axis that counts images, None if the value is whole."""
    return value.shape.index(0) if 0 in value.shape else None


def single_shape(value: Value) -> tuple[int, ...]:
    """The shape for one image."""
    return tuple(size or 1 for size in value.shape)


def shown_shape(value: Value) -> str:
    """A shape as messages show it, with ``N`` for the number of images."""
    return f"({', '.join(str(size) if size else 'N' for size in value.shape)})"


def wanted_shapes(value: Value) -> str:
    """What an input takes, in words."""
    if 0 in value.shape:
        return shown_shape(value)
    more = ("N", *value.shape[1:]) if value.shape[:1] == (1,) else ("N", *value.shape)
    return f"{shown_shape(value)}, or ({', '.join(map(str, more))}) for N samples"


@dataclasses.dataclass(frozen=True)
class Feed:
    """Arrays for the inputs of a model, taken apart image by image.

    Attributes:
        arrays: by the input's name.
        lineups: where each has its images.
        count: images in all; None if there is a single sample that has no axis for it.
    """

    arrays: Mapping[str, Array]
    lineups: Mapping[str, Lineup]
    count: int | None

    def __len__(self) -> int:
        return 1 if self.count is None else self.count

    def image(self, index: int) -> dict[str, Array]:
        """The inputs of one image."""
        return {name: self.lineups[name].image(array, index) for name, array in self.arrays.items()}

    def images(self) -> list[dict[str, Array]]:
        """The inputs of every image."""
        return [self.image(index) for index in range(len(self))]


def take_apart(inputs: Sequence[Value], arrays: Mapping[str, Array]) -> Feed:
    """Find the images in arrays.

    Args:
        inputs: the model's inputs.
        arrays: one for each; names, types and values are not looked at.

    Raises:
        UserError: a shape does not fit, an array is empty, or inputs have different numbers of images.
    """
    lineups = {}
    for value in inputs:
        shape = arrays[value.name].shape
        found = lineup(value, shape)
        if found is None:
            raise _misfit(value, shape)
        if found.count == 0:
            raise UserError("the batch is empty", where=f"input {value.name!r}, {value.dtype} {shown_shape(value)}")
        lineups[value.name] = found
    counts = {name: found.count for name, found in lineups.items() if found.count is not None}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name!r} has {count}" for name, count in counts.items())
        raise UserError("the inputs have different numbers of images", why=shown)
    return Feed(dict(arrays), lineups, next(iter(counts.values()), None))


def _misfit(value: Value, shape: tuple[int, ...]) -> UserError:
    one_image = 0 in value.shape and len(shape) + 1 == len(value.shape)
    fix = "resize it, or compile with --shape"
    if one_image:
        fix = "add the batch: array[None]"
    elif len(shape) != len(value.shape):
        fix = f"give an array of shape {wanted_shapes(value)}"
    elif 0 not in value.shape:
        fix = f"give an array of shape {wanted_shapes(value)}, or compile with --shape"
    return UserError(
        f"the input has shape {shape}", where=f"input {value.name!r}, {value.dtype} {shown_shape(value)}", fix=fix
    )


def put_together(value: Value, results: Sequence[Array], feed: Feed, inputs: Sequence[Value]) -> Array:
    """One array from an output's results of all images.

    Args:
        value: the output.
        results: one for each image.
        feed: what they are the results of.
        inputs: the model's inputs.

    Returns:
        The results along the axis that counts images. A whole output: the result as it is, if there is one sample or
        only inputs for all images went into it; else all of them along their first axis of size 1, or a new one.

    Raises:
        UserError: the results have different shapes, so that nobody could tell which belongs to which image.
    """
    axis = image_axis(value)
    if feed.count is None or (axis is None and _same_for_all(feed, inputs)):
        return results[0]
    shapes = {result.shape if axis is None else np.delete(result.shape, axis).tobytes() for result in results}
    if len(shapes) > 1:
        raise UserError(
            "the results of the images have different shapes",
            where=f"output {value.name!r}",
            why=", ".join(str(result.shape) for result in results[:4]),
            fix="run the images one by one",
        )
    if axis is None and results[0].shape[:1] == (1,):
        axis = 0
    return np.stack(results) if axis is None else np.concatenate(results, axis)


def _same_for_all(feed: Feed, inputs: Sequence[Value]) -> bool:
    """Whether what has no axis for images is the same for all: whole inputs were given once, beside others."""
    whole = [value for value in inputs if 0 not in value.shape]
    return len(whole) < len(inputs) and all(feed.lineups[value.name].count is None for value in whole)


def random_shape(value: Value, inputs: Sequence[Value], count: int) -> tuple[int, ...]:
    """The shape of an array of so many images; whole inputs beside others have one for all."""
    axis = image_axis(value)
    if axis is not None:
        return tuple(count if place == axis else size for place, size in enumerate(value.shape))
    if any(0 in other.shape for other in inputs):
        return value.shape
    return (count, *(value.shape[1:] if value.shape[:1] == (1,) else value.shape))
