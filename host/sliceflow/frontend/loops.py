"""Loops must come to an end: a program for the accelerator runs for a bounded time."""

from __future__ import annotations

import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.passes.view import constant, input_at

MAX_TRIPS = 1 << 20
"""Rounds that nested loops with a known number of rounds may make together."""


def verify_loops(model: ir.Model, where: str) -> None:
    """Check the number of rounds of every Loop, where it is a constant.

    Args:
        model: its constants are folded.
        where: the model, for messages.

    Raises:
        UserError: a Loop has no limit, or nested ones make more than ``MAX_TRIPS`` rounds together.
    """
    _verify_graph(model.graph, 1, where)


def _verify_graph(graph: ir.Graph, outer: int, where: str) -> None:
    for node in graph:
        rounds = outer * _rounds(node, where)
        if rounds > MAX_TRIPS:
            raise UserError(
                f"a loop makes {rounds} rounds" if rounds < 1 << 63 else "a loop makes more than 2^63 rounds",
                where=f"node {node.name} (Loop) of {where}",
                why=f"{MAX_TRIPS} are allowed, nested ones multiplied",
                fix="export the model without this loop",
            )
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                _verify_graph(attribute.as_graph(), rounds, where)


def _rounds(node: ir.Node, where: str) -> int:
    """Rounds of a Loop, as far as they are known; 1 for all others."""
    if node.op_type != "Loop" or node.domain != "":
        return 1
    limit = input_at(node, 0)
    if limit is None:
        raise UserError(
            "a loop has no limit",
            where=f"node {node.name} (Loop) of {where}",
            why="it may never end, and a program for the accelerator runs for a bounded time",
            fix="export the model with a largest number of rounds",
        )
    known = constant(limit)
    return 1 if known is None or known.size != 1 else max(1, int(known.reshape(-1)[0]))
