"""Shapes: inference, and sizes that the user gives."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import onnx_ir as ir
from onnx_ir.passes import common

from sliceflow.errors import UserError
from sliceflow.passes.fold_constants import FoldConstants
from sliceflow.passes.resolve_reshape import ResolveReshape

logger = logging.getLogger(__name__)
_LARGEST = 1 << 31
_MAX_ROUNDS = 200


def infer_types(model: ir.Model) -> None:
    """Add the types and shapes that one run of onnx's inference finds, at any opset.

    Its data propagation stays off: it computes the elements of shape vectors of any stated length, and so allocates
    what a hostile model asks for.
    """
    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=False)(model)


def infer_shapes(model: ir.Model) -> None:
    """Add the shapes and types that follow from the inputs of a model at the canonical opset; others stay unknown.

    Instead of onnx's data propagation our own folding is used, which is bounded: each round of it uncovers the targets
    of the next Reshape.
    """
    for _ in range(_MAX_ROUNDS):
        infer_types(model)
        resolved = [step(model).modified for step in (FoldConstants(), ResolveReshape())]
        if not any(resolved):
            return
    logger.warning("shape inference stopped after %d rounds", _MAX_ROUNDS)


def forget_shapes(model: ir.Model) -> None:
    """Drop the shapes that inference can find again: what nodes of the standard domain compute."""
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.domain == "":
            for value in node.outputs:
                value.shape = None


def set_input_shapes(model: ir.Model, shapes: Mapping[str, Sequence[int]]) -> None:
    """Write the sizes of inputs, and forget what was inferred from others.

    Raises:
        UserError: there is no such input, or the shape is impossible.
    """
    inputs = {value.name: value for value in model.graph.inputs}
    for name, shape in shapes.items():
        value = inputs.get(name)
        if value is None:
            known = ", ".join(str(key) for key in inputs)
            raise UserError(f"the model has no input {name!r}", why=f"its inputs are {known}", fix="name one of them")
        sizes = [int(size) for size in shape]
        if any(not 1 <= size < _LARGEST for size in sizes):
            raise UserError(f"the shape {sizes} is impossible", where=f"input {name!r}", fix="give positive sizes")
        if value.shape is not None and len(value.shape) != len(sizes):
            raise UserError(
                f"the shape {sizes} has {len(sizes)} dimensions",
                where=f"input {name!r}",
                why=f"the model declares {value.shape}",
                fix=f"give {len(value.shape)} sizes",
            )
        value.shape = ir.Shape(sizes)
    forget_shapes(model)
