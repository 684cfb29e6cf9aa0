"""Quantized models beside the float model that they were made from, run together on samples.

All of it is one graph: the float model, and behind it copies of quantized models that share its constants. A copy is
either whole, to compare outputs, or isolated: every quantization point reads the value that the *float* model has
there. In a whole copy all layers' errors are carried on, and no layer can be told from those in front of it; in an
isolated one there is, between two points, one layer with its own errors and no others. Of those only sums of squares
leave the graph, so activations live no longer than their readers need them.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.errors import InternalError
from sliceflow.quantization.access import operand
from sliceflow.quantization.dataset import CalibrationData
from sliceflow.quantization.rewrite import Pair
from sliceflow.quantization.sessions import open_model, run

_MOVES = frozenset({"Concat", "DepthToSpace", "Flatten", "GlobalMaxPool", "MaxPool", "Reshape", "Resize", "Slice"})
_MOVES |= {"SpaceToDepth", "Split", "Squeeze", "Transpose", "Unsqueeze"}
_WEIGHTED = ("Conv", "Gemm", "MatMul", "ConvTranspose")
MOST = 64
"""Samples that are compared at the most."""
_VALUES = 3 << 24
"""Values of float activations that a comparison aims at, over all samples: a second or so of work."""
_BATCH = 4
Array = NDArray[Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PointError:
    """What happens at one quantization point, in sums of squares over all samples and in units of its scale.

    Attributes:
        tensor: the tensor of the float model.
        node: name of the node that makes it: of the layer with weights, if there is one since the last point.
        op: its operator; ``""`` for an input of the model.
        moves: nothing is computed since the last point: values are moved or selected.
        reads: the tensors of the float model that it is computed from, up to the last points.
        signal: of the float model's values.
        rounding: error that the point itself adds to the float model's values.
        arriving: error in front of the point: of quantized inputs and weights.
    """

    tensor: str
    node: str
    op: str
    moves: bool
    reads: tuple[str, ...]
    signal: float
    rounding: float
    arriving: float = 0.0


class Comparison:
    """The float model, to which copies of quantized ones are added, and then run.

    Args:
        model: float model; it is not changed.
    """

    def __init__(self, model: ir.Model) -> None:
        self.outputs = [str(value.name) for value in model.graph.outputs]
        self._model = model.clone()
        graph = self._model.graph
        self._values = {str(value.name): value for node in graph for value in node.outputs}
        self._values |= {str(value.name): value for value in graph.inputs}
        self._prefix = "copy"
        while any(name.startswith(self._prefix) for name in {*self._values, *graph.initializers}):
            self._prefix += "_"
        self._fetched = list(self.outputs)
        self._copies = 0
        self._isolated: list[tuple[Pair, _Facts, dict[str, str]]] = []
        self._whole: list[list[str]] = []

    def add_whole(self, quantized: ir.Model) -> None:
        """Compare the outputs of a quantized model as well."""
        copy = quantized.clone().graph
        outputs = list(copy.outputs)
        self._take(copy, list(copy))
        made = {value: str(value.name) for value in outputs if value.producer() is not None}
        self._model.graph.outputs.extend(made)
        self._fetched += made.values()
        self._whole.append([made.get(value, name) for value, name in zip(outputs, self.outputs, strict=True)])

    def add_isolated(self, quantized: ir.Model, pairs: Sequence[Pair]) -> None:
        """Measure what each layer of a quantized model does to the float model's values."""
        copy = quantized.clone().graph
        made = {str(value.name): value for node in copy for value in node.outputs}
        quantizers = {pair: _producer(made[pair.quantized]) for pair in pairs}
        points = {node: pair for pair, node in quantizers.items() if pair.tensor is not None}
        results = {pair: node.inputs[0] for node, pair in points.items()}
        needed = {*quantizers.values(), *(_producer(made[pair.dequantized]) for pair in pairs)}
        facts = {}
        for pair, result in results.items():
            region, reads = _region(result, points, copy)
            needed |= region
            facts[pair] = _Facts.of(region, reads, copy)
        for node, pair in points.items():
            node.replace_input_with(0, self._values[str(pair.tensor)])
        self._take(copy, [node for node in copy if node in needed])
        for pair, result in results.items():
            exact, step = self._values[str(pair.tensor)], operand(quantizers[pair], 1)
            sums = {"signal": self._sum(step, exact), "rounding": self._sum(step, made[pair.dequantized], exact)}
            if result is not None and result.producer() is not None:
                sums["arriving"] = self._sum(step, result, exact)
            self._isolated.append((pair, facts[pair], sums))

    def run(
        self,
        data: CalibrationData,
        *,
        batch: int,
        threads: int,
        receive: Callable[[int, list[Array], list[Array]], None],
    ) -> list[PointError]:
        """Run all of it on samples.

        Args:
            data: the samples.
            batch: samples at a time, where the model leaves that free.
            threads: of ONNX Runtime; 0 lets it choose.
            receive: called with the index of a whole copy, the float model's outputs and those of the copy, for each
                batch. What fills up a fixed batch is not among them.

        Returns:
            An entry for each quantization point of the isolated copies.

        Raises:
            UserError: ONNX Runtime cannot run the model.
        """
        totals: dict[str, float] = {}
        fixed = data.together
        size = fixed or batch
        with tempfile.TemporaryDirectory(prefix="sliceflow-") as folder:
            session = open_model(self._model, Path(folder), threads)
            for start in range(0, data.count, size):
                stop = min(start + size, data.count)
                fetched = run(session, self._fetched, data.batch(start, stop, fill=fixed))
                values = dict(zip(self._fetched, fetched, strict=True))
                exact = [_first(values[name], stop - start, size) for name in self.outputs]
                for index, names in enumerate(self._whole):
                    receive(index, exact, [_first(values[name], stop - start, size) for name in names])
                for _, _, sums in self._isolated:
                    for name in sums.values():
                        totals[name] = totals.get(name, 0.0) + float(values[name])
        return [
            PointError(
                tensor=str(pair.tensor),
                node=facts.node,
                op=facts.op,
                moves=facts.moves,
                reads=facts.reads,
                signal=totals[sums["signal"]],
                rounding=totals[sums["rounding"]],
                arriving=totals[sums["arriving"]] if "arriving" in sums else 0.0,
            )
            for pair, facts, sums in self._isolated
        ]

    def _take(self, copy: ir.Graph, nodes: list[ir.Node]) -> None:
        """Move nodes here under names of their own; constants of the float model are not doubled."""
        graph, prefix = self._model.graph, f"{self._prefix}{self._copies}_"
        self._copies += 1
        copy.outputs[:] = []
        kept = set(nodes)
        copy.remove([node for node in copy if node not in kept])
        for name, value in list(copy.initializers.items()):
            del copy.initializers[name]
            known = graph.initializers.get(name)
            if known is not None and known.const_value is value.const_value:
                value.replace_all_uses_with(known)
            elif value.uses():
                value.name = prefix + name
                graph.register_initializer(value)
        for value, here in zip(copy.inputs, graph.inputs, strict=True):
            value.replace_all_uses_with(here)
        copy.remove(nodes)
        for node in nodes:
            node.name = f"{prefix}{node.name}" if node.name else node.name
            for value in node.outputs:
                value.name = f"{prefix}{value.name}" if value.name else value.name
        graph.extend(nodes)

    def _sum(self, step: ir.Value, *values: ir.Value) -> str:
        """Add an output: the sum of squares of a value, or of the difference of two, in units of a step."""
        name = f"{self._prefix}_sum{len(self._fetched)}"
        nodes = []
        if len(values) == 2:
            nodes.append(ir.Node("", "Sub", values, num_outputs=1))
            values = (nodes[-1].outputs[0],)
        nodes.append(ir.Node("", "Div", [*values, step], num_outputs=1))
        nodes.append(ir.Node("", "ReduceSumSquare", nodes[-1].outputs, [ir.AttrInt64("keepdims", 0)], num_outputs=1))
        for index, node in enumerate(nodes):
            node.name = node.outputs[0].name = f"{name}_{index}"
            node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        nodes[-1].outputs[0].name = name
        nodes[-1].outputs[0].shape = ir.Shape([])
        self._model.graph.extend(nodes)
        self._model.graph.outputs.append(nodes[-1].outputs[0])
        self._fetched.append(name)
        return name


