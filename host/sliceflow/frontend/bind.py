"""One size for every dimension: what a fixed program needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.frontend.batch import contradiction, find_batch, open_axes
from sliceflow.frontend.interface import mark_images
from sliceflow.frontend.nodes import verify_windows
from sliceflow.frontend.shapes import forget_shapes, infer_shapes, set_input_shapes
from sliceflow.frontend.sizes import verify_sizes
from sliceflow.passes import normalize
from sliceflow.passes.view import dims


def bind_shapes(model: ir.Model, batch: int = 1, input_shapes: Mapping[str, Sequence[int]] | None = None) -> ir.Model:
    """A copy of a normalized model in which every input has a fixed shape.

    Axes that count images get the size ``batch``; which ones do, ``find_batch`` proves. All other inputs keep their
    shape. ``interface`` tells of the result how its inputs and outputs hold images.

    Args:
        model: a model as ``load_model`` returns it; it is not changed.
        batch: the new number of images.
        input_shapes: sizes of inputs by name, written over what the model says.

    Raises:
        UserError: a dimension remains open, or an open first axis does not count images.
    """
    start = model.clone()
    if input_shapes:
        set_input_shapes(start, input_shapes)
        infer_shapes(start)
        verify_windows(start)
    _verify_closed(start)
    found = find_batch(start)
    bound = found.of(start, batch)
    verify_windows(bound)
    normalize(bound)
    forget_shapes(bound)
    infer_shapes(bound)
    problem = contradiction(bound)
    if problem is not None:
        raise UserError(
            "the model does not work with these sizes of its inputs",
            where=problem[0],
            why=problem[1],
            fix="give other shapes with --shape, or export the model with dynamic ones",
        )
    verify_sizes(bound, "the model")
    mark_images(bound, found)
    return bound


def _verify_closed(model: ir.Model) -> None:
    """Refuse open dimensions that do not count images.

    Raises:
        UserError: there is one.
    """
    axes, _ = open_axes(model)
    for value in model.graph.inputs:
        found = dims(value)
        example = "1x3x224x224" if found is None else "x".join(_example(i, size) for i, size in enumerate(found))
        fix = f"give its shape: --shape {value.name}={example}"
        if found is None:
            raise UserError("the shape of an input is not known", where=f"input {value.name!r}", fix=fix)
        for position, size in enumerate(found):
            counts = position == axes.get(str(value.name))
            if not counts and not (isinstance(size, int) and size > 0):
                raise UserError(
                    f"dimension {position} of an input is open",
                    where=f"input {value.name!r} of shape {value.shape}",
                    why="a program for the accelerator has fixed sizes",
                    fix=fix,
                )


def _example(position: int, size: int | str | None) -> str:
    if isinstance(size, int):
        return str(size)
    return "1" if position == 0 else "3" if position == 1 else "224"
