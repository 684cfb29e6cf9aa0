"""Tensors must have sizes that a machine can hold."""

from __future__ import annotations

import math

import onnx_ir as ir

from sliceflow.errors import UserError

MAX_VALUES = 1 << 28
"""Values of the largest activation tensor, as far as its dimensions are known: 1 GiB in float32.

VGG16 at 224 x 224 needs an 80th of it."""


_FIX = "check the attributes and constant inputs of this node"


def verify_sizes(model: ir.Model, where: str) -> None:
    """Check the known sizes of all inputs and results, before anybody allocates them.

    Constants are not looked at: their values are there, and their sizes checked.

    Raises:
        UserError: a size is negative, or a tensor has more than ``MAX_VALUES`` values.
    """
    for value in model.graph.inputs:
        _verify(value, f"input {value.name!r} of {where}")
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        for value in node.outputs:
            _verify(value, f"node {node.name} ({node.op_type}) of {where}")


def _verify(value: ir.Value, at: str) -> None:
    if value.shape is None:
        return
    if any(isinstance(size, int) and size < 0 for size in value.shape):
        raise UserError("a tensor has a negative size", where=at, why=f"its shape is {value.shape}", fix=_FIX)
    count = math.prod(size for size in value.shape if isinstance(size, int) and size > 0)
    if count > MAX_VALUES:
        raise UserError(
            "a tensor is too large",
            where=at,
            why=f"its shape is {value.shape}; {MAX_VALUES} values are allowed",
            fix="use smaller inputs (--shape), or split the model",
        )
