"""Graphs that compute with ONNX's integer operators, rewritten to float operators on the same integers.

N2D2's export has two forms: float operators on integers ("fake quantization"), and ConvInteger, MatMulInteger, int32
arithmetic and Casts. The second becomes the first, so that both are read by one piece of code.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sliceflow.passes.edit import become, named_initializer, new_node, replace, unique_name
from sliceflow.passes.view import attribute, constant, graph_of, input_at, is_op, rank

PRODUCTS = ("ConvInteger", "MatMulInteger")
_ARITHMETIC = ("Add", "Clip", "Concat", "Div", "Flatten", "MaxPool", "Mul", "Relu", "Reshape", "Sub")
_INTEGERS = frozenset({ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT16, ir.DataType.UINT16, ir.DataType.INT32})
"""Types of tensors; int64 is that of shapes."""


def has_integer_products(graph: ir.Graph) -> bool:
    """Whether a graph multiplies integers with constant weights, at ranges that are fixed."""
    kinds = {node.op_type for node in graph if node.domain == ""}
    return not kinds.isdisjoint(PRODUCTS) and "DynamicQuantizeLinear" not in kinds


def to_float(graph: ir.Graph) -> dict[ir.Value, str]:
    """Rewrite the integer operators in place.

    Values that were integers are float32 behind it; an integer model input is cast, and so is an integer output.

    Returns:
        Results of integer divisions, which cut the fraction off, with the names of their nodes. They are written as
        Floor, which is the same for results that are not negative.
    """
    divisions: dict[ir.Value, str] = {}
    outputs = {value: value.dtype for value in graph.outputs if value.dtype in _INTEGERS}
    for value in list(graph.inputs):
        if value.dtype in _INTEGERS and value.uses():
            _cast_input(graph, value)
    for node in list(graph):
        if is_op(node, "ConvInteger", "MatMulInteger"):
            _product(node)
        elif is_op(node, "Cast") and _is_plain(node):
            replace(node, _operand(node))
        elif is_op(node, *_ARITHMETIC) and node.outputs[0].dtype in _INTEGERS and not _ends_in_division(node):
            _arithmetic(node, divisions)
    for value in list(graph.outputs):
        if value in outputs and not is_op(value.producer(), "Cast"):
            _cast_output(graph, value, outputs[value])
    graph.sort()
    return divisions


def _ends_in_division(node: ir.Node) -> bool:
    return is_op(node, "Div") and node.outputs[0].is_graph_output()


def _operand(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None  # frontend.nodes has counted the inputs
    return value


def _cast_input(graph: ir.Graph, value: ir.Value) -> None:
    readers = [(node, index) for node, index in value.uses() if not is_op(node, "Cast")]
    if not readers:
        return
    cast = new_node(graph[0], "Cast", [value], {"to": 1}, name=f"{value.name}_float", dtype=ir.DataType.FLOAT)
    cast.shape = value.shape
    for node, index in readers:
        node.replace_input_with(index, cast)


def _cast_output(graph: ir.Graph, value: ir.Value, dtype: ir.DataType | None) -> None:
    assert dtype is not None
    name, position = str(value.name), [i for i, each in enumerate(graph.outputs) if each is value]
    value.name = unique_name(graph, f"{name}_float")
    value.dtype = ir.DataType.FLOAT
    cast = ir.node("Cast", [value], {"to": int(dtype)}, name=unique_name(graph, f"{name}_cast"))
    result = cast.outputs[0]
    result.name, result.dtype, result.shape = name, dtype, value.shape
    graph.append(cast)
    for index in position:
        graph.outputs[index] = result


def _product(node: ir.Node) -> None:
    """ConvInteger as Conv, a product of rows and a constant matrix as Gemm; others stay as they are."""
    weights = constant(input_at(node, 1))
    zeros = [value for index in (2, 3) if (value := input_at(node, index)) is not None]
    if weights is None or any((zero := constant(value)) is None or zero.any() for value in zeros):
        return
    graph, source = graph_of(node), _operand(node)
    name = unique_name(graph, f"{node.name}_weight")
    if is_op(node, "ConvInteger"):
        kept = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
        settings = {key: node.attributes[key].value for key in kept if key in node.attributes}
        become(node, "Conv", [source, named_initializer(graph, weights.astype(np.float32), name)], settings)
    elif weights.ndim == 2 and rank(source) == 2:
        turned = np.ascontiguousarray(weights.T.astype(np.float32))
        become(node, "Gemm", [source, named_initializer(graph, turned, name)], {"transB": 1})
    else:
        return
    node.outputs[0].dtype = ir.DataType.FLOAT


def _is_plain(node: ir.Node) -> bool:
    """Whether a Cast leaves integers as they are: to a wider type or float, or behind a clamp to the type's range."""
    source, target = _operand(node), ir.DataType(int(attribute(node, "to", 1)))
    if source.is_graph_input() or node.outputs[0].is_graph_output():
        return False
    if target in (ir.DataType.FLOAT, ir.DataType.INT32):
        return source.dtype in _INTEGERS or (source.dtype == ir.DataType.FLOAT and _is_whole(source))
    if target not in _INTEGERS:
        return False
    clip = source.producer()
    if clip is None or not is_op(clip, "Clip") or not _is_whole(source):
        return False
    bounds = [constant(input_at(clip, index)) for index in (1, 2)]
    limits = np.iinfo(target.numpy())
    low, high = (None if each is None or each.size != 1 else float(each.reshape(-1)[0]) for each in bounds)
    return low is not None and high is not None and limits.min <= low and high <= limits.max


def _is_whole(value: ir.Value) -> bool:
    """Whether a value provably holds integers: behind a rounding, and operators that keep them."""
    node = value.producer()
    while node is not None and is_op(node, "Clip", "Relu", "MaxPool", "Flatten", "Reshape"):
        node = _operand(node).producer()
    return is_op(node, "Floor", "Round", "Conv", "Gemm", *PRODUCTS) and (
        not is_op(node, "Conv", "Gemm") or _has_whole_weights(node)
    )


def _has_whole_weights(node: ir.Node | None) -> bool:
    arrays = [constant(value) for value in (node.inputs[1:] if node is not None else ())]
    return all(array is not None and (array == np.rint(array)).all() for array in arrays)


def _arithmetic(node: ir.Node, divisions: dict[ir.Value, str]) -> None:
    graph = graph_of(node)
    for index, value in enumerate(node.inputs):
        array = constant(value)
        if array is not None and array.dtype.kind in "iu" and not is_op(node, "Reshape"):
            name = unique_name(graph, f"{node.name}_constant")
            node.replace_input_with(index, named_initializer(graph, array.astype(np.float32), name))
    output = node.outputs[0]
    output.dtype = ir.DataType.FLOAT
    if is_op(node, "Div"):
        uses = list(output.uses())
        floor = ir.node("Floor", [output], name=unique_name(graph, f"{node.name}_whole"))
        whole = floor.outputs[0]
        whole.name, whole.shape = unique_name(graph, f"{floor.name}_output"), output.shape
        whole.dtype = ir.DataType.FLOAT
        graph.insert_after(node, floor)
        for reader, index in uses:
            reader.replace_input_with(index, whole)
        divisions[whole] = str(node.name)
