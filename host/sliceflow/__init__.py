"""Deploys structurally pruned and quantized neural networks on FPGAs.

``Session`` runs a compiled model; everything else is in the sub-packages (docs/architecture.md). It is loaded when
it is first used, so that importing a sub-package stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sliceflow.runtime import Session

__all__ = ["Session"]


def __getattr__(name: str) -> Any:
    if name == "Session":
        from sliceflow.runtime import Session

        return Session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
