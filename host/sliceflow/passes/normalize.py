"""The order in which the passes make a model normal."""

from __future__ import annotations

import logging

import onnx_ir as ir
from onnx_ir.passes import common

from sliceflow.errors import InternalError
from sliceflow.passes.base import Pass
from sliceflow.passes.batch_norm_to_conv import BatchNormToConv
from sliceflow.passes.dequantize_layout import DequantizeLayout
from sliceflow.passes.explicit_windows import ExplicitWindows
from sliceflow.passes.fold_affine import FoldAffineBackward, FoldAffineForward
from sliceflow.passes.fold_constants import FoldConstants
from sliceflow.passes.fully_connected import FullyConnected
from sliceflow.passes.merge_pad import MergePad
from sliceflow.passes.name_nodes import NameNodes
from sliceflow.passes.remove_no_ops import RemoveNoOps
from sliceflow.passes.resolve_reshape import ResolveReshape
from sliceflow.passes.sum_to_add import SumToAdd
from sliceflow.passes.to_flatten import ToFlatten
from sliceflow.passes.to_global_pool import ToGlobalPool

logger = logging.getLogger(__name__)

_ORDER: tuple[type[Pass], ...] = (
    NameNodes,
    FoldConstants,
    SumToAdd,
    ResolveReshape,
    RemoveNoOps,
    ExplicitWindows,
    ToGlobalPool,
    ToFlatten,
    MergePad,
    DequantizeLayout,
    FullyConnected,
    FoldAffineBackward,
    FoldAffineForward,
    BatchNormToConv,
)
_LAST_RESORT = (BatchNormToConv,)
"""Passes that run only when the others find nothing more."""
_MAX_ROUNDS = 50

PASSES: dict[str, type[Pass]] = {found.name: found for found in _ORDER}
"""All passes by the name that the command line uses, in their order."""


def normalize(model: ir.Model) -> dict[str, int]:
    """Bring a model into normalized form, in place.

    Args:
        model: a model at the canonical opset, its nodes in topological order, with the shapes that are known.

    Returns:
        How often each pass changed something, by its name; passes that did nothing are left out.

    Raises:
        UserError: a node contradicts itself, or its constants are too large.
        InternalError: a pass broke its own postcondition.
    """
    counts: dict[str, int] = {}
    early = [found for found in _ORDER if found not in _LAST_RESORT]
    for _ in range(_MAX_ROUNDS):
        if not _run(model, early, counts) and not _run(model, _LAST_RESORT, counts):
            break
    else:
        logger.warning("normalization stopped after %d rounds", _MAX_ROUNDS)
    common.RemoveUnusedNodesPass()(model)
    logger.info("normalized: %s", counts)
    return counts


def _run(model: ir.Model, passes: list[type[Pass]] | tuple[type[Pass], ...], counts: dict[str, int]) -> int:
    total = 0
    for kind in passes:
        step = kind()
        try:
            step(model)
        except ir.passes.InvariantError as error:
            raise InternalError(f"pass {step.name} broke its postcondition: {error}") from error
        if step.changes:
            counts[step.name] = counts.get(step.name, 0) + step.changes
        total += step.changes
    return total
