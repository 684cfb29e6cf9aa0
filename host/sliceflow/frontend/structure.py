"""Structural checks of an untrusted ONNX message, before any code interprets it.

Names, definitions, tensor sizes and versions. Everything here is linear in the size of the file and allocates nothing
from numbers that the file merely states.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import onnx
import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.frontend.text import verify_text

MIN_OPSET = 7
MAX_ELEMENTS = 1 << 40
"""Largest tensor a model may declare; beyond it sizes are nonsense."""
MAX_NODES = 50_000
"""Nodes of a model, with its subgraphs and functions; reading more would take minutes."""
_MAX_RANK = 32
_STANDARD = ("", "ai.onnx")
_FIX = "the file is damaged, or its exporter is at fault: check it with onnx.checker and export it again"
_DATA_TYPES = frozenset(int(dtype) for dtype in ir.DataType)
_STRING = onnx.TensorProto.STRING
_TYPED_FIELDS: dict[int, tuple[str, int]] = {
    onnx.TensorProto.FLOAT: ("float_data", 1),
    onnx.TensorProto.COMPLEX64: ("float_data", 2),
    onnx.TensorProto.DOUBLE: ("double_data", 1),
    onnx.TensorProto.COMPLEX128: ("double_data", 2),
    onnx.TensorProto.INT64: ("int64_data", 1),
    onnx.TensorProto.UINT32: ("uint64_data", 1),
    onnx.TensorProto.UINT64: ("uint64_data", 1),
    onnx.TensorProto.STRING: ("string_data", 1),
}
"""Field and values for each element of a tensor that is not raw; all other types use int32_data."""


def verify_structure(proto: onnx.ModelProto, where: str) -> None:
    """Check a model message.

    Raises:
        UserError: the first defect found.
    """
    verify_text(proto, where)
    _verify_versions(proto, where)
    counter = _Counter(where)
    _verify_graph(proto.graph, [], counter)
    for function in proto.functions:
        _verify_function(function, counter)


def _defect(what: str, where: str, why: str = "") -> UserError:
    return UserError(what, where=where, why=why, fix=_FIX)


class _Counter:
    """Where we are, how many nodes were seen, and the attributes of the function that we are in."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.nodes = 0
        self.parameters: frozenset[str] = frozenset()

    def add(self, count: int) -> None:
        self.nodes += count
        if self.nodes > MAX_NODES:
            raise UserError(
                "the graph is too large", where=self.where, why=f"it has more than {MAX_NODES} nodes with its subgraphs"
            )


def _verify_versions(proto: onnx.ModelProto, where: str) -> None:
    if not 1 <= proto.ir_version <= onnx.IR_VERSION:
        raise UserError(
            f"the model has IR version {proto.ir_version}",
            where=where,
            why=f"the installed onnx package knows 1 to {onnx.IR_VERSION}",
            fix="upgrade the onnx package, or export the model again",
        )
    versions: dict[str, int] = {}
    for entry in proto.opset_import:
        domain = "" if entry.domain in _STANDARD else entry.domain
        if versions.setdefault(domain, entry.version) != entry.version:
            raise _defect(f"the model imports two opsets of domain {domain!r}", where)
    newest = onnx.defs.onnx_opset_version()
    if "" not in versions:
        if all(node.domain not in _STANDARD for node in proto.graph.node) and proto.ir_version >= 3:
            return
        raise _defect("the model does not say which opset it uses", where)
    if not MIN_OPSET <= versions[""] <= newest:
        convert, update = "convert it with onnx.version_converter", "upgrade the onnx package, or export a lower opset"
        raise UserError(
            f"the model uses opset {versions['']}",
            where=where,
            why=f"opsets {MIN_OPSET} to {newest} are read",
            fix=convert if versions[""] < MIN_OPSET else update,
        )


