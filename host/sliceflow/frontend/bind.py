"""One size for every dimension: what a fixed program needs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.frontend.nodes import verify_windows
from sliceflow.frontend.shapes import forget_shapes, infer_shapes, set_input_shapes
from sliceflow.frontend.sizes import verify_sizes
from sliceflow.passes import normalize
from sliceflow.passes.edit import add_initializer
from sliceflow.passes.view import attribute, dims, input_at, integers, is_op, static_shape

logger = logging.getLogger(__name__)


def bind_shapes(model: ir.Model, batch: int = 1, input_shapes: Mapping[str, Sequence[int]] | None = None) -> ir.Model:
    """A copy of a normalized model in which every input has a fixed shape.

    The first dimension of inputs of rank 2 and more is the batch, whether it is symbolic or fixed; it becomes
    ``batch``. An input named in ``input_shapes`` gets exactly that shape. Reshape targets that hold the old fixed
    batch are rewritten.

    Args:
        model: a model as ``load_model`` returns it; it is not changed.
        batch: the new batch size.
        input_shapes: sizes of inputs by name.

    Raises:
        UserError: a dimension remains open, or the model works for its own batch size only.
    """
    bound = model.clone()
    given = dict(input_shapes or {})
    old = {_batch(value) for value in bound.graph.inputs if value.name not in given}
    fixed = {size for size in old if isinstance(size, int) and size != batch}
    symbols = {size for size in old if isinstance(size, str)}
    shapes = {str(value.name): _bound(value, batch, symbols) for value in bound.graph.inputs if value.name not in given}
    if len(fixed) == 1:
        _rewrite_targets(bound, fixed.pop(), batch)
    _bind_foreign(bound, symbols, batch)
    set_input_shapes(bound, {**shapes, **given})
    infer_shapes(bound)
    _verify_windows(bound, batch, changed=bool(old - {batch}))
    normalize(bound)
    forget_shapes(bound)
    infer_shapes(bound)
    _verify_outputs(model, bound, batch)
    verify_sizes(bound, "the model")
    return bound


def _batch(value: ir.Value) -> int | str | None:
    found = dims(value)
    return found[0] if found is not None and len(found) >= 2 else None


def _bound(value: ir.Value, batch: int, symbols: set[str]) -> list[int]:
    """The fixed shape of an input.

    Raises:
        UserError: a dimension other than the batch is open.
    """
    found = dims(value)
    example = "1x3x224x224" if found is None else "x".join(_example(i, size) for i, size in enumerate(found))
    fix = f"give its shape: --shape {value.name}={example}"
    if found is None:
        raise UserError("the shape of an input is not known", where=f"input {value.name!r}", fix=fix)
    sizes: list[int] = []
    for position, size in enumerate(found):
        if (position == 0 and len(found) >= 2) or (size is not None and size in symbols):
            sizes.append(batch)
        elif isinstance(size, int) and size > 0:
            sizes.append(size)
        else:
            raise UserError(
                f"dimension {position} of an input is open",
                where=f"input {value.name!r} of shape {value.shape}",
                why="a program for the accelerator has fixed sizes",
                fix=fix,
            )
    return sizes


def _example(position: int, size: int | str | None) -> str:
    if isinstance(size, int):
        return str(size)
    return "1" if position == 0 else "3" if position == 1 else "224"


def _rewrite_targets(model: ir.Model, old: int, batch: int) -> None:
    """Reshape targets that start with the old batch, on tensors that do so too, start with the new one."""
    for node in model.graph:
        if not is_op(node, "Reshape"):
            continue
        target, source = integers(input_at(node, 1)), dims(node.inputs[0])
        if target and source and target[0] == old and source[0] == old:
            wanted = np.array([batch, *target[1:]], np.int64)
            node.replace_input_with(1, add_initializer(model.graph, wanted, f"{node.name}_shape"))


def _bind_foreign(model: ir.Model, symbols: set[str], batch: int) -> None:
    """Declared shapes of operators without shape inference follow the batch."""
    for node in model.graph:
        for value in node.outputs if node.domain != "" else ():
            found = dims(value)
            if found is not None:
                value.shape = ir.Shape([batch if size is not None and size in symbols else size for size in found])


def _verify_windows(bound: ir.Model, batch: int, *, changed: bool) -> None:
    """A layer that contradicts itself with a new batch size only is no fault of the exporter."""
    try:
        verify_windows(bound)
    except UserError as error:
        if not changed:
            raise
        raise UserError(
            f"the model cannot run with batch size {batch}",
            where=error.where,
            why=f"the batch must be the first dimension everywhere, but then {error.what}",
            fix="export the model with the batch first, or with batch size 1",
        ) from error


def _verify_outputs(model: ir.Model, bound: ir.Model, batch: int) -> None:
    """Refuse a model whose nodes contradict the new sizes."""
    for node in bound.graph:
        if not is_op(node, "Reshape"):
            continue
        before, target = static_shape(node.inputs[0]), integers(input_at(node, 1))
        if before is None or target is None or attribute(node, "allowzero", 0):
            continue
        try:
            np.broadcast_to(np.int8(0), before).reshape([before[i] if s == 0 else s for i, s in enumerate(target)])
        except (IndexError, ValueError) as error:
            raise UserError(
                f"the model cannot run with batch size {batch}",
                where=f"node {node.name} (Reshape)",
                why=f"it reshapes {list(before)} to {target}",
                fix="export the model with a dynamic batch, or with batch size 1",
            ) from error
    for old, new in zip(model.graph.outputs, bound.graph.outputs, strict=True):
        before_rank, after_rank = dims(old), dims(new)
        if before_rank is not None and after_rank is not None and len(before_rank) != len(after_rank):
            raise UserError(f"output {old.name!r} changes its rank with the batch size", fix="export with batch 1")
