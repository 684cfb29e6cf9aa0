"""Rewrites of a quantized graph that change no value and leave the merger fewer cases.

Rules:
    1. QuantizeLinear nodes with the same input and parameters become one. One that only repeats the grid of the
       tensor behind its DequantizeLinear goes.
    2. An operator that only moves or selects values (max pool, reshape, nearest resize, Relu, concat of equal
       scales) stays on its input's grid; where the model does not quantize its output, the input's pair is repeated.
    3. Where such an operator's output is quantized and an input is not, or on another grid, a pair on the output's grid
       is put before the operator: rounding commutes with selection.
    4. A concatenation whose first inputs are exactly those of an earlier one takes the earlier one's output instead.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from sliceflow.mapping.onnx_view import Quant, activation_quant, consumers
from sliceflow.passes.view import attribute, input_at, is_op, only_consumer

GRID_OPS = frozenset({"MaxPool", "GlobalMaxPool", "Flatten", "Reshape", "Resize", "Relu", "Concat"})


def legalize(model: ir.Model, cpu_nodes: Collection[ir.Node] = ()) -> None:
    """Apply the rules in place. Requires static shapes.

    Args:
        model: the graph.
        cpu_nodes: nodes that stay on the CPU anyway; no pairs are put around them.
    """
    graph = model.graph
    _merge_equal_quantizers(graph)
    _drop_repeated_quantizers(graph)
    _nest_concats(graph)
    for node in list(graph):
        if _keeps_grid(node) and node not in cpu_nodes:
            _complete(graph, node, cpu_nodes)
    graph.sort()


def _merge_equal_quantizers(graph: ir.Graph) -> None:
    for node in list(graph):
        for value in node.outputs:
            _merge_readers(graph, value)
    for value in graph.inputs:
        _merge_readers(graph, value)


def _drop_repeated_quantizers(graph: ir.Graph) -> None:
    for node in list(graph):
        quant = activation_quant(node) if is_op(node, "QuantizeLinear") else None
        producer = node.inputs[0].producer() if quant is not None and node.inputs[0] is not None else None
        if producer is None or not is_op(producer, "DequantizeLinear") or node.outputs[0].is_graph_output():
            continue
        stored = producer.inputs[0]
        if stored is not None and not stored.is_initializer() and activation_quant(producer) == quant:
            node.outputs[0].replace_all_uses_with(stored)
            graph.remove(node, safe=True)


def _merge_readers(graph: ir.Graph, value: ir.Value) -> None:
    first: dict[Quant, ir.Node] = {}
    for reader in consumers(value):
        quant = activation_quant(reader) if is_op(reader, "QuantizeLinear") else None
        if quant is None:
            continue
        kept = first.setdefault(quant, reader)
        if kept is not reader and not reader.outputs[0].is_graph_output():
            reader.outputs[0].replace_all_uses_with(kept.outputs[0])
            graph.remove(reader, safe=True)


def _nest_concats(graph: ir.Graph) -> None:
    seen: list[ir.Node] = []
    for node in list(graph):
        if not is_op(node, "Concat") or attribute(node, "axis", None) != 1:
            continue
        for earlier in reversed(seen):
            count = len(earlier.inputs)
            if count < len(node.inputs) and tuple(node.inputs[:count]) == tuple(earlier.inputs):
                rest = tuple(node.inputs[count:])
                node.replace_input_with(0, earlier.outputs[0])
                for index, value in enumerate(rest, start=1):
                    node.replace_input_with(index, value)
                node.resize_inputs(1 + len(rest))
                break
        seen.append(node)


def _keeps_grid(node: ir.Node) -> bool:
    if not is_op(node, *GRID_OPS):
        return False
    if node.op_type == "Resize":
        return bool(attribute(node, "mode", "nearest") == "nearest")
    return not (node.op_type == "Concat" and attribute(node, "axis", None) != 1)


def _data_inputs(node: ir.Node) -> list[ir.Value | None]:
    return list(node.inputs) if node.op_type == "Concat" else [input_at(node, 0)]


def _quant_of(value: ir.Value | None) -> Quant | None:
    producer = value.producer() if value is not None else None
    return activation_quant(producer) if producer is not None and is_op(producer, "DequantizeLinear") else None


def _complete(graph: ir.Graph, node: ir.Node, cpu_nodes: Collection[ir.Node]) -> None:
    quants = [_quant_of(value) for value in _data_inputs(node)]
    output = node.outputs[0]
    reader = only_consumer(output)
    target = activation_quant(reader) if reader is not None and is_op(reader, "QuantizeLinear") else None
    if target is None:
        first = quants[0] if quants else None
        if first is not None and all(quant == first for quant in quants) and _on_grid(node, first):
            _insert_pair_after(graph, node, first)
        return
    for index, quant in enumerate(quants):
        if quant != target and node.op_type != "Relu" and _source(_data_inputs(node)[index]) not in cpu_nodes:
            _insert_pair_before(graph, node, index, target)


def _source(value: ir.Value | None) -> ir.Node | None:
    """The node that computes a value, before views."""
    node = value.producer() if value is not None else None
    while node is not None and is_op(node, "Flatten", "Reshape"):
        node = node.inputs[0].producer() if node.inputs[0] is not None else None
    return node


def _on_grid(node: ir.Node, quant: Quant) -> bool:
    return node.op_type != "Relu" or quant.low <= quant.zero_point <= quant.high


def _pair(graph: ir.Graph, source: ir.Value, quant: Quant, anchor: ir.Node, *, after: bool) -> ir.Value:
    """QuantizeLinear and DequantizeLinear of ``source``, placed beside ``anchor``; returns the dequantized value."""
    stem = f"{source.name}_{quant.dtype}_{abs(hash((quant.scale, quant.zero_point))):x}"
    scale = _constant(graph, f"{stem}_scale", np.array(quant.scale, np.float32))
    zero = _constant(graph, f"{stem}_zero", np.array(quant.zero_point, quant.dtype))
    stored = ir.Value(
        name=f"{stem}_quantized", shape=source.shape, type=ir.TensorType(ir.DataType[quant.dtype.upper()])
    )
    real = ir.Value(name=f"{stem}_dequantized", shape=source.shape, type=ir.TensorType(ir.DataType.FLOAT))
    nodes = [
        ir.Node("", "QuantizeLinear", [source, scale, zero], outputs=[stored], name=f"{stem}_q"),
        ir.Node("", "DequantizeLinear", [stored, scale, zero], outputs=[real], name=f"{stem}_dq"),
    ]
    (graph.insert_after if after else graph.insert_before)(anchor, nodes)
    return real


def _constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    if name not in graph.initializers:
        value = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
            const_value=ir.tensor(array, name=name),
        )
        graph.register_initializer(value)
    return graph.initializers[name]


def _insert_pair_after(graph: ir.Graph, node: ir.Node, quant: Quant) -> None:
    output = node.outputs[0]
    if output.is_graph_output():
        return
    uses = list(output.uses())
    real = _pair(graph, output, quant, node, after=True)
    for reader, index in uses:
        reader.replace_input_with(index, real)


def _insert_pair_before(graph: ir.Graph, node: ir.Node, index: int, quant: Quant) -> None:
    source = node.inputs[index]
    if source is None:
        return
    existing = next((r for r in consumers(source) if is_op(r, "QuantizeLinear") and activation_quant(r) == quant), None)
    if existing is not None:
        readers = [r for r in consumers(existing.outputs[0]) if is_op(r, "DequantizeLinear")]
        if readers:
            node.replace_input_with(index, readers[0].outputs[0])
            return
    node.replace_input_with(index, _pair(graph, source, quant, node, after=False))
