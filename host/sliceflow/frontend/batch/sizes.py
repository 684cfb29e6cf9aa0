"""Gives a model a number of images, and finds constants that change with that number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.frontend.batch.lines import Line, MixedError, Spread, uniform_line
from sliceflow.frontend.nodes import verify_windows
from sliceflow.frontend.shapes import set_input_shapes
from sliceflow.passes.edit import add_initializer
from sliceflow.passes.view import attribute, constant, dims, input_at, integers, is_op, static_shape

_SIZES = {
    *(("ConstantOfShape", 0), ("Expand", 1), ("Pad", 1), ("Reshape", 1), ("Split", 1), ("Tile", 1), ("TopK", 1)),
    *(("Resize", 1), ("Resize", 2), ("Resize", 3), ("Slice", 1), ("Slice", 2), ("Slice", 3), ("Slice", 4)),
}
"""Inputs that say how large something is: operator, and number of the input."""
_MANY = 64
"""Constants of fewer integers may be sizes."""


def input_sizes(model: ir.Model, axes: Mapping[str, int], images: int) -> dict[str, list[int]]:
    """The shapes of all inputs with so many images; open dimensions that are no images count as unknown (left out)."""
    found = {}
    for value in model.graph.inputs:
        axis = axes.get(str(value.name))
        sizes = [images if place == axis else size for place, size in enumerate(dims(value) or ())]
        known = [size for size in sizes if isinstance(size, int)]
        if len(known) == len(sizes) and value.shape is not None:
            found[str(value.name)] = known
    return found


def with_images(model: ir.Model, axes: Mapping[str, int], images: int, symbols: set[str]) -> ir.Model:
    """A copy of a model for so many images, with the shapes that follow.

    Args:
        model: a normalized model whose inputs have no other open dimensions.
        axes: where inputs have their images.
        images: how many.
        symbols: names of the number of images in the model.
    """
    copy = model.clone()
    for node in copy.graph:
        for value in node.outputs if node.domain != "" else ():  # inference does not know these operators
            found = dims(value)
            if found is not None:
                value.shape = ir.Shape([images if size is not None and size in symbols else size for size in found])
    set_input_shapes(copy, input_sizes(copy, axes, images))
    return copy


def rewrite_targets(model: ir.Model, lines: Mapping[str, Line], images: int) -> None:
    """Write another number of images into the constant shapes of Reshape, Expand and Resize.

    Args:
        model: a model for a fixed number of images.
        lines: where its values have them.
        images: the new number.
    """
    for node in model.graph:
        index = {"Reshape": 1, "Expand": 1, "Resize": 3}.get(node.op_type) if node.domain == "" else None
        line = lines.get(str(node.outputs[0].name))
        target = integers(input_at(node, index)) if index is not None and line is not None else None
        if index is None or line is None or target is None:
            continue
        after = static_shape(node.outputs[0])
        place = line.axis - (0 if after is None else len(after) - len(target))
        if 0 <= place < len(target) and target[place] > 0:
            size = 1 if is_op(node, "Expand") else line.per * images
            wanted = np.array([*target[:place], size, *target[place + 1 :]], np.int64)
            node.replace_input_with(index, add_initializer(model.graph, wanted, f"{node.name}_shape"))


def contradiction(model: ir.Model) -> tuple[str, str] | None:
    """The node with which a model cannot run at the sizes it has, and why; None if its layers and reshapes can."""
    try:
        verify_windows(model)
    except UserError as error:
        return error.where, error.what
    for node in model.graph:
        if not is_op(node, "Reshape") or attribute(node, "allowzero", 0):
            continue
        before, target = static_shape(input_at(node, 0)), integers(input_at(node, 1))
        if before is None or target is None:
            continue
        try:
            np.broadcast_to(np.int8(0), before).reshape([before[i] if s == 0 else s for i, s in enumerate(target)])
        except (IndexError, ValueError):
            return f"node {node.name} (Reshape)", f"it reshapes {list(before)} to {target}"
    return None


def rewrite_constants(model: ir.Model, spread: Spread, images: int) -> None:
    """Give constants that hold the same for each image another number of images."""
    for node in model.graph:
        for index, value in enumerate(node.inputs):
            line, array = spread.get((str(node.name), index)), constant(value)
            if line is not None and array is not None:
                fewer = np.repeat(np.take(array, [0], line.axis), images * line.per, line.axis)
                node.replace_input_with(index, add_initializer(model.graph, fewer, f"{node.name}_input_{index}"))


def counts_images(model: ir.Model) -> bool:
    """Whether the model computes with sizes of tensors."""
    return any(node.op_type in ("Shape", "Size") for node in ir.traversal.RecursiveGraphIterator(model.graph))


def verify_constants(first: ir.Model, second: ir.Model, counts: tuple[int, int]) -> None:
    """Compare the constants of one model with two numbers of images.

    Raises:
        MixedError: a constant that is no size changes with the number of images.
    """
    others = {node.name: node for node in second.graph}
    for node in first.graph:
        other = others.get(node.name)
        if other is None or other.op_type != node.op_type or len(other.inputs) != len(node.inputs):
            continue
        for index in _changed(node, other, counts):
            if (node.op_type, index) not in _SIZES:
                raise MixedError(node, f"its input {index} changes with the number of images")


def _changed(node: ir.Node, other: ir.Node, counts: tuple[int, int]) -> Iterator[int]:
    for index, pair in enumerate(zip(node.inputs, other.inputs, strict=True)):
        values = [value for value in pair if value is not None]
        if len(values) < 2 or values[0].const_value is values[1].const_value:
            continue
        arrays = [constant(value) for value in values]
        lines = [uniform_line(value, count) for value, count in zip(values, counts, strict=True)]
        if lines[0] is not None and lines[0] == lines[1]:
            arrays = [array if array is None else np.take(array, [0], lines[0].axis) for array in arrays]
        first, second = arrays
        if first is not None and second is not None and not np.array_equal(first, second):
            yield index


def unusual(models: Sequence[ir.Model], besides: Sequence[int] = ()) -> int:
    """A number of images that is the size of nothing else: a prime that appears nowhere in the models."""
    taken = set(besides)
    for model in models:
        values = [*model.graph.inputs, *model.graph.initializers.values()]
        values += [output for node in model.graph for output in node.outputs]
        for value in values:
            taken |= {size for size in dims(value) or () if isinstance(size, int)}
        for value in model.graph.initializers.values():
            if value.dtype == ir.DataType.INT64 and math.prod(static_shape(value) or (_MANY,)) < _MANY:
                taken |= set(integers(value) or ())
    number = 13
    while number in taken or any(number % divisor == 0 for divisor in range(2, number)):
        number += 1
    return number
