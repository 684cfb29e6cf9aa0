"""Recognizes networks that were quantized to integers and exported as float graphs, and takes their integers.

N2D2, EDDL and others write such files: weights and biases are integers, a division by a power of two follows each
layer, then often a Floor, and a Clip to the range of the integers. A tensor of such a network has scale 1 and zero
point 0, so nothing has to be calibrated, and calibrating it again would lose what it is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from sliceflow.passes.edit import become, named_initializer, replace, unique_name
from sliceflow.passes.sign import clamp_of
from sliceflow.passes.view import attribute, constant, dims, is_op, rank
from sliceflow.quantization.access import is_float32, operand
from sliceflow.quantization.integer_network.chain import Chain, chain_after
from sliceflow.quantization.integer_network.codes import LAYERS, Codes, are_telling, codes_of
from sliceflow.quantization.integer_network.requantize import requantized
from sliceflow.quantization.integer_network.units import Units
from sliceflow.quantization.placement import AVERAGES, Groups, Placement, is_move
from sliceflow.quantization.rewrite import Rewriter
from sliceflow.quantization.scales import Affine


@dataclasses.dataclass(frozen=True)
class IntegerNetwork:
    """An exported integer network.

    Attributes:
        model: the same network with QuantizeLinear and DequantizeLinear; None if one of its parts cannot be taken.
        notes: what was assumed, and where the result is not exact.
        obstacle: what cannot be taken, and why; empty with a model.
    """

    model: ir.Model | None
    notes: tuple[str, ...] = ()
    obstacle: str = ""


class _Obstacle(Exception):
    """A part that cannot be taken; its text says which and why."""


def find_integer_network(
    model: ir.Model, *, bits: int = 8, input_range: tuple[int, int] = (0, 255)
) -> IntegerNetwork | None:
    """Take an exported integer network as it is.

    Args:
        model: a normalized float model; it is not changed.
        bits: of the accelerator's activations, 8 or 16.
        input_range: least and greatest integer of the model's inputs, where the graph does not say.

    Returns:
        None for any other model.
    """
    if not _looks_like_one(model.graph, bits):
        return None
    work = model.clone()
    try:
        taken = _Taking(work.graph, bits, input_range)
        taken.run()
    except _Obstacle as obstacle:
        return IntegerNetwork(None, obstacle=str(obstacle))
    return IntegerNetwork(work, tuple(taken.notes))


def _looks_like_one(graph: ir.Graph, bits: int) -> bool:
    """Whether a layer has integer weights, and is scaled and clipped to the range of an integer type."""
    for node in graph:
        codes = codes_of(node) if node.op_type in LAYERS else None
        if codes is not None and are_telling(codes):
            chain = chain_after(node.outputs[0])
            if chain.is_closed and _dtype_of(chain.low, chain.high, bits) and _is_type_range(chain.low, chain.high):
                return True
    return False


def _is_type_range(low: float, high: float) -> bool:
    """Whether bounds are those of an integer type: 0..2^n-1, or -2^n (or one more) to 2^n-1, of three bits at least."""
    return high >= 7 and math.log2(high + 1).is_integer() and low in (0, -high, -high - 1)


def _dtype_of(low: float, high: float, bits: int) -> str:
    """The narrowest type of an activation that holds these integers; empty if there is none."""
    for width in (8, 16) if bits == 16 else (8,):
        for name in (f"uint{width}", f"int{width}"):
            if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
                return name
    return ""


@dataclasses.dataclass
class _Layer:
    node: ir.Node
    codes: Codes
    source: ir.Value
    chain: Chain


class _Taking:
    """Takes one graph, in place."""

    def __init__(self, graph: ir.Graph, bits: int, input_range: tuple[int, int]) -> None:
        self._graph, self._bits, self._input_range = graph, bits, input_range
        self._ranges: dict[ir.Value, tuple[float, float]] = {}  # of the values that hold integers
        self._units = Units()
        self._placed: set[ir.Node] = set()
        self._layers: list[_Layer] = []
        self._chains: list[tuple[ir.Node, Chain]] = []
        self.notes: list[str] = []
        self._rounded: list[str] = []
        self._left: list[str] = []

    def run(self) -> None:
        """Find the integer tensors, then write them into the graph.

        Raises:
            _Obstacle: a part cannot be taken.
        """
        inside: set[ir.Node] = set()
        for node in self._graph:
            if node not in inside:
                chain = self._visit(node)
                inside.update(chain.nodes if chain is not None else ())
        self._fix_borders()
        self._write()
        if self._rounded:
            self.notes.append(
                f"the file does not round behind {', '.join(self._rounded)}; the integers there are rounded to nearest"
            )
        if self._left:
            self.notes.append(
                f"{', '.join(self._left)} stays float, on the CPU: nothing limits its result to {self._bits} bits"
            )

    # what the values are ------------------------------------------------------------------------------------------

    def _visit(self, node: ir.Node) -> Chain | None:
        """Take note of what a node makes; returns the chain behind it, if it belongs to it."""
        if node.op_type in LAYERS and not node.domain:
            return self._layer(node)
        if is_op(node, "Add") and self._hold_integers(node.inputs):
            return self._sum(node)
        if is_op(node, *AVERAGES) and self._hold_integers(node.inputs[:1]):
            return self._average(node)
        if (is_op(node, "Concat") or is_move(node)) and self._hold_integers(_data(node)):
            self._move(node)
            return None
        return self._clamp_or_rounding(node)

    def _hold_integers(self, values: Sequence[ir.Value | None]) -> bool:
        """Whether all of these are integer tensors; a model input is one if it is read as one."""
        inputs = [value for value in values if value not in self._ranges]
        if not all(value is not None and _may_hold_integers(value) for value in inputs):
            return False
        for value in inputs:
            assert value is not None
            self._ranges[value] = self._input_range
            low, high = self._input_range
            self.notes.append(f"input {value.name} is taken to hold integers from {low} to {high}")
        return True

    def _layer(self, node: ir.Node) -> Chain | None:
        codes = codes_of(node)
        source = operand(node, 0)
        if codes is None:
            raise _Obstacle(f"the weights of {node.op_type} {node.name} are not integers of 8 bits")
        if not self._hold_integers([source]):
            raise _Obstacle(f"the input of {node.op_type} {node.name}, {source.name}, does not hold integers")
        chain = chain_after(node.outputs[0])
        if not self._closes(chain):
            self._left.append(f"{node.op_type} {node.name}")
            return None
        self._note_rounding(node, chain, exact=not (codes.scale * chain.factor < 1).any())
        self._layers.append(_Layer(node, codes, source, chain))
        self._take(node, chain)
        return chain

    def _sum(self, node: ir.Node) -> Chain:
        chain = self._closed(node)
        if chain.rounding == "Floor" and chain.factor < 1:
            raise _Obstacle(f"the Floor behind Add {node.name} is no rounding to nearest")
        self._note_rounding(node, chain, exact=chain.factor >= 1)
        for index in range(len(node.inputs)):
            self._tie(operand(node, index), chain.end, -int(math.log2(chain.factor)), node)
        self._chains.append((node, chain))
        self._take(node, chain)
        return chain

    def _average(self, node: ir.Node) -> Chain:
        chain = self._closed(node)
        source = operand(node, 0)
        if chain.rounding == "Floor":
            codes = _averaging(node)
            if codes is None:
                raise _Obstacle(f"the Floor behind {node.op_type} {node.name}, whose windows have several sizes")
            self._layers.append(_Layer(node, codes, source, chain))
        else:
            self._note_rounding(node, chain, exact=False)
            self._tie(source, chain.end, -int(math.log2(chain.factor)), node)
            self._chains.append((node, chain))
        self._take(node, chain)
        return chain

    def _move(self, node: ir.Node) -> None:
        ranges = [self._ranges[value] for value in _data(node) if value is not None]
        found = min(low for low, _ in ranges), max(high for _, high in ranges)
        if not _dtype_of(*found, self._bits):
            raise _Obstacle(f"{node.op_type} {node.name} joins signed and unsigned integers")
        for output in node.outputs:
            for value in _data(node):
                if value is not None:
                    self._tie(value, output, 0, node)
            self._ranges[output] = found
        self._placed.add(node)

    def _clamp_or_rounding(self, node: ir.Node) -> Chain | None:
        """A clamp of integers, or float values that are rounded and clamped to integers."""
        source = node.inputs[0] if node.inputs else None
        bounds = clamp_of(node)
        if source is not None and source in self._ranges and bounds is not None:
            low, high = (min(max(each, bounds[0]), bounds[1]) for each in self._ranges[source])
            if low == int(low) and high == int(high):
                self._ranges[node.outputs[0]] = (low, high)
                self._tie(source, node.outputs[0], 0, node)
                self._units.fix(source)
                self._placed.add(node)
            return None
        if source is None or constant(source) is not None or source in self._ranges:
            return None
        chain = chain_after(source)
        if chain.nodes[:1] == (node,) and chain.rounding and self._closes(chain):
            self._ranges[chain.end] = (chain.low, chain.high)
            return chain
        return None

    def _closes(self, chain: Chain) -> bool:
        return chain.is_closed and bool(_dtype_of(chain.low, chain.high, self._bits))

    def _closed(self, node: ir.Node) -> Chain:
        chain = chain_after(node.outputs[0])
        if not self._closes(chain):
            raise _Obstacle(f"nothing limits the result of {node.op_type} {node.name} to {self._bits} bits")
        return chain

    def _take(self, node: ir.Node, chain: Chain) -> None:
        self._ranges[chain.end] = (chain.low, chain.high)
        self._placed.update((node, *chain.nodes))

    def _note_rounding(self, node: ir.Node, chain: Chain, *, exact: bool) -> None:
        if not chain.rounding and not exact:
            self._rounded.append(str(node.name))

    def _tie(self, first: ir.Value, second: ir.Value, difference: int, node: ir.Node) -> None:
        if not self._units.tie(first, second, difference):
            raise _Obstacle(f"the operands of {node.op_type} {node.name} are scaled differently")

    def _fix_borders(self) -> None:
        """Whatever the accelerator does not read alone holds what the file says."""
        for value in self._ranges:
            outside = any(user not in self._placed for user, _ in value.uses())
            border = value.is_graph_input() or value.is_graph_output() or value.producer() not in self._placed
            if (border or outside) and not self._units.fix(value):
                raise _Obstacle(f"{value.name} is read outside, and scaled for an addition inside")

    # writing ------------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        scale = {value: 2.0 ** self._units.exponent(value) for value in self._ranges}
        parameters = {
            value: Affine(scale[value], 0, _dtype_of(*found, self._bits)) for value, found in self._ranges.items()
        }
        ends: dict[ir.Value, ir.Value] = {}
        for layer in self._layers:
            if is_op(layer.node, *AVERAGES):
                _become_convolution(layer.node, layer.codes)
        chains = [*((layer.node, layer.chain) for layer in self._layers), *self._chains]
        for node, chain in chains:
            ends[chain.end] = _shorten(node, chain, parameters[chain.end])
        points = {ends.get(value, value): found for value, found in parameters.items()}
        order = [*self._graph.inputs, *(value for node in self._graph for value in node.outputs)]
        placement = Placement(
            points=[value for value in order if value in points],
            groups=Groups(),
            observed=[],
            layers={},
            requantized=[],
            nodes=self._placed,
        )
        rewriter = Rewriter(self._graph, placement, points)
        for layer in self._layers:
            x_scale, y_scale = scale[layer.source], scale[layer.chain.end]
            weights = requantized(layer.codes, layer.chain, y_scale / x_scale)
            if weights is None:
                raise _Obstacle(
                    f"the Floor behind {layer.node.op_type} {layer.node.name} needs finer scales than float32"
                )
            if len(layer.node.inputs) < 3 or layer.node.inputs[2] is None:
                layer.node.resize_inputs(3)
                zeros = np.zeros(len(layer.codes.bias), np.float32)
                name = unique_name(self._graph, f"{layer.node.name}_bias")
                layer.node.replace_input_with(2, named_initializer(self._graph, zeros, name))
            rewriter.add_weights(layer.node, weights, x_scale, layer.codes.axis)
        rewriter.add_points()
        for name, value in list(self._graph.initializers.items()):
            if not value.uses() and not value.is_graph_output():
                del self._graph.initializers[name]


def _may_hold_integers(value: ir.Value) -> bool:
    return value.is_graph_input() and is_float32(value) and value.shape is not None and len(value.shape) >= 2


def _data(node: ir.Node) -> list[ir.Value | None]:
    return list(node.inputs) if is_op(node, "Concat") else [node.inputs[0]]


def _shorten(node: ir.Node, chain: Chain, parameters: Affine) -> ir.Value:
    """Leave of a chain what quantization does not do by itself, a clamp; returns the value that now ends it."""
    if not chain.nodes:
        return chain.end
    graph, name = chain.end.graph, str(chain.end.name)
    assert graph is not None
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


def _averaging(node: ir.Node) -> Codes | None:
    """An average over windows of one size as a convolution with ones."""
    sizes = [size for size in (dims(node.inputs[0]) or ())[1:] if isinstance(size, int)]
    if len(sizes) < 2 or len(sizes) + 1 != rank(node.inputs[0]):
        return None
    window = sizes[1:] if is_op(node, "GlobalAveragePool") else attribute(node, "kernel_shape", None)
    padded = any(attribute(node, "pads", ()) or ()) and not attribute(node, "count_include_pad", 0)
    if not window or padded or attribute(node, "ceil_mode", 0):
        return None
    channels = sizes[0]
    codes = np.ones((channels, 1, *window), np.int64)
    return Codes(codes, np.zeros(channels, np.int64), np.full(channels, 1 / math.prod(window)), 0)


def _become_convolution(node: ir.Node, codes: Codes) -> None:
    graph = node.graph
    assert graph is not None
    weights = named_initializer(graph, codes.codes.astype(np.float32), unique_name(graph, f"{node.name}_weight"))
    kept = {key: attribute(node, key, None) for key in ("strides", "pads", "dilations")}
    settings = {key: list(value) for key, value in kept.items() if value is not None}
    become(
        node,
        "Conv",
        [node.inputs[0], weights],
        {"kernel_shape": list(codes.codes.shape[2:]), "group": len(codes.codes), **settings},
    )