def _verify_graph(graph: onnx.GraphProto, scopes: list[set[str]], counter: _Counter) -> None:
    where = counter.where
    counter.add(len(graph.node))
    if graph.sparse_initializer:
        raise UserError(
            "sparse initializers are not supported",
            where=f"tensor {graph.sparse_initializer[0].values.name} of {where}",
            fix="store the weights densely",
        )
    inputs = _unique((value.name for value in graph.input), "input", where)
    initializers = _unique((tensor.name for tensor in graph.initializer), "initializer", where)
    for tensor in graph.initializer:
        verify_tensor(tensor, where)
    outputs = _node_outputs(graph.node, where)
    again = next(iter(sorted(outputs & (inputs | initializers))), None)
    if again is not None:
        raise _defect(f"the value {again!r} is defined twice", where)
    scopes.append(inputs | initializers | outputs)
    for node in graph.node:
        _verify_node(node, scopes, counter)
    results = _unique((value.name for value in graph.output), "output", where)
    if len(scopes) == 1 and not results:
        raise _defect("the graph has no outputs", where)
    for name in sorted(results):
        if not _defined(name, scopes):
            raise _defect(f"the output {name!r} is not computed by any node", where)
    for value in graph.input:
        _verify_type(value, where, is_input=len(scopes) == 1)
    for value in (*graph.output, *graph.value_info):
        _verify_type(value, where, is_input=False)
    scopes.pop()


def _verify_function(function: onnx.FunctionProto, counter: _Counter) -> None:
    counter.add(len(function.node))
    where = f"function {function.name} of {counter.where}"
    inputs, outputs = _unique(function.input, "input", where), _node_outputs(function.node, where)
    scopes = [inputs | outputs]
    counter.parameters = frozenset((*function.attribute, *(item.name for item in function.attribute_proto)))
    for node in function.node:
        _verify_node(node, scopes, counter)
    for name in _unique(function.output, "output", where):
        if not _defined(name, scopes):
            raise _defect(f"the output {name!r} is not computed by any node", where)


def _unique(names: Iterable[str], kind: str, where: str) -> set[str]:
    seen: set[str] = set()
    for name in names:
        if not name:
            raise _defect(f"an {kind} has no name", where)
        if name in seen:
            raise _defect(f"there are two {kind}s called {name!r}", where)
        seen.add(name)
    return seen


def _node_outputs(nodes: Sequence[onnx.NodeProto], where: str) -> set[str]:
    seen: set[str] = set()
    for node in nodes:
        for name in node.output:
            if name in seen:
                raise _defect(f"the value {name!r} is defined twice", _at(node, where))
            if name:
                seen.add(name)
    return seen


def _defined(name: str, scopes: list[set[str]]) -> bool:
    return any(name in scope for scope in scopes)


def _at(node: onnx.NodeProto, where: str) -> str:
    return f"node {node.name or '(unnamed)'} ({node.op_type}) of {where}"


def _verify_node(node: onnx.NodeProto, scopes: list[set[str]], counter: _Counter) -> None:
    where = _at(node, counter.where)
    if not node.op_type:
        raise _defect("a node has no operator", where)
    for name in node.input:
        if name and not _defined(name, scopes):
            raise _defect(f"the input {name!r} is not defined", where)
    if not any(node.output):
        raise _defect("a node has no outputs", where)
    _unique((item.name for item in node.attribute), "attribute", where)
    for item in node.attribute:
        _verify_attribute(item, scopes, counter, where)


def _verify_attribute(item: onnx.AttributeProto, scopes: list[set[str]], counter: _Counter, where: str) -> None:
    kinds = onnx.AttributeProto
    if item.ref_attr_name:
        if item.ref_attr_name not in counter.parameters:
            why = "only the body of a function refers to attributes, to those that it declares"
            raise _defect(f"the attribute {item.name!r} refers to {item.ref_attr_name!r}", where, why)
        return
    if item.type in (kinds.SPARSE_TENSOR, kinds.SPARSE_TENSORS):
        raise UserError(f"sparse tensors are not supported: attribute {item.name!r}", where=where)
    if item.type == kinds.UNDEFINED:
        raise _defect(f"the attribute {item.name!r} has no type", where)
    present = {kinds.TENSOR: "t", kinds.GRAPH: "g", kinds.TYPE_PROTO: "tp"}.get(item.type)
    if present is not None and not item.HasField(present):
        raise _defect(f"the attribute {item.name!r} has no value", where)
    tensors = [item.t] if item.type == kinds.TENSOR else item.tensors if item.type == kinds.TENSORS else []
    for tensor in tensors:
        verify_tensor(tensor, f"attribute {item.name} of {where}")
    graphs = [item.g] if item.type == kinds.GRAPH else item.graphs if item.type == kinds.GRAPHS else []
    for graph in graphs:
        _verify_graph(graph, scopes, counter)


