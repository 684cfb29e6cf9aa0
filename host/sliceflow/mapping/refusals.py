"""Why a node does not start an accelerator layer, where its operator or its input is the reason."""

from __future__ import annotations

import onnx_ir as ir

from sliceflow.mapping import tables
from sliceflow.mapping.plan import Refusal
from sliceflow.passes.view import is_op, static_shape


def unsupported(node: ir.Node, *, is_float: bool) -> Refusal:
    """The reason for an operator that the accelerator does not have, or not in this form."""
    if is_op(node, "Identity", "Sum"):  # a Sum of several tensors is an Add by now
        return Refusal("it hands its input on unchanged", "")
    if is_op(node, *tables.ELEMENTWISE):
        if is_float:
            return Refusal("the float profile has no function table", "choose an integer profile")
        return Refusal(
            "it is no function of one quantized tensor with a quantized result",
            "put QuantizeLinear/DequantizeLinear around it, or keep it on the CPU",
        )
    if node.domain not in ("", "ai.onnx"):
        return Refusal(
            f"operator {node.domain}::{node.op_type} is not known", "keep it on the CPU, or export it otherwise"
        )
    if node.op_type.startswith(("QLinear", "MatMulInteger", "ConvInteger", "DynamicQuantize")):
        return Refusal(
            f"{node.op_type} is the operator-oriented form of quantization",
            "export with QuantizeLinear/DequantizeLinear (QDQ)",
        )
    if is_op(node, "MatMul"):
        return Refusal("only the product of a vector and a constant matrix is mapped", "keep it on the CPU")
    if is_op(node, "Pad"):
        return Refusal(
            "it does not pad with zero, or is not read by a layer alone", "pad with zero in front of a convolution"
        )
    return Refusal(f"the accelerator has no {node.op_type}", "it runs on the CPU; replace it if its time matters")


def not_a_tensor(node: ir.Node) -> Refusal:
    """The reason where an input is nothing that the accelerator's memory holds."""
    for value in node.inputs if is_op(node, "Add") else node.inputs[:1]:
        dims = static_shape(value)
        if dims is None:
            return Refusal(
                "its input's shape is unknown or dynamic", "give the input's shape with --shape NAME=1x3x224x224"
            )
        if len(dims) < 2 or dims[0] != 1:
            return Refusal(f"its input of shape {dims} is no batch-1 feature map or vector", "keep it on the CPU")
    return Refusal(
        "its input is not quantized per tensor to 8 bits, or is a constant",
        "quantize the model with `sliceflow quantize`",
    )
