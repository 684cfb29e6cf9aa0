"""Values of nodes with several outputs whose inputs are all constant (see ``sliceflow.passes.evaluate``).

Parts of a constant are views of it; what sorts is left alone above ``MAX_SORTED`` elements.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.passes.view import attribute, axis_of

Array = NDArray[Any]

MAX_SORTED = 1 << 24


def _split(node: ir.Node, inputs: list[Array]) -> tuple[Array, ...]:
    data, count = inputs[0], len(node.outputs)
    axis = axis_of(int(attribute(node, "axis", 0)), data.ndim)
    size = data.shape[axis]
    if len(inputs) > 1:
        parts = [int(part) for part in inputs[1].reshape(-1)]
    else:
        part = -(-size // count)  # the last one is smaller if need be
        parts = [min(part, size - part * index) for index in range(count)]
    if len(parts) != count or sum(parts) != size or any(part < 0 for part in parts):
        raise ValueError(f"{size} entries cannot be split into {parts} for {count} outputs")
    return tuple(np.split(data, np.cumsum(parts)[:-1], axis=axis))


def _top_k(node: ir.Node, inputs: list[Array]) -> tuple[Array, ...] | None:
    data, wanted = inputs[0], inputs[1].reshape(-1)
    if data.size > MAX_SORTED:
        return None
    axis = axis_of(int(attribute(node, "axis", -1)), data.ndim)
    size, count = data.shape[axis], int(wanted[0]) if wanted.size == 1 else -1
    if not 0 <= count <= size:
        raise ValueError(f"the {wanted[:3]} largest of {size} entries are asked for")
    if attribute(node, "largest", 1):  # reversed twice, so that of equal entries the first one comes first
        order = size - 1 - np.flip(np.argsort(np.flip(data, axis), axis=axis, kind="stable"), axis)
    else:
        order = np.argsort(data, axis=axis, kind="stable")
    indices = np.take(order, range(count), axis=axis).astype(np.int64)
    return np.take_along_axis(data, indices, axis), indices


def _unique(node: ir.Node, inputs: list[Array]) -> tuple[Array, ...] | None:
    data, axis = inputs[0], attribute(node, "axis")
    if data.size > MAX_SORTED:
        return None
    along = None if axis is None else axis_of(int(axis), data.ndim)
    found, first, inverse, counts = np.unique(
        data, return_index=True, return_inverse=True, return_counts=True, axis=along
    )
    # If they are not to be sorted: in the order in which they appear.
    order = np.arange(first.size) if attribute(node, "sorted", 1) else np.argsort(first, kind="stable")
    place = np.argsort(order, kind="stable")
    results = np.take(found, order, axis=0 if along is None else along)
    return results, first[order].astype(np.int64), place[inverse.reshape(-1)], counts[order].astype(np.int64)


def _dropout(node: ir.Node, inputs: list[Array]) -> tuple[Array, ...] | None:
    if len(inputs) > 2 and inputs[2].any():
        return None  # in training mode the result is random
    return inputs[0], np.broadcast_to(np.True_, inputs[0].shape)


RULES: dict[str, Callable[[ir.Node, list[Array]], tuple[Array, ...] | None]] = {
    "Dropout": _dropout,
    "Split": _split,
    "TopK": _top_k,
    "Unique": _unique,
}
"""By operator: all outputs, or None if they are not known."""
