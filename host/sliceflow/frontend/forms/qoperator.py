"""Operator-oriented quantization: every operator carries the scales of its operands and its result.

Each becomes the float operator between DequantizeLinear and QuantizeLinear, which is what its definition says: the
sum in whole numbers, times the product of the scales, over the result's scale, rounded to nearest with ties to even.
An int32 bias lies at the product of the scales of data and weights.

Source: QLinearConv and QLinearMatMul of the ONNX operators; docs/ContribOperators.md of ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from sliceflow.frontend.forms.form import MICROSOFT, Form, nodes, real, whole
from sliceflow.frontend.forms.qdq import become_product, dequantize, numbers, quantize_result
from sliceflow.passes.edit import add_initializer, become
from sliceflow.passes.view import attribute, constant, graph_of, input_at, rank

_Rule = Callable[[ir.Node], bool]


class QOperator(Form):
    """An operator with scales becomes a float operator between DequantizeLinear and QuantizeLinear.

    Nodes whose scales are computed where they must be constants, or have several numbers where the standard form has
    one, stay as they are.
    """

    name = "qoperator"
    summary = "QLinearConv, QGemm, QLinearAdd ... become float operators between DequantizeLinear and QuantizeLinear"

    @classmethod
    def note(cls, count: int) -> str:
        """One sentence for the user."""
        return f"operators with quantized operands (QLinear...) became QuantizeLinear/DequantizeLinear: {nodes(count)}"

    def rewrite(self, node: ir.Node) -> bool:
        """Rewrite one node."""
        rule = _RULES.get(node.op_type)
        if rule is None or node.domain not in ("", MICROSOFT) or whole(node, "channels_last"):
            return False
        return rule(node)


def _operand(node: ir.Node, first: int, *, axis: int | None = None) -> ir.Value:
    """The float tensor that inputs ``first`` to ``first + 2`` stand for."""
    stored, scale = input_at(node, first), input_at(node, first + 1)
    if stored is None or scale is None:
        raise ValueError("an operand or its scale is missing")
    return dequantize(node, stored, scale, input_at(node, first + 2), axis=axis)


def _attributes(node: ir.Node, *without: str) -> dict[str, Any]:
    skipped = {"channels_last", *without}
    return {name: attribute(node, name) for name in node.attributes if name not in skipped}


def _accumulator_scale(node: ir.Node, alpha: float = 1.0) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """Scale of the integer sums of inputs 0 (data) and 3 (weights); None if one of theirs is no constant."""
    data, weights = constant(input_at(node, 1)), constant(input_at(node, 4))
    if data is None or weights is None or data.size != 1:
        return None
    product = np.float32(alpha) * data.reshape(()).astype(np.float32) * weights.reshape(-1).astype(np.float32)
    return product.reshape(()) if product.size == 1 else product


def _bias(node: ir.Node, index: int, alpha: float = 1.0) -> ir.Value | None:
    stored = input_at(node, index)
    if stored is None:
        return None
    product = _accumulator_scale(node, alpha)
    assert product is not None  # the callers look first
    scale = add_initializer(graph_of(node), product, f"{stored.name}_scale")
    axes = rank(stored)
    return dequantize(node, stored, scale, None, axis=None if product.ndim == 0 or not axes else axes - 1)


def _conv(node: ir.Node) -> bool:
    if input_at(node, 8) is not None and _accumulator_scale(node) is None:
        return False
    axis = 0 if numbers(input_at(node, 4), input_at(node, 5)) > 1 else None
    inputs = [_operand(node, 0), _operand(node, 3, axis=axis)]
    bias = _bias(node, 8)
    quantize_result(
        node, "Conv", inputs if bias is None else [*inputs, bias], _attributes(node), (node.inputs[6], node.inputs[7])
    )
    return True


def _matmul(node: ir.Node) -> bool:
    """Scales for each row of the left operand, or for each matrix of a stack, have no standard form."""
    columns = numbers(input_at(node, 4), input_at(node, 5))
    if numbers(input_at(node, 1), input_at(node, 2)) > 1 or numbers(input_at(node, 6), input_at(node, 7)) > 1:
        return False
    axes = rank(input_at(node, 3))
    if columns > 1 and (axes != 2 or columns != _size(input_at(node, 3), 1)):
        return False
    inputs = [_operand(node, 0), _operand(node, 3, axis=1 if columns > 1 else None)]
    quantize_result(node, "MatMul", inputs, {}, (node.inputs[6], node.inputs[7]))
    return True


def _matmul_to_float(node: ir.Node) -> bool:
    """MatMulIntegerToFloat: both scales in front of the zero points, and a float bias that is added."""
    a, b, a_scale, b_scale = node.inputs[:4]
    zeros, bias = (input_at(node, 4), input_at(node, 5)), input_at(node, 6)
    if a is None or b is None or a_scale is None or b_scale is None:
        raise ValueError("an operand or its scale is missing")
    columns, axes = numbers(b_scale, zeros[1]), rank(b)
    if numbers(a_scale, zeros[0]) != 1 or not columns or (columns > 1 and axes is None):
        return False
    axis = axes - 1 if columns > 1 and axes is not None else None
    operands = [dequantize(node, a, a_scale, zeros[0]), dequantize(node, b, b_scale, zeros[1], axis=axis)]
    become_product(node, operands, bias)
    return True


def _size(value: ir.Value | None, axis: int) -> int | None:
    size = value.shape[axis] if value is not None and value.shape is not None else None
    return size if isinstance(size, int) else None


def _gemm(node: ir.Node) -> bool:
    """``alpha`` goes into the scale of B. Without a scale of the result, the result is float."""
    alpha, weights = real(node, "alpha", 1.0), constant(input_at(node, 4))
    if weights is None or _accumulator_scale(node) is None:
        return False
    bias = _bias(node, 6, alpha)
    scale = add_initializer(graph_of(node), weights.astype(np.float32) * np.float32(alpha), f"{node.name}_b_scale")
    transposed = whole(node, "transB", 0)
    stored, zero = node.inputs[3], input_at(node, 5)
    if stored is None:
        raise ValueError("an operand is missing")
    axis = (0 if transposed else 1) if numbers(scale, zero) > 1 else None
    inputs = [_operand(node, 0), dequantize(node, stored, scale, zero, axis=axis)]
    attributes = {"transA": whole(node, "transA", 0), "transB": transposed}
    inputs += [] if bias is None else [bias]
    if input_at(node, 7) is None:
        become(node, "Gemm", inputs, attributes)
        node.domain, node.version = "", None
    else:
        quantize_result(node, "Gemm", inputs, attributes, (node.inputs[7], input_at(node, 8)))
    return True


def _unary(op_type: str) -> _Rule:
    def rule(node: ir.Node) -> bool:
        quantize_result(node, op_type, [_operand(node, 0)], _attributes(node), (input_at(node, 3), input_at(node, 4)))
        return True

    return rule


def _binary(op_type: str) -> _Rule:
    def rule(node: ir.Node) -> bool:
        operands = [_operand(node, 0), _operand(node, 3)]
        quantize_result(node, op_type, operands, {}, (input_at(node, 6), input_at(node, 7)))
        return True

    return rule


def _concat(node: ir.Node) -> bool:
    if len(node.inputs) < 5 or len(node.inputs) % 3 != 2:
        raise ValueError("its inputs are not a scale, a zero point and three for each part")
    parts = [_operand(node, first) for first in range(2, len(node.inputs), 3)]
    quantize_result(node, "Concat", parts, _attributes(node), (input_at(node, 0), input_at(node, 1)))
    return True


def _softmax(node: ir.Node) -> bool:
    """Below opset 13, which the node names, it works on the tensor flattened at its axis: the same at the last."""
    axis, axes = whole(node, "axis", -1), rank(node.inputs[0])
    if whole(node, "opset", 13) < 13 and axis != -1 and (axes is None or axis != axes - 1):
        return False
    results = (input_at(node, 3), input_at(node, 4))
    quantize_result(node, "Softmax", [_operand(node, 0)], {"axis": axis}, results)
    return True


def _reduce_mean(node: ir.Node) -> bool:
    inputs, axes = [_operand(node, 0)], attribute(node, "axes")
    if axes is not None:
        inputs.append(add_initializer(graph_of(node), np.array(axes, np.int64), f"{node.name}_axes"))
    results = (input_at(node, 3), input_at(node, 4))
    quantize_result(node, "ReduceMean", inputs, _attributes(node, "axes"), results)
    return True


def _where(node: ir.Node) -> bool:
    inputs = [node.inputs[0], _operand(node, 1), _operand(node, 4)]
    quantize_result(node, "Where", inputs, {}, (input_at(node, 7), input_at(node, 8)))
    return True


_RULES: dict[str, _Rule] = {
    "MatMulIntegerToFloat": _matmul_to_float,
    "QGemm": _gemm,
    "QLinearAdd": _binary("Add"),
    "QLinearAveragePool": _unary("AveragePool"),
    "QLinearConcat": _concat,
    "QLinearConv": _conv,
    "QLinearGlobalAveragePool": _unary("GlobalAveragePool"),
    "QLinearLeakyRelu": _unary("LeakyRelu"),
    "QLinearMatMul": _matmul,
    "QLinearMul": _binary("Mul"),
    "QLinearReduceMean": _reduce_mean,
    "QLinearSigmoid": _unary("Sigmoid"),
    "QLinearSoftmax": _softmax,
    "QLinearWhere": _where,
}
