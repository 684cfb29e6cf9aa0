"""The analyses: one sweep over the nodes each, and a closure."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sliceflow.passes.channels.state import Constants, Masks, channels
from sliceflow.passes.channels.table import rule_of


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
    keep.changed = True
    while keep.changed:
        keep.changed = False
        for node, rule in (*nodes, *reversed(nodes)):
            rule.tie(node, keep)
            for value in node.outputs:
                if channels(value) is not None and not keep[value].any():
                    keep.grow_at(value, np.zeros(1, np.intp))
