"""The analyses: one sweep over the nodes each, and a closure."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sliceflow.passes.channels.rule import Rule
from sliceflow.passes.channels.state import Constants, Masks, channels
from sliceflow.passes.channels.table import LAYERS, rule_of
from sliceflow.passes.view import is_op


def constants(graph: ir.Graph) -> Constants:
    """The constant channels of every tensor, for any input of any size."""
    known = Constants()
    for node in graph:
        rule_of(node).constants(node, known)
    return known


def needed(graph: ir.Graph) -> Masks:
    """The channels of every tensor that an output of the model depends on."""
    found = Masks()
    for value in graph.outputs:
        found.grow_all(value)
    for value in (*graph.inputs, *(output for node in graph for output in node.outputs)):
        if any(reader.graph is not graph for reader, _ in value.uses()):  # in a branch or loop body
            found.grow_all(value)
    for node in reversed(list(graph)):
        rule_of(node).need(node, found)
    return found


def close(graph: ir.Graph, keep: Masks) -> None:
    """Add what must stay for what stays, until nothing more is added.

    Inputs of the model stay whole; of every other tensor at least one channel stays.
    """
    for value in graph.inputs:
        keep.grow_all(value)
    nodes = [(node, rule_of(node)) for node in graph]
    _settle(nodes, keep)


def align(graph: ir.Graph, keep: Masks, multiple: int) -> None:
    """Keep more channels of layers, so that each keeps a multiple of a number, or all; what is coupled follows.

    Args:
        graph: the graph.
        keep: a closed set, which grows and stays closed.
        multiple: of which number.
    """
    nodes = [(node, rule_of(node)) for node in graph]
    for node in graph:
        value = node.outputs[0]
        if is_op(node, *LAYERS) and channels(value) is not None:
            kept = keep[value]
            missing = -int(kept.sum()) % multiple
            if missing:
                keep.grow_at(value, np.flatnonzero(~kept)[:missing])
                _settle(nodes, keep)


def _settle(nodes: list[tuple[ir.Node, Rule]], keep: Masks) -> None:
    keep.changed = True
    while keep.changed:
        keep.changed = False
        for node, rule in (*nodes, *reversed(nodes)):
            rule.tie(node, keep)
            for value in node.outputs:
                if channels(value) is not None and not keep[value].any():
                    keep.grow_at(value, np.zeros(1, np.intp))