def verify_tensor(tensor: onnx.TensorProto, where: str) -> None:
    """Check that the data of a tensor message has the size that its shape and type state.

    Raises:
        UserError: it has not, or type or shape are impossible.
    """
    at = f"tensor {tensor.name or '(unnamed)'} of {where}"
    try:
        dtype = ir.DataType(tensor.data_type)
    except ValueError as error:
        raise _defect("a tensor has an unknown type", at, f"data_type is {tensor.data_type}") from error
    if dtype == ir.DataType.UNDEFINED:
        raise _defect("a tensor has no type", at)
    count = _elements(tensor.dims, at)
    if tensor.HasField("segment"):
        raise _defect("a tensor is stored in segments", at, "no reader supports them")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _verify_external(tensor, at)
        return
    _verify_one_field(tensor, at)
    if tensor.HasField("raw_data") and dtype != ir.DataType.STRING:
        needed, found, unit = math.ceil(count * dtype.bitwidth / 8), len(tensor.raw_data), "bytes"
    else:
        field, values = _TYPED_FIELDS.get(tensor.data_type, ("int32_data", 1))
        needed, found, unit = count * values, len(getattr(tensor, field)), "values"
        if field == "int32_data" and dtype.bitwidth < 8:
            needed = math.ceil(count * dtype.bitwidth / 8)
    if needed != found:
        raise _defect(
            "the size of a tensor contradicts its shape",
            at,
            f"shape {list(tensor.dims)} of {dtype.name} needs {needed} {unit}, {found} are there",
        )


def _verify_one_field(tensor: onnx.TensorProto, at: str) -> None:
    """Values in two fields contradict each other: readers differ in which one they take."""
    fields = {"int32_data", *(field for field, _ in _TYPED_FIELDS.values())}
    used = sorted(field for field in fields if len(getattr(tensor, field)))
    if tensor.HasField("raw_data") and (tensor.raw_data or not used):
        used.append("raw_data")
    if len(used) > 1:
        raise _defect("the values of a tensor are stored twice", at, f"in {' and '.join(used)}")


def _elements(dims: Sequence[int], at: str) -> int:
    if len(dims) > _MAX_RANK:
        raise _defect("a shape has too many dimensions", at, f"{len(dims)}; {_MAX_RANK} are allowed")
    if any(size < 0 for size in dims):
        raise _defect("a shape has a negative dimension", at, f"it is {list(dims)}")
    count = math.prod(dims)
    if count > MAX_ELEMENTS or max(dims, default=0) >= 1 << 40:
        raise _defect("a shape is impossibly large", at, f"it is {list(dims)}")
    return count


def _verify_external(tensor: onnx.TensorProto, at: str) -> None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if not entries.get("location"):
        raise _defect("external weights have no location", at)
    if tensor.data_type == _STRING:
        raise _defect("text cannot be stored externally", at)
    for key in ("offset", "length"):
        text = entries.get(key, "0")
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise _defect(f"the {key} of external weights must be a number", at, f"it is {text[:40]!r}")


def _verify_type(value: onnx.ValueInfoProto, where: str, *, is_input: bool) -> None:
    at = f"value {value.name} of {where}"
    kind: Any = value.type.WhichOneof("value")
    if is_input and kind != "tensor_type":
        why = f"its type is {kind or 'missing'}"
        raise UserError("an input of the model is no tensor", where=at, why=why, fix="make it a tensor")
    if kind != "tensor_type":
        return
    tensor = value.type.tensor_type
    known = tensor.elem_type in _DATA_TYPES
    if not known or (is_input and tensor.elem_type == onnx.TensorProto.UNDEFINED):
        raise _defect("a value has an unknown type", at, f"elem_type is {tensor.elem_type}")
    _elements([dim.dim_value for dim in tensor.shape.dim if dim.WhichOneof("value") == "dim_value"], at)
