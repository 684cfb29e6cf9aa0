"""Checks of what a caller feeds, with messages that name the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.graph.images import Feed, random_shape, shown_shape, take_apart
from sliceflow.graph.program import Value

Array = NDArray[Any]


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


def check_inputs(inputs: Sequence[Value], feed: Mapping[str, Any]) -> Feed:
    """Check names, types, shapes and values of a feed. The batch may have any size, whatever the model says.

    Args:
        inputs: the model's inputs.
        feed: an array for each.

    Returns:
        The feed, taken apart into images.

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
    for value in inputs:
        _check_type(value, feed[value.name])
    found = take_apart(inputs, feed)
    for value in inputs:
        _check_finite(value, feed[value.name])
    return found


def _where(value: Value) -> str:
    return f"input {value.name!r}, {value.dtype} {shown_shape(value)}"


def _check_type(value: Value, array: Any) -> None:
    if not isinstance(array, np.ndarray):
        raise UserError("an input must be a NumPy array", where=_where(value), why=f"this is a {type(array).__name__}")
    if array.dtype != np.dtype(value.dtype):
        raise UserError(
            f"the input has type {array.dtype}", where=_where(value), fix=f"convert it: array.astype({value.dtype!r})"
        )


def _check_finite(value: Value, array: Array) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise UserError(
            "the input has a value that is not a number or not finite", where=f"{_where(value)}, at {index}"
        )


def random_inputs(inputs: Sequence[Value], count: int, seed: int) -> dict[str, Array]:
    """Random images: floats are normal, integers cover their type. The same seed gives the same images.

    Args:
        inputs: the model's inputs.
        count: images.
        seed: of NumPy's default generator.

    Raises:
        UserError: an input holds no numbers.
    """
    generator = np.random.default_rng(seed)
    feed: dict[str, Array] = {}
    for value in inputs:
        shape = random_shape(value, inputs, count)
        dtype = np.dtype(value.dtype)
        if dtype.kind == "f":
            feed[value.name] = np.asarray(generator.standard_normal(shape), dtype)
        elif dtype.kind == "b":
            feed[value.name] = np.asarray(generator.integers(0, 2, shape), dtype)
        elif dtype.kind not in "iu":
            raise UserError(
                f"no random values can be made for an input of type {value.dtype}",
                where=f"input {value.name!r}",
                fix="use a model whose inputs are floats, integers or booleans",
            )
        else:
            limits = np.iinfo(dtype)
            integers = generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
            feed[value.name] = np.asarray(integers)
    return feed
