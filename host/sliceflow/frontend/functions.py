"""Functions that a model brings along."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common

from sliceflow.errors import UserError
from sliceflow.frontend.structure import MAX_NODES


def inline_functions(model: ir.Model, where: str) -> None:
    """Put the bodies of the model's functions in the place of their calls.

    Raises:
        UserError: functions call each other in a circle, or would grow beyond ``MAX_NODES``.
    """
    if not model.functions:
        return
    sizes: dict[ir.OperatorIdentifier, int] = {}
    total = sum(_size(node, model, sizes, (), where) for node in model.graph.all_nodes())
    if total > MAX_NODES:
        raise UserError(
            "the functions of the model are too large",
            where=where,
            why=f"inlined they would have {total} nodes; {MAX_NODES} are allowed",
        )
    for function in model.functions.values():
        version = function.opset_imports.get("", function.opset_imports.get("ai.onnx"))
        own = model.graph.opset_imports.get("")
        if version is not None and own is not None and version != own:
            raise UserError(
                "a function of the model uses another opset than its graph",
                where=f"function {function.domain}::{function.name}, {where}",
                why=f"opset {version} and opset {own}",
                fix="inline the functions with onnx.inliner before",
            )
    try:
        common.InlinePass()(model)
    except (ir.passes.InvariantError, ir.passes.PassError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError("the functions of the model cannot be inlined", where=where, why=str(error)) from error


def _size(
    node: ir.Node,
    model: ir.Model,
    sizes: dict[ir.OperatorIdentifier, int],
    stack: tuple[ir.OperatorIdentifier, ...],
    where: str,
) -> int:
    """Nodes that a node stands for, capped above the limit so that the numbers stay small."""
    key = node.op_identifier()
    function = model.functions.get(key)
    if function is None:
        return 1
    if key in stack or len(stack) > 100:
        raise UserError("the functions of the model call each other in a circle", where=f"function {key[1]}, {where}")
    if key not in sizes:
        inner = (_size(child, model, sizes, (*stack, key), where) for child in function.all_nodes())
        sizes[key] = min(sum(inner), MAX_NODES + 1)
    return sizes[key]
