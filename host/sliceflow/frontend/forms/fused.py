"""Operators that ONNX Runtime's optimizer fused, taken apart again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from sliceflow.frontend.forms.form import MICROSOFT, Form, nodes, real, whole
from sliceflow.passes.edit import add_initializer, become, new_node
from sliceflow.passes.view import attribute, graph_of, input_at, rank

_ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
    "LeakyRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
}
"""Fused activations and the attributes that their parameters are, in order. Clip has inputs."""


class Fused(Form):
    """FusedConv, FusedGemm, FusedMatMul and the Gelu family become the operators that they are made of.

    Source: docs/ContribOperators.md of ONNX Runtime.
    """

    name = "fused"
    summary = "FusedConv, FusedGemm, FusedMatMul, QuickGelu ... of com.microsoft become standard operators"

    @classmethod
    def note(cls, count: int) -> str:
        """One sentence for the user."""
        return f"operators that ONNX Runtime had fused were taken apart: {nodes(count)}"

    def rewrite(self, node: ir.Node) -> bool:
        """Take one node apart."""
        rule = _RULES.get(node.op_type) if node.domain == MICROSOFT else None
        if rule is None or not rule(node):
            return False
        node.domain, node.version = "", None
        return True


def _inner(node: ir.Node, op_type: str, inputs: Sequence[ir.Value | None], attributes: dict[str, Any]) -> ir.Value:
    return new_node(node, op_type, inputs, attributes, name=f"{node.name}_{op_type.lower()}", dtype=ir.DataType.FLOAT)


def _activate(node: ir.Node, source: ir.Value, name: str, parameters: Sequence[float]) -> None:
    if name == "Clip":
        bounds = [add_initializer(graph_of(node), np.float32(value), f"{node.name}_bound") for value in parameters]
        become(node, "Clip", [source, *bounds])
    else:
        become(node, name, [source], dict(zip(_ACTIVATIONS[name], map(float, parameters), strict=False)))


def _conv(node: ir.Node) -> bool:
    """Conv, then the sum with Z if there is one, then the activation."""
    activation, parameters = str(attribute(node, "activation", "")), attribute(node, "activation_params", [])
    if activation not in (*_ACTIVATIONS, "Clip", ""):
        return False
    attributes = {key: attribute(node, key) for key in node.attributes if not key.startswith("activation")}
    inputs, addend = [value for value in node.inputs[:3] if value is not None], input_at(node, 3)
    if not activation and addend is None:
        become(node, "Conv", inputs, attributes)
        return True
    result = _inner(node, "Conv", inputs, attributes)
    if not activation:
        become(node, "Add", [result, addend])
        return True
    _activate(node, result if addend is None else _inner(node, "Add", [result, addend], {}), activation, parameters)
    return True


def _gemm(node: ir.Node) -> bool:
    activation = str(attribute(node, "activation", ""))
    if activation not in _ACTIVATIONS:
        return False
    names = [f"activation_{name}" for name in ("alpha", "beta")]
    parameters = [real(node, name, 0.0) for name in names if name in node.attributes]
    attributes = {key: attribute(node, key) for key in node.attributes if not key.startswith("activation")}
    _activate(node, _inner(node, "Gemm", list(node.inputs), attributes), activation, parameters)
    return True


def _matmul(node: ir.Node) -> bool:
    """Operands transposed as asked, the product times ``alpha``. Moved batch axes are left alone."""
    if whole(node, "transBatchA") or whole(node, "transBatchB"):
        return False
    turned = [bool(whole(node, name)) for name in ("transA", "transB")]
    ranks = [rank(value) for value in node.inputs]
    if any(turn and (axes is None or axes < 2) for turn, axes in zip(turned, ranks, strict=True)):
        return False
    operands = [
        _inner(node, "Transpose", [value], {"perm": [*range((axes or 2) - 2), (axes or 2) - 1, (axes or 2) - 2]})
        if turn
        else value
        for value, turn, axes in zip(node.inputs, turned, ranks, strict=True)
    ]
    alpha = real(node, "alpha", 1.0)
    if alpha == 1.0:
        become(node, "MatMul", operands)
    else:
        factor = add_initializer(graph_of(node), np.float32(alpha), f"{node.name}_alpha")
        become(node, "Mul", [_inner(node, "MatMul", operands, {}), factor])
    return True


def _quick_gelu(node: ir.Node) -> bool:
    source = node.inputs[0]
    factor = add_initializer(graph_of(node), np.float32(real(node, "alpha", 1.702)), f"{node.name}_alpha")
    become(node, "Mul", [source, _inner(node, "Sigmoid", [_inner(node, "Mul", [source, factor], {})], {})])
    return True


def _gelu(approximate: str) -> Callable[[ir.Node], bool]:
    def rule(node: ir.Node) -> bool:
        bias = input_at(node, 1)
        source = node.inputs[0] if bias is None else _inner(node, "Add", [node.inputs[0], bias], {})
        become(node, "Gelu", [source], {"approximate": approximate})
        return True

    return rule


_RULES: dict[str, Callable[[ir.Node], bool]] = {
    "BiasGelu": _gelu("none"),
    "FastGelu": _gelu("tanh"),
    "FusedConv": _conv,
    "FusedGemm": _gemm,
    "FusedMatMul": _matmul,
    "Gelu": _gelu("none"),
    "QuickGelu": _quick_gelu,
}
