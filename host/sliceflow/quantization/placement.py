"""Decides which tensors of a float model are quantized, and which of them share one scale.

The rules, in the order in which they apply:

1. Layers with constant weights (Conv, Gemm) read and write quantized tensors. A clamp (Relu, Clip) that alone reads
   the result belongs to the layer: no point between the two.
2. A residual Add of two tensors of one shape reads and writes quantized tensors, and takes its clamp likewise. One
   operand that comes straight from a layer which nothing else reads has no point: the Add takes its accumulator.
3. A function of one tensor (:mod:`~sliceflow.quantization.unary`) has a point before and after, none inside.
4. Average pools have a point on both sides.
5. Operators that only move or select values (MaxPool, Reshape, Resize to nearest ...) share the scale of their input.
   Views (Flatten, Reshape) have points only between other quantized nodes.
6. Concat: all inputs and the output share one scale. An input that something else reads too keeps its own scale and
   is quantized a second time in front of the Concat.
7. Everything else stays float: what it reads of a quantized node are real numbers again, what it hands to one is
   quantized for that one alone. Where all it does is move values from one to another, both sides share one scale.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import onnx_ir as ir

from sliceflow.quantization.access import constant, is_float32
from sliceflow.quantization.unary import Cluster, find_clusters

_LAYERS = frozenset({"Conv", "Gemm"})
_CLAMPS = frozenset({"Relu", "Clip"})
AVERAGES = frozenset({"AveragePool", "GlobalAveragePool"})
_MOVES = frozenset(
    {"DepthToSpace", "Flatten", "GlobalMaxPool", "MaxPool", "Reshape", "Resize", "Slice", "SpaceToDepth", "Split"}
    | {"Squeeze", "Transpose", "Unsqueeze"}
)
_VIEWS = frozenset({"Flatten", "Reshape"})
"""Moves that cost nothing and belong to whoever reads them."""


class Groups:
    """Disjoint sets of tensors that share one scale (union-find; the oldest member leads)."""

    def __init__(self) -> None:
        self._parent: dict[ir.Value, ir.Value] = {}
        self._order: dict[ir.Value, int] = {}

    def leader(self, value: ir.Value) -> ir.Value:
        """The tensor that stands for the set of ``value``."""
        self._order.setdefault(value, len(self._order))
        parent = self._parent.get(value, value)
        if parent is value:
            return value
        self._parent[value] = self.leader(parent)
        return self._parent[value]

    def unite(self, first: ir.Value, second: ir.Value) -> None:
        """Make two tensors share one scale."""
        older, younger = sorted((self.leader(first), self.leader(second)), key=self._order.__getitem__)
        if older is not younger:
            self._parent[younger] = older


@dataclasses.dataclass
class Placement:
    """Where the quantization points are.

    Attributes:
        points: tensors with a Quantize-Dequantize pair, in execution order.
        groups: which of them share a scale.
        observed: the points whose own values decide the scale of their group.
        layers: each layer with weights, with the point at which its accumulator is requantized.
        requantized: (Concat, index of the input) that need a second pair, at the Concat's scale.
        nodes: all nodes that read and write quantized tensors.
    """

    points: list[ir.Value]
    groups: Groups
    observed: list[ir.Value]
    layers: dict[ir.Node, ir.Value]
    requantized: list[tuple[ir.Node, int]]
    nodes: set[ir.Node]


def place(graph: ir.Graph, exclude: frozenset[str] = frozenset()) -> Placement:
    """Apply the rules above to a normalized graph.

    Args:
        graph: float graph with known types and shapes; it is not changed.
        exclude: names of nodes that stay float.
    """
    nodes = [node for node in graph if node.name not in exclude]
    clamps: dict[ir.Node, ir.Node] = {}  # clamp -> the node it belongs to
    layers = [node for node in nodes if _is_layer(node)]
    _attach(layers, clamps, exclude)
    while True:
        clusters, joins = find_clusters(nodes, clamps.keys())
        adds = [node for node in joins if node.op_type == "Add"]
        if not _attach(adds, clamps, exclude):
            break
    pools = [node for node in nodes if node.op_type in AVERAGES and _all_float32(node)]
    concats = [node for node in nodes if _is_concat(node)]
    core = {*layers, *adds, *pools, *concats, *clamps}
    clusters = [cluster for cluster in clusters if cluster.has_activation or _touches(cluster, core)]

    inner = {owner.outputs[0] for owner in clamps.values()}
    inner |= _accumulated(adds, set(layers), list(graph))
    wanted = _edges([*layers, *adds, *pools, *concats, *clamps]) | {v for c in clusters for v in (c.root, c.output)}
    wanted -= inner
    computing = core | {node for cluster in clusters for node in cluster.nodes}
    moves, wanted = _settle_moves([node for node in nodes if is_move(node)], computing, wanted)

    placed = computing | set(moves)
    order = [*graph.inputs, *(value for node in graph for value in node.outputs)]
    points = [value for value in order if value in wanted]
    groups = Groups()
    for value in points:
        groups.leader(value)
    for node in moves:
        for output in node.outputs:
            groups.unite(_data(node)[0], output)
    relayed = _relayed(points, placed)
    for value, source in relayed.items():
        groups.unite(source, value)
    requantized = _share_concats(concats, moves, groups, points)
    derived = {output for node in (*moves, *concats) for output in node.outputs} | relayed.keys()
    return Placement(
        points=points,
        groups=groups,
        observed=[value for value in points if value not in derived],
        layers={layer: _requantized_at(layer, inner) for layer in layers},
        requantized=requantized,
        nodes=placed,
    )


def _data(node: ir.Node) -> list[ir.Value]:
    """The inputs of a quantized node that are activations."""
    several = node.op_type in ("Add", "Concat")
    return [value for value in (node.inputs if several else node.inputs[:1]) if value is not None]


def _edges(nodes: Iterable[ir.Node]) -> set[ir.Value]:
    return {value for node in nodes for value in (*_data(node), *node.outputs)}


def _all_float32(node: ir.Node) -> bool:
    return node.domain == "" and all(
        is_float32(value) and constant(value) is None for value in (*_data(node), *node.outputs)
    )


def _is_layer(node: ir.Node) -> bool:
    if node.op_type not in _LAYERS or not _all_float32(node):
        return False
    weights = constant(node.inputs[1])
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if weights is None or (bias is not None and constant(bias) is None):
        return False
    if node.op_type == "Conv":
        return len(weights.shape) in (3, 4)
    plain = all(node.attributes.get_float(key, 1.0) == 1.0 for key in ("alpha", "beta"))
    channels = weights.shape[0 if node.attributes.get_int("transB", 0) else 1]
    offset = constant(bias)
    fits = offset is None or int(offset.size) in (1, channels)
    return plain and fits and not node.attributes.get_int("transA", 0)


def _is_concat(node: ir.Node) -> bool:
    return node.op_type == "Concat" and len(node.inputs) > 0 and _all_float32(node)


def is_move(node: ir.Node) -> bool:
    """Whether a node only moves or selects float values, so that its result has the scale of its input."""
    if node.op_type not in _MOVES or not _all_float32(node):
        return False
    if node.op_type != "Resize":
        return True
    return bool(
        node.attributes.get_string("mode", "nearest") == "nearest"
        and node.attributes.get_string("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize"
    )


def _sole_reader(value: ir.Value) -> ir.Node | None:
    uses = value.uses()
    if len(uses) != 1 or value.is_graph_output():
        return None
    ((reader, _),) = uses
    return reader


def _attach(owners: Sequence[ir.Node], clamps: dict[ir.Node, ir.Node], exclude: frozenset[str]) -> bool:
    """Give each owner the clamp that alone reads it; True if there was a new one."""
    before = len(clamps)
    for owner in owners:
        reader = _sole_reader(owner.outputs[0])
        if reader is None or reader.op_type not in _CLAMPS or reader.domain or reader.name in exclude:
            continue
        bounds = [value for value in reader.inputs[1:] if value is not None]
        if reader.inputs[0] is owner.outputs[0] and all(constant(value) is not None for value in bounds):
            clamps[reader] = owner
    return len(clamps) > before


def _touches(cluster: Cluster, core: set[ir.Node]) -> bool:
    return cluster.root.producer() in core or any(user in core for user, _ in cluster.output.uses())


def _accumulated(adds: Iterable[ir.Node], layers: set[ir.Node], order: list[ir.Node]) -> set[ir.Value]:
    """For each Add, the operand that it takes as an accumulator: the one that is ready last."""
    position = {node: index for index, node in enumerate(order)}
    found = set()
    for add in adds:
        ready = [
            (position[producer], value)
            for value in _data(add)
            if (producer := value.producer()) in layers and _sole_reader(value) is add
        ]
        if ready:
            found.add(max(ready, key=lambda item: item[0])[1])
    return found


def _settle_moves(
    moves: list[ir.Node], computing: set[ir.Node], wanted: set[ir.Value]
) -> tuple[list[ir.Node], set[ir.Value]]:
    """The moving operators that are quantized, and all tensors with a point.

    Args:
        moves: all of them.
        computing: the other quantized nodes.
        wanted: their tensors.
    """
    while True:
        placed, points = _spread(moves, wanted)
        between = computing | placed
        idle = {
            node
            for node in placed
            if node.op_type in _VIEWS
            and not (_data(node)[0].producer() in between and _is_read_by(node.outputs[0], between))
        }
        if not idle:
            return [node for node in moves if node in placed], points
        moves = [node for node in moves if node not in idle]


def _is_read_by(value: ir.Value, nodes: set[ir.Node]) -> bool:
    return any(user in nodes for user, _ in value.uses())


def _spread(moves: list[ir.Node], wanted: set[ir.Value]) -> tuple[set[ir.Node], set[ir.Value]]:
    """The moving operators that stand next to a quantized tensor, and ``wanted`` with their tensors."""
    placed, wanted = set[ir.Node](), set(wanted)
    while True:
        new = [node for node in moves if node not in placed and not wanted.isdisjoint(_edges([node]))]
        if not new:
            return placed, wanted
        placed.update(new)
        wanted |= _edges(new)


def _relayed(points: Sequence[ir.Value], placed: set[ir.Node]) -> dict[ir.Value, ir.Value]:
    """For each point to which float operators only moved the values of another one: that one."""
    known, found = set(points), dict[ir.Value, ir.Value]()
    for value in points:
        source, node = value, value.producer()
        while node is not None and node not in placed and is_move(node):
            source = _data(node)[0]
            node = source.producer()
        if source is not value and source in known and node in placed:
            found[value] = source
    return found


def _share_concats(
    concats: Sequence[ir.Node], moves: Sequence[ir.Node], groups: Groups, points: Sequence[ir.Value]
) -> list[tuple[ir.Node, int]]:
    """Unite the inputs and the output of each Concat where nothing else reads them; list the inputs that stay apart."""
    transparent = set(moves)
    requantized = []
    for concat in concats:
        for index, value in enumerate(_data(concat)):
            if groups.leader(value) is groups.leader(concat.outputs[0]):
                continue
            members = [point for point in points if groups.leader(point) is groups.leader(value)]
            readers = {user for member in members for user, _ in member.uses()}
            leaves = any(member.is_graph_output() for member in members)
            if leaves or readers - transparent - {concat}:
                requantized.append((concat, index))
            else:
                groups.unite(value, concat.outputs[0])
        transparent.add(concat)
    return requantized


def _requantized_at(layer: ir.Node, inner: set[ir.Value]) -> ir.Value:
    value = layer.outputs[0]
    while value in inner:
        ((reader, _),) = value.uses()
        value = reader.outputs[0]
    return value
