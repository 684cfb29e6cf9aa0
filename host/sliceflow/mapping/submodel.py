"""Cuts nodes out of the graph as a self-contained ONNX model for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnx_ir as ir

_IR_VERSION = 10


def cut(model: ir.Model, nodes: Sequence[ir.Node], inputs: Sequence[ir.Value], outputs: Sequence[ir.Value]) -> bytes:
    """Serialize some nodes as a model.

    Args:
        model: the graph they come from; opset imports are taken over.
        nodes: in execution order.
        inputs: values that they read and do not produce, constants excepted.
        outputs: values to return.
    """
    constants: dict[str, onnx.TensorProto] = {}
    for node in nodes:
        for value in captured(node):
            if value.const_value is not None and value.name not in constants:
                tensor = ir.to_proto(value.const_value)
                tensor.name = str(value.name)
                constants[str(value.name)] = tensor
    graph = onnx.helper.make_graph(
        [ir.to_proto(node) for node in nodes],
        "cpu",
        [_info(value) for value in inputs],
        [_info(value) for value in outputs],
        list(constants.values()),
    )
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    proto = onnx.helper.make_model(graph, opset_imports=opsets)
    proto.ir_version = _IR_VERSION
    return bytes(proto.SerializeToString())


def captured(node: ir.Node) -> list[ir.Value]:
    """Everything a node reads from outside, also inside its sub-graphs."""
    found = [value for value in node.inputs if value is not None and value.name]
    for attribute in node.attributes.values():
        for graph in _graphs(attribute):
            inner = list(graph)
            own = {value for n in inner for value in n.outputs} | set(graph.inputs)
            own |= set(graph.initializers.values())
            found += [value for n in inner for value in captured(n) if value not in own]
            found += [value for value in graph.outputs if value not in own]
    return found


def _graphs(attribute: ir.Attr) -> list[ir.Graph]:
    if attribute.type == ir.AttributeType.GRAPH:
        return [attribute.as_graph()]
    return list(attribute.as_graphs()) if attribute.type == ir.AttributeType.GRAPHS else []


def _info(value: ir.Value) -> onnx.ValueInfoProto:
    dtype = int(value.dtype) if value.dtype is not None else onnx.TensorProto.FLOAT
    dims = None if value.shape is None else [d if isinstance(d, int) else None for d in value.shape]
    return onnx.helper.make_tensor_value_info(str(value.name), dtype, dims)
