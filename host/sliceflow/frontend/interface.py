"""The inputs and outputs of a bound model as plain data, with what is known of the images in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import onnx_ir as ir

from sliceflow.frontend.batch import Batch, Mixing
from sliceflow.graph.program import Value
from sliceflow.passes.view import dims

_KEY = "sliceflow.images"


def mark_images(bound: ir.Model, batch: Batch) -> None:
    """Write down which axes count images, for ``interface`` to find, also in copies of the model."""
    lines = {str(value.name): batch.lines.get(str(value.name)) for value in bound.graph.outputs}
    outputs = {name: line.axis for name, line in lines.items() if line is not None}
    bound.graph.meta[_KEY] = (batch.inputs, outputs, batch.mixing)


def interface(bound: ir.Model) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """Inputs and outputs of a model that ``bind_shapes`` returned, or of a copy of it."""
    inputs, outputs, _ = bound.graph.meta[_KEY]
    return (
        tuple(value_of(value, inputs) for value in bound.graph.inputs),
        tuple(value_of(value, outputs) for value in bound.graph.outputs),
    )


@dataclasses.dataclass(frozen=True)
class InputAxis:
    """What the first axis of an input is, for reports.

    Attributes:
        name: of the input.
        shape: its shape, 0 for the axis that counts images.
        first_axis: ``batch`` (any number of images), ``one image`` (the model takes one; more are further runs),
            ``part of the sample`` (the input is one whole sample), ``same for all images``, or ``not the batch`` (which
            is another axis).
        why: what speaks against a batch, where there could have been one.
    """

    name: str
    shape: tuple[int, ...]
    first_axis: str
    why: str = ""


def input_axes(bound: ir.Model) -> tuple[InputAxis, ...]:
    """What the first axes of a bound model's inputs are."""
    inputs, _ = interface(bound)
    mixing: Mixing | None = bound.graph.meta[_KEY][2]
    beside_images = any(0 in value.shape for value in inputs)
    found = []
    for value in inputs:
        if 0 in value.shape:
            kind = "not the batch" if value.shape.index(0) else "batch"
        elif beside_images:
            kind = "same for all images"
        else:
            kind = "one image" if value.shape[:1] == (1,) else "part of the sample"
        why = f"{mixing.where}: {mixing.why}" if mixing is not None and kind == "part of the sample" else ""
        found.append(InputAxis(value.name, value.shape, kind, why))
    return tuple(found)


def value_of(value: ir.Value, axes: Mapping[str, int], single: Mapping[str, int] | None = None) -> Value:
    """One value; its axis of images, if ``axes`` has one, gets the size 0, and that of ``single`` the size 1."""
    axis, one = axes.get(str(value.name)), (single or {}).get(str(value.name))
    sizes = [0 if place == axis else 1 if place == one else size for place, size in enumerate(dims(value) or ())]
    known = tuple(size for size in sizes if isinstance(size, int))
    return Value(
        name=str(value.name),
        shape=known if len(known) == len(sizes) else (),
        dtype=value.dtype.numpy().name if value.dtype is not None else "float32",
    )
