"""Finds the parts of a graph that are functions of one tensor, element by element.

The accelerator runs such a part as one table of 256 entries, whatever its nodes are: a Sigmoid, x * Sigmoid(x),
0.5 * x * (1 + Erf(x / sqrt(2))). No quantization point belongs inside, so all its nodes make one cluster.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import onnx_ir as ir

from sliceflow.quantization.access import constant, is_float32, same_shape

ACTIVATIONS = frozenset(
    {"Celu", "Clip", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Relu", "Selu"}
    | {"Sigmoid", "Softplus", "Softsign", "Swish", "Tanh", "ThresholdedRelu"}
)
"""Operators that are activation functions by themselves."""
_ARITHMETIC = frozenset({"Abs", "Add", "Div", "Exp", "Max", "Min", "Mul", "Neg", "Pow", "Sub"})
"""Operators that decomposed activations are made of."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Nodes that together are one function of one tensor.

    Attributes:
        root: the tensor they read.
        output: the one tensor that leaves them.
        nodes: the nodes, in execution order.
    """

    root: ir.Value
    output: ir.Value
    nodes: tuple[ir.Node, ...]

    @property
    def has_activation(self) -> bool:
        """Whether one of the nodes is an activation function, not mere arithmetic."""
        return any(node.op_type in ACTIVATIONS for node in self.nodes)


def elementwise_inputs(node: ir.Node) -> tuple[ir.Value, ...]:
    """The tensors that an elementwise node reads, without repetition; empty if it is no elementwise node.

    Constants must be single numbers, and all tensors must have the shape of the output.
    """
    if node.domain or node.op_type not in ACTIVATIONS | _ARITHMETIC or len(node.outputs) != 1:
        return ()
    tensors: dict[ir.Value, None] = {}
    for value in node.inputs:
        known = constant(value)
        if value is not None and known is None:
            tensors[value] = None
        elif known is not None and known.size != 1:
            return ()
    found = tuple(tensors)
    if not found or not all(map(is_float32, (*found, node.outputs[0]))) or not same_shape((*found, node.outputs[0])):
        return ()
    return found


def find_clusters(nodes: Sequence[ir.Node], barred: Collection[ir.Node]) -> tuple[list[Cluster], list[ir.Node]]:
    """The largest clusters of a graph, and the elementwise nodes that join two tensors.

    1. A tensor is *cut* (it ends a cluster) if it is a graph output, is read by a node that is not elementwise, is
       read by a node that also reads something else than its cluster's root, or would be shared by two clusters.
    2. Every tensor that is not cut belongs to the function of the one root it derives from.

    Args:
        nodes: the graph's nodes in execution order.
        barred: nodes that take no part (clamps that belong to a convolution, nodes that stay float).

    Returns:
        The clusters, and the nodes with two or more roots, such as residual additions.
    """
    inputs = {node: found for node in nodes if node not in barred and (found := elementwise_inputs(node))}
    cut = {node.outputs[0] for node in inputs if _leaves(node.outputs[0], inputs)}
    while True:
        roots: dict[ir.Value, ir.Value] = {}
        joins = []
        wanted: set[ir.Value] = set()
        for node, values in inputs.items():
            sources = {roots.get(value, value) for value in values}
            if len(sources) > 1:
                joins.append(node)
                wanted.update(value for value in (*values, node.outputs[0]) if value.producer() in inputs)
            elif node.outputs[0] not in cut:
                roots[node.outputs[0]] = sources.pop()
        ends = _ends(inputs, cut)
        wanted.update(node.outputs[0] for node in inputs if len(ends[node.outputs[0]]) > 1)
        if wanted <= cut:
            break
        cut |= wanted
    members: dict[ir.Value, list[ir.Node]] = {}
    for node in inputs:
        if node not in joins:
            (end,) = ends[node.outputs[0]]
            members.setdefault(end, []).append(node)
    clusters = []
    for end, group in members.items():
        first = inputs[group[0]][0]
        clusters.append(Cluster(roots.get(first, first), end, tuple(group)))
    return clusters, joins


def _leaves(value: ir.Value, inputs: Collection[ir.Node]) -> bool:
    uses = value.uses()
    return value.is_graph_output() or not uses or any(user not in inputs for user, _ in uses)


def _ends(inputs: dict[ir.Node, tuple[ir.Value, ...]], cut: set[ir.Value]) -> dict[ir.Value, set[ir.Value]]:
    """For each output of an elementwise node, the cut tensors that its values reach without passing another."""
    ends: dict[ir.Value, set[ir.Value]] = {}
    for node in reversed(inputs):
        value = node.outputs[0]
        if value in cut:
            ends[value] = {value}
        else:
            ends[value] = set().union(*(ends[user.outputs[0]] for user, _ in value.uses()))
    return ends
