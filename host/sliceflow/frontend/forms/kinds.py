"""How a model is quantized, if it is."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from sliceflow.errors import UserError

DYNAMIC_OPS = frozenset(
    {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "MatMulIntegerToFloat"}
    | {"QAttention", "QEmbedLayerNormalization"}
)
"""Operators of dynamic quantization; those that are left when a model is read could not be undone."""
_INTEGER_OPS = frozenset({"ConvInteger", "DequantizeLinear", "MatMulInteger", "QGemm", "QuantizeLinear"})


def is_integer_op(op_type: str) -> bool:
    """Whether an operator computes with quantized numbers whose scales are constants."""
    return op_type in _INTEGER_OPS or op_type.startswith("QLinear")


def quantized_ops(nodes: Iterable[ir.Node]) -> list[str]:
    """The operators among some nodes that say that a model is quantized, sorted."""
    return sorted({node.op_type for node in nodes if node.op_type in DYNAMIC_OPS or is_integer_op(node.op_type)})


def refuse_dynamic(graph: ir.Graph) -> None:
    """End with the way out where a model is quantized dynamically.

    Raises:
        UserError: it is.
    """
    found = [node for node in graph.all_nodes() if node.op_type in DYNAMIC_OPS]
    if found:
        first, more = found[0], f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise UserError(
            "the model is quantized dynamically, in a form that cannot be undone",
            where=f"node {first.name} ({first.op_type}){more}",
            why="its activations get their scales at run time, and the accelerator's scales are constants",
            fix="deploy the float model that it was made from, with --calibration",
        )
