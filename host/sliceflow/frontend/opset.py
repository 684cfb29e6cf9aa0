"""One opset for everything behind the front end.

Older models are raised by the adaptors of ``opset_rules``; newer ones are lowered if none of their nodes uses what
came later, and left at their opset otherwise.
"""

from __future__ import annotations

import logging

import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.frontend.opset_rules import RULES, SHAPE_RULES, Rules
from sliceflow.frontend.schemas import schema
from sliceflow.frontend.shapes import infer_shapes
from sliceflow.frontend.written_opset import remember_opset

logger = logging.getLogger(__name__)

OPSET = 21
"""The canonical opset of the standard domain."""
_IR_VERSION = 10
"""The IR version that came with it."""


def upgrade(model: ir.Model, where: str) -> int | None:
    """Bring the standard domain of a model to the canonical opset, in place, as far as that needs no shapes.

    Args:
        model: its types are known as far as inference at the old opset goes.
        where: the model, for messages.

    Returns:
        The opset that it had; None if it names none.

    Raises:
        UserError: a node has no equivalent in the canonical opset.
    """
    version = model.graph.opset_imports.get("")
    remember_opset(model, version)
    if version is None or (version > OPSET and not _fits(model, version)):
        logger.info("the model stays at opset %s", version)
    else:
        _apply(RULES, model, version, where)
        model.graph.opset_imports[""] = OPSET
        for node in ir.traversal.RecursiveGraphIterator(model.graph):
            node.version = None
    # A model whose initializers are no inputs needs IR version 4 at least.
    model.ir_version = max(model.ir_version or 0, _IR_VERSION)
    return version


def upgrade_by_shape(model: ir.Model, version: int | None, where: str) -> None:
    """Apply the rules that read shapes, in place, and infer what follows.

    Args:
        model: as ``upgrade`` left it, with inferred shapes.
        version: what ``upgrade`` returned.
        where: the model, for messages.

    Raises:
        UserError: a node has no equivalent in the canonical opset.
    """
    if version is not None:
        _apply(SHAPE_RULES, model, version, where)
        infer_shapes(model)


def _apply(rules: Rules, model: ir.Model, version: int, where: str) -> None:
    for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
        known = node.domain == "" and schema(node.op_type, version) is not None
        for below, adapt in rules.get(node.op_type, ()) if known else ():
            if version >= below:
                continue
            try:
                adapt(node, model.graph, where)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise UserError(
                    f"the node cannot be converted from opset {version}: {error}",
                    where=f"node {node.name} ({node.op_type}) of {where}",
                    why="its inputs or attributes contradict each other",
                    fix="check the model with onnx.checker and ONNX Runtime",
                ) from error


def _fits(model: ir.Model, version: int) -> bool:
    """Whether every node means at the canonical opset what it means at a newer one."""
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.domain != "":
            continue
        new, old = schema(node.op_type, version), schema(node.op_type, OPSET)
        if new is None or new is old or (old is not None and new.since_version == old.since_version):
            continue
        if old is None or len(node.inputs) > old.max_input or not set(node.attributes) <= set(old.attributes):
            return False
    return True
