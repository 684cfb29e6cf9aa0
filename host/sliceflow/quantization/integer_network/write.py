"""Writes the integers of a network into its graph, as standard QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from sliceflow.passes.edit import become, named_initializer, replace, unique_name
from sliceflow.passes.view import attribute, constant, graph_of, is_op
from sliceflow.quantization.integer_network.chain import Chain
from sliceflow.quantization.integer_network.codes import Codes
from sliceflow.quantization.integer_network.requantize import requantized
from sliceflow.quantization.integer_network.units import Units
from sliceflow.quantization.placement import AVERAGES, Groups, Placement
from sliceflow.quantization.rewrite import Rewriter
from sliceflow.quantization.scales import Affine


@dataclasses.dataclass(frozen=True)
class Layer:
    """A node with integer weights, its input, and what follows it."""

    node: ir.Node
    codes: Codes
    source: ir.Value
    chain: Chain


@dataclasses.dataclass
class Taken:
    """What was found in a graph.

    Attributes:
        ranges: least and greatest integer of each value that holds integers.
        units: the power of two that each of them is multiplied by.
        nodes: what the accelerator may execute.
        layers: those with weights.
        chains: sums and averages, with what follows them.
    """

    ranges: dict[ir.Value, tuple[float, float]] = dataclasses.field(default_factory=dict)
    units: Units = dataclasses.field(default_factory=Units)
    nodes: set[ir.Node] = dataclasses.field(default_factory=set)
    layers: list[Layer] = dataclasses.field(default_factory=list)
    chains: list[tuple[ir.Node, Chain]] = dataclasses.field(default_factory=list)


def dtype_of(low: float, high: float, bits: int) -> str:
    """The narrowest type of an activation that holds these integers; empty if there is none."""
    for width in (8, 16) if bits == 16 else (8,):
        for name in (f"uint{width}", f"int{width}"):
            if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
                return name
    return ""


def write(graph: ir.Graph, taken: Taken, bits: int) -> ir.Node | None:
    """Write it in place.

    Args:
        graph: where it was found.
        taken: what.
        bits: of the accelerator's activations.

    Returns:
        A layer whose weights float32 scales cannot express; the graph is of no use then.
    """
    scale = {value: 2.0 ** taken.units.exponent(value) for value in taken.ranges}
    parameters = {value: Affine(scale[value], 0, dtype_of(*span, bits)) for value, span in taken.ranges.items()}
    for layer in taken.layers:
        if is_op(layer.node, *AVERAGES):
            _become_convolution(layer.node, layer.codes)
    chains = [*((layer.node, layer.chain) for layer in taken.layers), *taken.chains]
    ends = {chain.end: _shorten(node, chain, parameters[chain.end]) for node, chain in chains}
    points = {ends.get(value, value): affine for value, affine in parameters.items()}
    order = [*graph.inputs, *(value for node in graph for value in node.outputs)]
    placement = Placement(
        points=[value for value in order if value in points],
        groups=Groups(),
        observed=[],
        layers={},
        requantized=[],
        nodes=taken.nodes,
    )
    rewriter = Rewriter(graph, placement, points)
    for layer in taken.layers:
        x_scale, y_scale = scale[layer.source], scale[layer.chain.end]
        weights = requantized(layer.codes, layer.chain, y_scale / x_scale)
        if weights is None:
            return layer.node
        _need_bias(layer)
        rewriter.add_weights(layer.node, weights, x_scale, layer.codes.axis)
    rewriter.add_points()
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del graph.initializers[name]
    return None


def _need_bias(layer: Layer) -> None:
    node = layer.node
    if len(node.inputs) < 3 or node.inputs[2] is None:
        graph, zeros = graph_of(node), np.zeros(len(layer.codes.bias), np.float32)
        node.resize_inputs(3)
        node.replace_input_with(2, named_initializer(graph, zeros, unique_name(graph, f"{node.name}_bias")))


def _shorten(node: ir.Node, chain: Chain, parameters: Affine) -> ir.Value:
    """Leave of a chain what quantization does not do by itself, a clamp; returns the value that now ends it."""
    if not chain.nodes:
        return chain.end
    graph, name = graph_of(node), str(chain.end.name)
    limits = np.iinfo(parameters.dtype)
    first, last = node.outputs[0], chain.nodes[-1]
    if (chain.low, chain.high) != (limits.min, limits.max):
        bounds = [
            named_initializer(
                graph, np.array(each * parameters.scale, np.float32), unique_name(graph, f"{name}_{word}")
            )
            for each, word in ((chain.low, "low"), (chain.high, "high"))
        ]
        become(last, "Clip", [first, *bounds])
        inner = chain.nodes[:-1]
    else:
        inner = chain.nodes
    for each in reversed(inner):
        before = each.inputs[0] if each.inputs[0] is not None and constant(each.inputs[0]) is None else each.inputs[1]
        assert before is not None
        if each.outputs[0].uses() or each.outputs[0].is_graph_output():
            replace(each, before)
        else:
            graph.remove(each, safe=True)
    if inner is chain.nodes and not first.is_graph_output():
        first.name = name  # the integers that it holds now
    return last.outputs[0] if inner is not chain.nodes else first


def _become_convolution(node: ir.Node, codes: Codes) -> None:
    graph = graph_of(node)
    weights = named_initializer(graph, codes.codes.astype(np.float32), unique_name(graph, f"{node.name}_weight"))
    kept = {key: attribute(node, key, None) for key in ("strides", "pads", "dilations")}
    settings = {key: list(value) for key, value in kept.items() if value is not None}
    become(
        node,
        "Conv",
        [node.inputs[0], weights],
        {"kernel_shape": list(codes.codes.shape[2:]), "group": len(codes.codes), **settings},
    )
