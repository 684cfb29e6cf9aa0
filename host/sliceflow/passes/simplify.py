"""Exact removal of pruned channels: the passes in their order, the report, and the check of the result."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from sliceflow.errors import InternalError, UserError
from sliceflow.passes.base import Pass
from sliceflow.passes.channels import channels, constants
from sliceflow.passes.channels.linear import Linear
from sliceflow.passes.channels.rule import Opaque
from sliceflow.passes.channels.table import LAYERS, rule_of
from sliceflow.passes.drop_zero_terms import DropZeroTerms
from sliceflow.passes.equivalence import largest_difference
from sliceflow.passes.layer_costs import LayerCost, layer_costs, total_macs
from sliceflow.passes.merge_constants import MergeConstants
from sliceflow.passes.propagate_constants import PropagateConstants
from sliceflow.passes.remove_channels import RemoveChannels
from sliceflow.passes.scatter_branches import Pays, ScatterBranches, worth
from sliceflow.passes.shuffle_to_gather import ShuffleToGather
from sliceflow.passes.view import is_op

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""Largest difference that the check accepts, as a share of an output's largest element: float32 sums in another
order differ by less, even over hundreds of layers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimplifyOptions:
    """What to do.

    Attributes:
        propagate: fold constant channels into biases, and merge those in front of zero padding.
        remove: cut channels that nobody needs.
        scatter: give the branches of residual sums channels of their own where this says that it pays, or, for a
            number, where it saves at least so many multiply-accumulates for each element that is moved; None keeps the
            union of the branches' channels.
        multiple: keep channels in multiples of this, where there are enough; 1 removes all that can be removed.
        check: run the model before and after on random inputs, and compare.
        seed: of those inputs.
    """

    propagate: bool = True
    remove: bool = True
    scatter: float | Pays | None = None
    multiple: int = 1
    check: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.multiple < 1:
            raise UserError("the multiple of channels must be at least 1", where="simplification options")


@dataclasses.dataclass(frozen=True)
class LayerChange:
    """A layer before and after. ``after`` is None if the layer is gone."""

    name: str
    before: LayerCost
    after: LayerCost | None


@dataclasses.dataclass(frozen=True)
class Held:
    """A node whose input channels stay although some might go, and why."""

    node: str
    op: str
    reason: str


@dataclasses.dataclass(frozen=True)
class SimplifyReport:
    """What simplification did.

    Attributes:
        layers: every layer with constant weights, in order.
        passes: how many nodes each pass changed, by its name.
        held: nodes that hold channels back, and why.
        difference: largest difference of an output between before and after, as a share of the largest element of
            that output; None if it was not checked.
    """

    layers: list[LayerChange]
    passes: dict[str, int]
    held: list[Held]
    difference: float | None

    def totals(self) -> dict[str, int | None]:
        """Sums over the layers: channels (of outputs), parameters, and MACs if all are known; before and after."""
        sums: dict[str, int | None] = {}
        for when in ("before", "after"):
            costs = [cost for layer in self.layers if (cost := getattr(layer, when)) is not None]
            sums[f"channels_{when}"] = sum(cost.outputs for cost in costs)
            sums[f"parameters_{when}"] = sum(cost.parameters for cost in costs)
            sums[f"macs_{when}"] = total_macs(costs)
        return sums

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
            "totals": self.totals(),
            "passes": self.passes,
            "held": [dataclasses.asdict(found) for found in self.held],
            "difference": self.difference,
        }


def simplify(
    model: ir.Model, options: SimplifyOptions | None = None, *, reference: ir.Model | Path | None = None
) -> SimplifyReport:
    """Remove from a model, in place, what pruning has made useless. The outputs stay the same, for inputs of any size.

    Args:
        model: a normalized model (``sliceflow.frontend.load_model``), float or quantized.
        options: what to do; everything by default.
        reference: the model to compare the result with; ``model`` as it is given, if omitted.

    Returns:
        What was removed.

    Raises:
        InternalError: the check found a difference.
    """
    options = options or SimplifyOptions()
    if options.check and reference is None:
        reference = model.clone()
    before = layer_costs(model)
    counts = {}
    for step in _steps(options):
        _run(step, model)
        if step.changes:
            counts[step.name] = step.changes
    after = layer_costs(model)
    held = _held(model)
    difference = None
    if options.check and reference is not None:
        difference = largest_difference(reference, model, seed=options.seed)
        _judge(difference)
    return SimplifyReport(
        [LayerChange(name, cost, after.get(name)) for name, cost in before.items()], counts, held, difference
    )


def _steps(options: SimplifyOptions) -> list[Pass]:
    steps: list[Pass] = [ShuffleToGather()]
    if options.propagate:
        steps += [PropagateConstants(), DropZeroTerms()]
        if options.scatter is not None:
            scatter = options.scatter
            steps.append(ScatterBranches(worth(scatter) if isinstance(scatter, (int, float)) else scatter))
        steps.append(MergeConstants())
    if options.remove:
        steps.append(RemoveChannels(options.multiple))
    return steps


def _run(step: Pass, model: ir.Model) -> None:
    try:
        step(model)
    except ir.passes.InvariantError as error:
        raise InternalError(f"pass {step.name} broke its postcondition: {error}") from error


def _held(model: ir.Model) -> list[Held]:
    known = constants(model.graph)
    found = []
    for node in model.graph:
        made = [value for value in node.inputs if channels(value) is not None and value and value.producer()]
        if made and isinstance(rule_of(node), Opaque):
            found.append(Held(str(node.name), node.op_type, "nothing is known of what this node does to channels"))
        linear = Linear.of(node) if is_op(node, *LAYERS) else None
        if linear is not None and linear.layer.dequantize is not None:
            values = linear.by_group(known.flat(linear.source))
            read = linear.nonzero().any(axis=1) & ~np.isnan(values)
            if read.any():
                count = np.count_nonzero(read)
                reason = f"{count} constant channels that are not zero cannot move into integer weights exactly"
                found.append(Held(str(node.name), node.op_type, reason))
    return found


def _judge(difference: float | None) -> None:
    if difference is None:
        logger.warning("the simplified model was not checked: ONNX Runtime cannot run the original")
    elif difference > TOLERANCE:
        raise InternalError(
            "the simplified model computes something else",
            why=f"on random inputs an output differs by {difference:.3g} of its largest element",
            fix="report this together with the model if you may share it; --no-propagate --no-remove avoids it",
        )