def comparable(model: ir.Model, data: CalibrationData, *, fewest: int) -> tuple[CalibrationData, int]:
    """Samples to compare on, and how many of them at a time.

    They are evenly spread, ``fewest`` to 64 of them: fewer the larger the model's activations are.
    """
    each = 1
    for node in model.graph:
        for value in node.outputs:
            if value.shape is not None:
                each += math.prod(size for size in value.shape[1:] if isinstance(size, int))
    batch = min(max(_VALUES // _BATCH // each, 1), _BATCH)
    return data.spread(min(max(_VALUES // each, fewest), MOST)), batch


def _first(values: Array, count: int, size: int) -> Array:
    """The first samples of a batch that was filled up."""
    return values[:count] if values.ndim and values.shape[0] == size else values


@dataclasses.dataclass(frozen=True)
class _Facts:
    node: str
    op: str
    moves: bool
    reads: tuple[str, ...]

    @classmethod
    def of(cls, region: set[ir.Node], reads: list[Pair], graph: ir.Graph) -> _Facts:
        nodes = [
            node for node in graph if node in region and node.op_type not in ("QuantizeLinear", "DequantizeLinear")
        ]
        weighted = [node for node in nodes if node.op_type in _WEIGHTED]
        named = (weighted or nodes)[-1:]
        return cls(
            node=str(named[0].name) if named else "",
            op=named[0].op_type if named else "",
            moves=all(node.op_type in _MOVES for node in nodes),
            reads=tuple(str(pair.tensor) for pair in reads),
        )


def _region(
    result: ir.Value | None, points: Mapping[ir.Node, Pair], graph: ir.Graph
) -> tuple[set[ir.Node], list[Pair]]:
    """The nodes between a value and the points before it, and those points."""
    region: set[ir.Node] = set()
    reads: dict[Pair, None] = {}
    waiting = [result]
    while waiting:
        value = waiting.pop()
        node = None if value is None else value.producer()
        if node is None or node.graph is not graph or node in region:
            continue
        if node in points:
            reads[points[node]] = None
            continue
        region.add(node)
        waiting += node.inputs
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                waiting += [value for inner in attribute.as_graph().all_nodes() for value in inner.inputs]
    return region, list(reads)


def _producer(value: ir.Value) -> ir.Node:
    node = value.producer()
    if node is None:
        raise InternalError("a quantization point has no node", where=f"tensor {value.name!r}")
    return node
