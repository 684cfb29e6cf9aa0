"""Follows the images of a batch through a graph whose sizes are all known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from sliceflow.frontend.batch.lines import At, Line, Spread, State, UnruledError, uniform_line
from sliceflow.frontend.batch.rules import RULES
from sliceflow.passes.view import is_op, static_shape

Learned = Mapping[str, Sequence[State]]
"""Where the outputs of nodes without a rule have the images, by the node's name."""


def follow(
    model: ir.Model, starts: Mapping[str, Line], images: int, learned: Learned, *, grown: bool
) -> tuple[dict[ir.Value, Line], Spread]:
    """Where every value has its images.

    Args:
        model: a model at the canonical opset.
        starts: where its inputs have them; the other inputs are the same for all images.
        images: how many there are.
        learned: what was found out about nodes without a rule.
        grown: that number stands for any, and appears as a size of nothing else: constants of that size have grown with
            the batch.

    Returns:
        The values that have images (all others are the same for all images), and the constants that repeat themselves
        for each image.

    Raises:
        MixedError: a node mixes images.
        UnruledError: nothing is known about a node.
    """
    states = {value: starts[str(value.name)] for value in model.graph.inputs if value.name in starts}
    if grown:
        for value in model.graph.initializers.values():
            line = uniform_line(value, images)
            if line is not None:
                states[value] = line
    spread: Spread = {}
    for node in model.graph:
        at = At(node, states, images, spread)
        for output, line in zip(node.outputs, _outputs(at, states, learned, grown=grown), strict=True):
            if line is not None:
                states[output] = line
    return states, spread


def _outputs(at: At, states: Mapping[ir.Value, Line], learned: Learned, *, grown: bool) -> Sequence[State]:
    node, count = at.node, len(at.node.outputs)
    inner = _reads_inside(node, states)
    if not inner and not any(value in states for value in node.inputs if value is not None):
        return [_spread_out(node, at.images) if grown else None] * count
    if str(node.name) in learned:
        return learned[str(node.name)]
    rule = RULES.get(node.op_type) if node.domain == "" else None
    if rule is None or inner:
        raise UnruledError(node)
    try:
        found = rule(at)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UnruledError(node) from error  # its attributes contradict each other
    return [found] * count if found is None or isinstance(found, Line) else list(found)[:count]


def _spread_out(node: ir.Node, images: int) -> State:
    """A tensor that is the same for all images, spread out to a batch of them."""
    if not is_op(node, "Expand"):
        return None
    before, after = static_shape(node.inputs[0]), static_shape(node.outputs[0])
    if before is None or after is None:
        return None
    padded = (*[1] * (len(after) - len(before)), *before)
    axes = [axis for axis, size in enumerate(after) if size == images != padded[axis]]
    return Line(axes[0]) if axes else None


def _reads_inside(node: ir.Node, states: Mapping[ir.Value, Line]) -> bool:
    """Whether a sub-graph of the node reads images."""
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            graphs = [attribute.as_graph()]
        else:
            graphs = list(attribute.as_graphs()) if attribute.type == ir.AttributeType.GRAPHS else []
        for graph in graphs:
            for inner in ir.traversal.RecursiveGraphIterator(graph):
                if any(value in states for value in inner.inputs if value is not None):
                    return True
            if any(value in states for value in graph.outputs):
                return True
    return False
