"""One float type: float32.

float16 and bfloat16 are forms of storage here. Their numbers are widened exactly; what a network computes from them is
not rounded to them any more, and does not overflow at their limits. float64 is narrowed where the network computes its
layers in it, and left alone where it appears beside float32 (arithmetic on sizes).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx_ir as ir

from sliceflow.passes.view import is_op

_SHORT = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16})
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN")
_TYPE_ATTRIBUTES = frozenset(
    {"to", "dtype", "output_dtype", "output_datatype", "precision", "softmax_precision", "stash_type"}
)
"""Attributes of standard operators whose integer is a type."""


def settle_floats(model: ir.Model) -> tuple[str, ...]:
    """Make float32 of the other float types, in place: constants, inputs, outputs, casts, in sub-graphs too.

    Casts that are left without an effect are removed later, by normalization.

    Args:
        model: its types are those that the file states; inference has not run.

    Returns:
        Notes on what was done.
    """
    graphs = [model.graph, *model.graph.subgraphs()]
    kinds = _SHORT | ({ir.DataType.DOUBLE} if _computes_in_double(graphs) else frozenset())
    found: set[ir.DataType] = set()
    for graph in graphs:
        found |= _settle_graph(graph, kinds)
    notes = []
    if found & _SHORT:
        names = " and ".join(sorted(kind.name.lower() for kind in found & _SHORT))
        notes.append(
            f"{names} tensors are read as float32: nothing is rounded to them or overflows at their limits any more; "
            f"inputs may be given as float32 or float16, outputs are float32"
        )
    if ir.DataType.DOUBLE in found:
        notes.append("the float64 network is read as float32; give its inputs as float32")
    return tuple(notes)


def _settle_graph(graph: ir.Graph, kinds: frozenset[ir.DataType]) -> set[ir.DataType]:
    found: set[ir.DataType] = set()
    for value in _values(graph):
        found |= _settle_type(value, kinds)
        tensor = value.const_value
        if tensor is not None and tensor.dtype in kinds:
            found.add(tensor.dtype)
            value.const_value = _settled(tensor)
    for node in graph:
        for attribute in list(node.attributes.values()):
            found |= _settle_attribute(node, attribute, kinds)
    return found


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from (value for value in graph.initializers.values() if not value.is_graph_input())
    for node in graph:
        yield from node.outputs


def _settle_type(value: ir.Value, kinds: frozenset[ir.DataType]) -> set[ir.DataType]:
    """The type of a value, which may be a sequence or an optional of tensors."""
    inner: Any = value.type
    around: list[type[Any]] = []
    while isinstance(inner, (ir.SequenceType, ir.OptionalType)):
        around.append(type(inner))
        inner = inner.elem_type
    if not isinstance(inner, ir.TensorType) or inner.dtype not in kinds:
        return set()
    new: Any = ir.TensorType(ir.DataType.FLOAT)  # a new one: copies of a model share theirs
    for kind in reversed(around):
        new = kind(new)
    value.type = new
    return {inner.dtype}


def _settle_attribute(node: ir.Node, attribute: ir.Attr, kinds: frozenset[ir.DataType]) -> set[ir.DataType]:
    if attribute.type == ir.AttributeType.TENSOR:
        tensor = attribute.as_tensor()
        if tensor.dtype not in kinds:
            return set()
        node.attributes[attribute.name] = ir.AttrTensor(attribute.name, _settled(tensor))
        return {tensor.dtype}
    standard = node.domain == "" and attribute.name in _TYPE_ATTRIBUTES and attribute.type == ir.AttributeType.INT
    if not standard or attribute.as_int() not in {int(kind) for kind in kinds}:
        return set()
    kind = ir.DataType(attribute.as_int())
    node.attributes[attribute.name] = ir.AttrInt64(attribute.name, int(ir.DataType.FLOAT))
    return {kind}


def _settled(tensor: Any) -> ir.TensorProtocol:
    array = np.asarray(tensor.numpy())
    if array.dtype == np.float64:  # -1.8e308 stands for "never": it stays finite
        limit = np.finfo(np.float32).max
        array = np.where(np.isfinite(array), np.clip(array, -limit, limit), array)
    return ir.Tensor(array.astype(np.float32), name=tensor.name)


def _computes_in_double(graphs: Iterable[ir.Graph]) -> bool:
    """Whether an input is float64, or a layer has such weights."""
    graphs = list(graphs)
    if any(value.dtype == ir.DataType.DOUBLE for value in graphs[0].inputs):
        return True
    return any(
        value is not None and value.const_value is not None and value.const_value.dtype == ir.DataType.DOUBLE
        for graph in graphs
        for node in graph
        if is_op(node, *_LAYERS)
        for value in node.inputs
    )
