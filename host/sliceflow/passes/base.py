"""What every pass is made of."""

from __future__ import annotations

import abc
import logging
from typing import ClassVar, final

import onnx_ir as ir

from sliceflow.errors import SliceflowError, UserError

logger = logging.getLogger(__name__)


class Pass(ir.passes.InPlacePass):
    """A named rewrite of the nodes of a model's main graph.

    Subgraphs of control flow are left as they are: such nodes run on the CPU, in ONNX Runtime.

    Attributes:
        name: kebab-case name, as the command line spells it.
        summary: what it does, in one line.
        changes: rewrites of the last run.
    """

    name: ClassVar[str]
    summary: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0

    @final
    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every node once, in graph order."""
        self.changes = 0
        self.begin(model)
        for node in list(model.graph):
            if node.graph is None:  # an earlier rewrite took it away
                continue
            try:
                changed = self.rewrite(node)
            except SliceflowError:
                raise
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise UserError(
                    f"the node cannot be normalized: {error}",
                    where=f"node {node.name} ({node.op_type}), pass {self.name}",
                    why="its shapes, attributes or constants contradict each other",
                    fix="check the model with onnx.checker and ONNX Runtime",
                ) from error
            if changed:
                self.changes += 1
                logger.debug("%s: %s (%s)", self.name, node.name, node.op_type)
        self.finish(model)
        return ir.passes.PassResult(model, modified=self.changes > 0)

    def begin(self, model: ir.Model) -> None:
        """Prepare a run."""

    def finish(self, model: ir.Model) -> None:
        """Complete a run, behind the last node."""

    @abc.abstractmethod
    def rewrite(self, node: ir.Node) -> bool:
        """Rewrite one node; True if anything changed."""
