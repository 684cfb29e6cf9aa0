"""The analyses: one sweep over the nodes each, and a closure."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sliceflow.passes.channels.state import Constants, Index, Masks, channels
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


class Closure:
    """Channels that stay, together with all that must stay with them.

    Inputs of the model stay whole; of every other tensor at least one channel stays.

    Args:
        graph: the graph; its shapes must not change meanwhile.
        keep: what stays; it grows.
    """

    def __init__(self, graph: ir.Graph, keep: Masks) -> None:
        self.keep = keep
        self._rules = {node: rule_of(node) for node in graph}
        for value in graph.inputs:
            keep.grow_all(value)
        self._settle(list(self._rules))

    def add(self, value: ir.Value, index: Index) -> None:
        """Let more channels stay, and what belongs to them."""
        self.keep.grow_at(value, index)
        self._settle([])

    def align(self, multiple: int) -> None:
        """Let more channels of layers stay, so that each keeps a multiple of a number, or all."""
        for node in self._rules:
            value = node.outputs[0]
            if is_op(node, *LAYERS) and channels(value) is not None:
                kept = self.keep[value]
                missing = -int(kept.sum()) % multiple
                if missing:
                    self.add(value, np.flatnonzero(~kept)[:missing])

    def _settle(self, first: list[ir.Node]) -> None:
        """Apply the ties of these nodes, and of all that touch a tensor whose channels grow."""
        waiting = dict.fromkeys(first)
        while waiting or self.keep.grown:
            for value in self.keep.grown:
                touched = (value.producer(), *value.consumers())
                waiting.update((node, None) for node in touched if node is not None and node in self._rules)
            self.keep.grown.clear()
            if waiting:
                node, _ = waiting.popitem()
                self._rules[node].tie(node, self.keep)
                for value in node.outputs:
                    if channels(value) is not None and not self.keep[value].any():
                        self.keep.grow_at(value, np.zeros(1, np.intp))
