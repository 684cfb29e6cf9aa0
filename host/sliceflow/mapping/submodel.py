"""Cuts nodes out of the graph as a self-contained ONNX model for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.frontend import serialize
from sliceflow.frontend.write import LARGEST_WEIGHTS
from sliceflow.frontend.written_opset import remember_opset, source_opset


def cut(model: ir.Model, nodes: Sequence[ir.Node], inputs: Sequence[ir.Value], outputs: Sequence[ir.Value]) -> bytes:
    """Serialize some nodes as a model, at the opset of the source where that suffices.

    Args:
        model: the graph they come from; opset imports are taken over.
        nodes: in execution order.
        inputs: values that they read and do not produce, constants excepted.
        outputs: values to return.

    Raises:
        UserError: their constants are larger than one file may be.
    """
    constants = _constants(nodes)
    between = [value for node in nodes for value in node.outputs if value.name and value not in outputs]
    graph = onnx.helper.make_graph(
        [ir.to_proto(node) for node in nodes],
        "cpu",
        [_info(value) for value in (*inputs, *constants.values())],
        [_info(value) for value in outputs],
        value_info=[_info(value) for value in between if isinstance(value.type, ir.TensorType)],
    )
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    island = ir.from_proto(onnx.helper.make_model(graph, opset_imports=opsets))
    for value in island.graph.inputs[len(inputs) :]:
        value.const_value = constants[str(value.name)].const_value
        island.graph.inputs.remove(value)
        island.graph.register_initializer(value)
    remember_opset(island, source_opset(model))
    return serialize(island, f"CPU layers {', '.join(repr(node.name) for node in nodes[:3])}", must_load=False)


def verify_size(nodes: Sequence[ir.Node], limit: int = LARGEST_WEIGHTS) -> None:
    """Refuse nodes for the CPU that ``cut`` could not write, before anything else is done.

    Args:
        nodes: those of one CPU layer.
        limit: bytes of their constants.

    Raises:
        UserError: they have more.
    """
    sizes = {
        name: value.const_value.nbytes for name, value in _constants(nodes).items() if value.const_value is not None
    }
    if sum(sizes.values()) > limit:
        largest = max(sizes, key=lambda name: sizes[name])
        raise UserError(
            "a layer on the CPU has more weights than an artifact can hold",
            where=f"nodes {', '.join(repr(node.name) for node in nodes[:3])}; tensor {largest!r}",
            why=f"its model is one protobuf file of less than 2 GiB, and its weights have {sum(sizes.values())} bytes",
            fix="`sliceflow check` says why it is on the CPU; choose a profile that takes it, or split it",
        )


def _constants(nodes: Sequence[ir.Node]) -> dict[str, ir.Value]:
    """The constants that nodes read, by name."""
    return {str(value.name): value for node in nodes for value in captured(node) if value.const_value is not None}


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
