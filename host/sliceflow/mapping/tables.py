"""Functions of one tensor as 256-entry tables: find the nodes, run them on every value, read off the results."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.mapping.onnx_view import activation_quant, consumers
from sliceflow.onnx_runtime import exact_session
from sliceflow.passes.view import attribute, constant, is_op

ELEMENTWISE = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "Cast",
        "Ceil",
        "Celu",
        "Clip",
        "Div",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Min",
        "Mish",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "PRelu",
        "Pow",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Sign",
        "Sin",
        "Cos",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Sub",
        "Swish",
        "Tanh",
        "ThresholdedRelu",
        "Where",
    ]
)
"""Operators that act on each element by itself when their other inputs are scalars."""
_LARGEST_REGION = 64


@dataclasses.dataclass(frozen=True)
class Region:
    """Nodes that compute one quantized tensor from another, element by element.

    Attributes:
        nodes: in execution order, from DequantizeLinear nodes of the source to the final QuantizeLinear.
        source, result: the quantized values before and after.
        closed: the region holds every reader of the source.
    """

    nodes: tuple[ir.Node, ...]
    source: ir.Value
    result: ir.Value
    closed: bool


def find_region(source: ir.Value, order: dict[ir.Node, int], through: ir.Node | None = None) -> Region | None:
    """The largest region of elementwise nodes that starts at a quantized value and ends in one other.

    Args:
        source: a value that QuantizeLinear produces.
        order: position of every node in execution order.
        through: a node that must be part of it; several functions can read one tensor.
    """
    derived: set[ir.Value] = {source}
    accepted: list[ir.Node] = []
    best: Region | None = None
    waiting = {reader for reader in consumers(source) if reader in order}  # not those in subgraphs
    while waiting and len(accepted) < _LARGEST_REGION:
        node = min(waiting, key=order.__getitem__)
        waiting.discard(node)
        if not _acceptable(node, derived):
            continue
        accepted.append(node)
        derived.update(node.outputs)
        waiting.update(reader for reader in consumers(node.outputs[0]) if reader in order and reader not in accepted)
        region = _region_ending_at(node, accepted, source)
        if region is not None and (through is None or through in region.nodes):
            best = region
    return best


def _acceptable(node: ir.Node, derived: set[ir.Value]) -> bool:
    if len(node.outputs) != 1:
        return False
    if is_op(node, "QuantizeLinear", "DequantizeLinear"):
        return node.inputs[0] in derived and activation_quant(node) is not None
    if not is_op(node, *ELEMENTWISE):
        return False
    if node.op_type == "Cast" and attribute(node, "to", 0) != ir.DataType.FLOAT:
        return False
    for value in node.inputs:
        if value is None or value in derived:
            continue
        array = constant(value)
        if array is None or array.size != 1 or array.ndim > 4:
            return False
    return any(value in derived for value in node.inputs)


def _region_ending_at(last: ir.Node, accepted: list[ir.Node], source: ir.Value) -> Region | None:
    """A region if ``last`` quantizes and nothing else of the accepted nodes is read outside.

    Nodes that ``last`` does not need, e.g. those of a parallel branch, are left out. If DequantizeLinear of the source
    has readers elsewhere, the region is not closed.
    """
    if last.op_type != "QuantizeLinear":
        return None
    needed: list[ir.Node] = []
    pending = [last]
    while pending:
        node = pending.pop()
        if node in needed:
            continue
        needed.append(node)
        pending += [p for v in node.inputs if v is not None and (p := v.producer()) in accepted and p is not None]
    if len(needed) < 2:
        return None
    closed = all(reader in needed for reader in consumers(source)) and not source.is_graph_output()
    for node in needed:
        if node is last:
            continue
        value = node.outputs[0]
        outside = value.is_graph_output() or any(reader not in needed for reader in consumers(value))
        if not outside:
            continue
        if node.op_type == "DequantizeLinear" and node.inputs[0] is source:
            closed = False
        else:
            return None
    ordered = tuple(node for node in accepted if node in needed)
    return Region(ordered, source, last.outputs[0], closed)


def tabulate(region: Region) -> NDArray[np.int8]:
    """Run a region on all 256 values of its source.

    Returns:
        ``[256]`` stored (signed) results; entry ``q + 128`` belongs to the stored value q.
    """
    readers = (n for n in region.nodes if n.op_type == "DequantizeLinear" and n.inputs[0] is region.source)
    first = activation_quant(next(readers))
    last = activation_quant(region.nodes[-1])
    if first is None or last is None:
        raise ValueError("a region starts and ends with per-tensor quantization")
    stored = np.arange(-128, 128)
    codes = (stored + first.offset).astype(first.dtype).reshape(1, 1, 1, 256)
    result = _run(region, codes, first.dtype, last.dtype)
    return (result.reshape(-1).astype(np.int16) - last.offset).astype(np.int8)


def _run(region: Region, codes: NDArray[Any], source_type: str, result_type: str) -> NDArray[Any]:
    types = {"uint8": onnx.TensorProto.UINT8, "int8": onnx.TensorProto.INT8}
    constants: dict[str, onnx.TensorProto] = {}
    for node in region.nodes:
        for value in node.inputs:
            array = constant(value)
            if value is not None and array is not None:
                constants[str(value.name)] = onnx.numpy_helper.from_array(array, str(value.name))
    model_of = region.nodes[0].graph
    opset = model_of.opset_imports.get("", 21) if model_of is not None else 21
    graph = onnx.helper.make_graph(
        [ir.to_proto(node) for node in region.nodes],
        "table",
        [onnx.helper.make_tensor_value_info(str(region.source.name), types[source_type], codes.shape)],
        [onnx.helper.make_tensor_value_info(str(region.result.name), types[result_type], codes.shape)],
        list(constants.values()),
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    model.ir_version = min(model.ir_version, 10)
    names = ", ".join(f"{node.name} ({node.op_type})" for node in region.nodes)
    try:
        session = exact_session(model.SerializeToString(), 1, where=f"nodes {names}", level="none")
        (result,) = session.run(None, {str(region.source.name): codes})
    except UserError as error:
        raise UserError(
            "ONNX Runtime cannot compute the table of a function",
            where=f"nodes {names}",
            why=error.why,
            fix="correct these nodes, or keep them on the CPU (--cpu NAME)",
        ) from error
    return np.asarray(result)
