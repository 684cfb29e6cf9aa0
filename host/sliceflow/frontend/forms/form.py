"""What every form is made of."""

from __future__ import annotations

import abc

from sliceflow.passes.base import Pass

MICROSOFT = "com.microsoft"
"""The domain of ONNX Runtime's own operators; their meaning is in its docs/ContribOperators.md."""


class Form(Pass):
    """A pass that rewrites one spelling, and can say what it did."""

    @classmethod
    @abc.abstractmethod
    def note(cls, count: int) -> str:
        """One sentence for the user.

        Args:
            count: nodes that were rewritten.
        """


def nodes(count: int) -> str:
    """A number of nodes, in words."""
    return f"{count} node" if count == 1 else f"{count} nodes"
