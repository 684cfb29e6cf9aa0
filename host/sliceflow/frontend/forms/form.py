"""What every form is made of."""

from __future__ import annotations

import abc
from typing import ClassVar

import onnx_ir as ir

from sliceflow.passes.base import Pass
from sliceflow.passes.view import attribute

MICROSOFT = "com.microsoft"
"""The domain of ONNX Runtime's own operators; their meaning is in its docs/ContribOperators.md."""


class Form(Pass):
    """A pass that rewrites one spelling, and can say what it did.

    Attributes:
        exact: whether the new spelling means the same numbers.
    """

    exact: ClassVar[bool] = True

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


def whole(node: ir.Node, name: str, default: int = 0) -> int:
    """An integer attribute of an operator whose attributes no schema has checked.

    Raises:
        TypeError: it is none.
    """
    found = attribute(node, name, default)
    if not isinstance(found, int):
        raise TypeError(f"its attribute {name} is no integer")
    return found


def real(node: ir.Node, name: str, default: float) -> float:
    """A float attribute of an operator whose attributes no schema has checked.

    Raises:
        TypeError: it is none.
    """
    found = attribute(node, name, default)
    if not isinstance(found, (int, float)):
        raise TypeError(f"its attribute {name} is no number")
    return float(found)
