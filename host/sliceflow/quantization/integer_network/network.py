"""Recognizes networks that were quantized to integers and exported as float graphs, and takes their integers.

N2D2, EDDL and others write such files: weights and biases are integers, a division by a power of two follows each
layer, then often a Floor, and a Clip to the range of the integers. A tensor of such a network has scale 1 and zero
point 0, so nothing has to be calibrated, and calibrating it again would lose what it is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sliceflow.passes import normalize
from sliceflow.passes.sign import clamp_of
from sliceflow.passes.view import attribute, constant, dims, is_op, rank
from sliceflow.quantization.access import is_float32, operand
from sliceflow.quantization.integer_network.chain import Chain, chain_after
from sliceflow.quantization.integer_network.codes import LAYERS, Codes, are_telling, codes_of
from sliceflow.quantization.integer_network.operators import has_integer_products, to_float
from sliceflow.quantization.integer_network.write import Layer, Taken, dtype_of, write
from sliceflow.quantization.placement import AVERAGES, is_move

_INPUT_TYPES = (ir.DataType.UINT8, ir.DataType.INT8)


@dataclasses.dataclass(frozen=True)
class IntegerNetwork:
    """An exported integer network.

    Attributes:
        model: the same network with QuantizeLinear and DequantizeLinear; None if one of its parts cannot be taken.
        inputs: names of the model inputs that are read as integers of the range that was given.
        notes: where the result is not exact, or not on the accelerator.
        obstacle: what cannot be taken, and why; empty with a model.
    """

    model: ir.Model | None
    inputs: tuple[str, ...] = ()
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
    work, divisions = model.clone(), dict[ir.Value, str]()
    if has_integer_products(work.graph):
        divisions = to_float(work.graph)
        normalize(work)
    if not _looks_like_one(work.graph, bits):
        return None
    try:
        taken = _Taking(work.graph, bits, input_range, divisions)
        taken.run()
    except _Obstacle as obstacle:
        return IntegerNetwork(None, obstacle=str(obstacle))
    return IntegerNetwork(work, tuple(taken.inputs), tuple(taken.notes))


def _looks_like_one(graph: ir.Graph, bits: int) -> bool:
    """Whether a layer has integer weights, and is scaled and clipped to the range of an integer type."""
    for node in graph:
        codes = codes_of(node) if node.op_type in LAYERS else None
        if codes is not None and are_telling(codes):
            chain = chain_after(node.outputs[0])
            if chain.is_closed and dtype_of(chain.low, chain.high, bits) and _is_type_range(chain.low, chain.high):
                return True
    return False


def _is_type_range(low: float, high: float) -> bool:
    """Whether bounds are those of an integer type: 0..2^n-1, or -2^n (or one more) to 2^n-1, of three bits at least."""
    return high >= 7 and math.log2(high + 1).is_integer() and low in (0, -high, -high - 1)


class _Taking:
    """Takes one graph, in place."""

    def __init__(
        self, graph: ir.Graph, bits: int, input_range: tuple[int, int], divisions: Mapping[ir.Value, str]
    ) -> None:
        self._graph, self._bits, self._input_range, self._divisions = graph, bits, input_range, divisions
        self.taken = Taken()
        self._ranges, self._units, self._placed = self.taken.ranges, self.taken.units, self.taken.nodes
        self.inputs: list[str] = []
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
        too_fine = write(self._graph, self.taken, self._bits)
        if too_fine is not None:
            raise _Obstacle(f"the Floor behind {too_fine.op_type} {too_fine.name} needs finer scales than float32")
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
            self.inputs.append(str(value.name))
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
        self.taken.layers.append(Layer(node, codes, source, chain))
        self._take(node, chain)
        return chain

    def _sum(self, node: ir.Node) -> Chain:
        chain = self._closed(node)
        if chain.rounding == "Floor" and chain.factor < 1:
            raise _Obstacle(f"the Floor behind Add {node.name} is no rounding to nearest")
        self._note_rounding(node, chain, exact=chain.factor >= 1)
        for index in range(len(node.inputs)):
            self._tie(operand(node, index), chain.end, -int(math.log2(chain.factor)), node)
        self.taken.chains.append((node, chain))
        self._take(node, chain)
        return chain

    def _average(self, node: ir.Node) -> Chain:
        chain = self._closed(node)
        source = operand(node, 0)
        if chain.rounding == "Floor":
            codes = _averaging(node)
            if codes is None:
                raise _Obstacle(f"the Floor behind {node.op_type} {node.name}, whose windows have several sizes")
            self.taken.layers.append(Layer(node, codes, source, chain))
        else:
            self._note_rounding(node, chain, exact=False)
            self._tie(source, chain.end, -int(math.log2(chain.factor)), node)
            self.taken.chains.append((node, chain))
        self._take(node, chain)
        return chain

    def _move(self, node: ir.Node) -> None:
        ranges = [self._ranges[value] for value in _data(node) if value is not None]
        found = min(low for low, _ in ranges), max(high for _, high in ranges)
        if not dtype_of(*found, self._bits):
            raise _Obstacle(f"{node.op_type} {node.name} joins signed and unsigned integers")
        for output in node.outputs:
            for value in _data(node):
                if value is not None:
                    self._tie(value, output, 0, node)
            self._ranges[output] = found
        self._placed.add(node)

    def _clamp_or_rounding(self, node: ir.Node) -> Chain | None:
        """A clamp of integers, or values that are cast from an integer type, or rounded and clamped to integers."""
        source = node.inputs[0] if node.inputs else None
        if is_op(node, "Cast") and source is not None and source.dtype in _INPUT_TYPES:
            if is_float32(node.outputs[0]):
                limits = np.iinfo(source.dtype.numpy())
                self._ranges[node.outputs[0]] = (limits.min, limits.max)
            return None
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
        return chain.is_closed and bool(dtype_of(chain.low, chain.high, self._bits))

    def _closed(self, node: ir.Node) -> Chain:
        chain = chain_after(node.outputs[0])
        if not self._closes(chain):
            raise _Obstacle(f"nothing limits the result of {node.op_type} {node.name} to {self._bits} bits")
        return chain

    def _take(self, node: ir.Node, chain: Chain) -> None:
        cut = [self._divisions[each.outputs[0]] for each in chain.nodes if each.outputs[0] in self._divisions]
        if cut and chain.low < 0:
            raise _Obstacle(f"the integer division {cut[0]} rounds negative numbers towards zero")
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


def _may_hold_integers(value: ir.Value) -> bool:
    return value.is_graph_input() and is_float32(value) and value.shape is not None and len(value.shape) >= 2


def _data(node: ir.Node) -> list[ir.Value | None]:
    return list(node.inputs) if is_op(node, "Concat") else [node.inputs[0]]


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
