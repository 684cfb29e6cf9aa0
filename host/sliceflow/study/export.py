"""From a torch network to a graph from which all that pruning made useless has gone."""

from __future__ import annotations

import logging
from typing import Any

import onnx_ir as ir

from sliceflow.frontend.torch import export_module
from sliceflow.passes.simplify import simplify

logger = logging.getLogger(__name__)


def exported(model: Any, example: Any, *, simplified: bool = True) -> ir.Model:
    """Export, and remove what pruning made useless.

    Args:
        model: a torch network with one input.
        example: inputs, ``[N, ...]``.
        simplified: remove it; else pruned channels stay, as zeros.

    Raises:
        UserError: it cannot be exported.
    """
    graph = export_module(model, example, older_first=True)
    for held in simplify(graph).held if simplified else ():
        logger.info("%s (%s) holds pruned channels back: %s", held.node, held.op, held.reason)
    return graph
