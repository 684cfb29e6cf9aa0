"""Checks of what a caller feeds, with messages that name the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.graph.program import Value

Array = NDArray[Any]


def shown_shape(value: Value) -> str:
    """A shape as messages show it, with ``N`` for a free batch."""
    sizes = [str(size) if index or size else "N" for index, size in enumerate(value.shape)]
    return f"({', '.join(sizes)})"


def widened(inputs: Sequence[Value], feed: Mapping[str, Any]) -> dict[str, Any]:
    """A feed with float32 for float16 where the model takes float32: exactly the same numbers.

    Models in float16 are compiled in float32, and those who fed them may go on doing so.
    """
    types = {value.name: value.dtype for value in inputs}
    return {
        name: array.astype(np.float32)
        if types.get(name) == "float32" and isinstance(array, np.ndarray) and array.dtype == np.float16
        else array
        for name, array in feed.items()
    }


def check_inputs(inputs: Sequence[Value], feed: Mapping[str, Any]) -> int:
    """Check names, types, shapes and values of a feed. The batch may have any size, whatever the model says.

    Args:
        inputs: the model's inputs.
        feed: an array for each.

    Returns:
        Images in the batch.

    Raises:
        UserError: something does not fit; the message names the input.
    """
    names = [value.name for value in inputs]
    known = f"the inputs are {', '.join(map(repr, names))}"
    for name in feed:
        if name not in names:
            raise UserError(f"the model has no input {name!r}", fix=known)
    for name in names:
        if name not in feed:
            raise UserError(f"the input {name!r} is missing", fix=known)
    batches = {value.name: _check_input(value, feed[value.name]) for value in inputs}
    if len(set(batches.values())) > 1:
        shown = ", ".join(f"{name!r} has {count}" for name, count in batches.items())
        raise UserError("the inputs have different numbers of images", why=shown)
    return next(iter(batches.values()), 1)


def _check_input(value: Value, array: Any) -> int:
    where = f"input {value.name!r}, {value.dtype} {shown_shape(value)}"
    if not isinstance(array, np.ndarray):
        raise UserError("an input must be a NumPy array", where=where, why=f"this is a {type(array).__name__}")
    if array.dtype != np.dtype(value.dtype):
        raise UserError(
            f"the input has type {array.dtype}", where=where, fix=f"convert it: array.astype({value.dtype!r})"
        )
    if array.ndim != len(value.shape) or array.ndim == 0:
        one_image = array.ndim + 1 == len(value.shape) and array.ndim > 0
        fix = "add the batch: array[None]" if one_image else ""
        raise UserError(f"the input has shape {array.shape}", where=where, fix=fix)
    if any(want not in (0, got) for want, got in zip(value.shape[1:], array.shape[1:], strict=True)):
        raise UserError(f"the input has shape {array.shape}", where=where, fix="resize it, or compile with --shape")
    if array.shape[0] == 0:
        raise UserError("the batch is empty", where=where)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise UserError("the input has a value that is not a number or not finite", where=f"{where}, at {index}")
    return int(array.shape[0])


def random_inputs(inputs: Sequence[Value], count: int, seed: int) -> dict[str, Array]:
    """Random images: floats are normal, integers cover their type. The same seed gives the same images.

    Args:
        inputs: the model's inputs; free sizes other than the batch become 1.
        count: images.
        seed: of NumPy's default generator.

    Raises:
        UserError: an input holds no numbers.
    """
    generator = np.random.default_rng(seed)
    feed: dict[str, Array] = {}
    for value in inputs:
        shape = (count, *(size or 1 for size in value.shape[1:]))
        dtype = np.dtype(value.dtype)
        if dtype.kind == "f":
            feed[value.name] = generator.standard_normal(shape).astype(dtype)
        elif dtype.kind == "b":
            feed[value.name] = generator.integers(0, 2, shape).astype(dtype)
        elif dtype.kind not in "iu":
            raise UserError(
                f"no random values can be made for an input of type {value.dtype}",
                where=f"input {value.name!r}",
                fix="use a model whose inputs are floats, integers or booleans",
            )
        else:
            limits = np.iinfo(dtype)
            feed[value.name] = generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return feed
