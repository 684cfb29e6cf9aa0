"""Node names."""

from __future__ import annotations

import onnx_ir as ir

from sliceflow.passes.base import Pass


class NameNodes(Pass):
    """Every node gets a name of its own.

    1. A node without a name is called ``Op_index``, its operator and its position in the graph.
    2. A name that an earlier node has is followed by ``_2``, ``_3`` ...
    """

    name = "name-nodes"
    summary = "give every node a name of its own"

    def begin(self, model: ir.Model) -> None:
        """Collect the names that are given."""
        self._given = {node.name for node in model.graph if node.name}
        self._used: set[str] = set()
        self._position = -1

    def rewrite(self, node: ir.Node) -> bool:
        """Name one node."""
        self._position += 1
        name, hint, number = node.name, node.name or f"{node.op_type}_{self._position}", 1
        taken = self._used if name else self._used | self._given
        candidate = hint
        while candidate in taken:
            number += 1
            candidate = f"{hint}_{number}"
            taken = self._used | self._given
        self._used.add(candidate)
        node.name = candidate
        return bool(name != candidate)

    def ensures(self, model: ir.Model) -> None:
        """Names are unique."""
        names = [node.name for node in model.graph]
        if len(set(names)) != len(names) or not all(names):
            raise ir.passes.PostconditionError("two nodes have one name")
