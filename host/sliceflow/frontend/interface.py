"""The inputs and outputs of a bound model as plain data, with what is known of the images in them."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from sliceflow.frontend.batch import Batch
from sliceflow.graph.program import Value
from sliceflow.passes.view import dims

_KEY = "sliceflow.images"


def mark_images(bound: ir.Model, batch: Batch) -> None:
    """Write down which axes count images, for ``interface`` to find, also in copies of the model."""
    lines = {str(value.name): batch.lines.get(str(value.name)) for value in bound.graph.outputs}
    outputs = {name: line.axis for name, line in lines.items() if line is not None}
    bound.graph.meta[_KEY] = (batch.inputs, outputs)


def interface(bound: ir.Model) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """Inputs and outputs of a model that ``bind_shapes`` returned, or of a copy of it."""
    inputs, outputs = bound.graph.meta[_KEY]
    return (
        tuple(value_of(value, inputs) for value in bound.graph.inputs),
        tuple(value_of(value, outputs) for value in bound.graph.outputs),
    )


def value_of(value: ir.Value, axes: Mapping[str, int]) -> Value:
    """One value; its axis of images, if ``axes`` has one, gets the size 0."""
    axis = axes.get(str(value.name))
    sizes = [0 if place == axis else size for place, size in enumerate(dims(value) or ())]
    known = tuple(size for size in sizes if isinstance(size, int))
    return Value(
        name=str(value.name),
        shape=known if len(known) == len(sizes) else (),
        dtype=value.dtype.numpy().name if value.dtype is not None else "float32",
    )
