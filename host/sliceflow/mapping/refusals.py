"""Why a node does not start an accelerator layer, where its operator or its input is the reason."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.frontend.forms import DYNAMIC_OPS, is_integer_op
from sliceflow.graph.rules import MAX_PLANES
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import tables
from sliceflow.mapping.onnx_view import QUANTIZED_TYPES, activation_quant
from sliceflow.mapping.plan import Refusal
from sliceflow.passes.view import constant, is_op, static_shape


def unsupported(node: ir.Node, profile: Profile) -> Refusal:
    """The reason for an operator that the accelerator does not have, or not in this form."""
    if is_op(node, "Identity", "Sum"):  # a Sum of several tensors is an Add by now
        return Refusal("it hands its input on unchanged", "")
    if is_op(node, *tables.ELEMENTWISE):
        if not profile.has_tables:
            return Refusal(
                f"profile {profile.name} has no function table: tables have an entry for each of 256 activations",
                "choose an integer profile with 8-bit activations, or let it run on the CPU",
            )
        return _no_function(node)
    if node.op_type in DYNAMIC_OPS:
        return Refusal(
            f"{node.op_type} belongs to dynamic quantization: activations get their scales at run time",
            "deploy the float model that it was made from, with --calibration",
        )
    if is_integer_op(node.op_type) and not is_op(node, "QuantizeLinear", "DequantizeLinear"):
        return Refusal(
            f"{node.op_type} has no form with QuantizeLinear/DequantizeLinear here: scales that are computed, for each "
            "row, or missing",
            "export with QuantizeLinear/DequantizeLinear (QDQ), with constant scales",
        )
    if node.domain not in ("", "ai.onnx"):
        return Refusal(
            f"operator {node.domain}::{node.op_type} is not known", "keep it on the CPU, or export it otherwise"
        )
    if is_op(node, "MatMul"):
        return Refusal("only the product of a vector and a constant matrix is mapped", "keep it on the CPU")
    if is_op(node, "Pad"):
        return Refusal(
            "it does not pad with zero, or is not read by a layer alone", "pad with zero in front of a convolution"
        )
    return Refusal(f"the accelerator has no {node.op_type}", "it runs on the CPU; replace it if its time matters")


_JOINS = {"Mul": "product", "Div": "quotient", "Sub": "difference", "Pow": "power", "Max": "maximum", "Min": "minimum"}
_FLOAT_FIX = "quantize that too, unless it is in float on purpose (as `sliceflow quantize` leaves what the CPU runs)"


def _no_function(node: ir.Node) -> Refusal:
    """The reason for an elementwise node that is part of no table."""
    constants = [constant(value) for value in node.inputs if value is not None]
    tensors = {value for value in node.inputs if value is not None and constant(value) is None}
    if len(tensors) > 1:
        what = (
            f"a {_JOINS[node.op_type]} of two tensors" if node.op_type in _JOINS else f"{node.op_type} of two tensors"
        )
        return Refusal(
            f"it is {what}, and a table has room for one", "it runs on the CPU; replace it if its time matters"
        )
    if any(array is not None and array.size != 1 for array in constants):
        return _uneven_constant(node)
    if not any(is_op(value.producer(), "DequantizeLinear") for value in tensors):
        return float_input()
    return Refusal("its result is not quantized, or the nodes around it are no function", _FLOAT_FIX, "output")


def _uneven_constant(node: ir.Node) -> Refusal:
    foldable = is_op(node, "Add", "Div", "Mul", "Sub")
    return Refusal(
        "its constant is not one number for all channels",
        f"{'fold it into a convolution next to it, or let it run' if foldable else 'let it run'} on the CPU",
    )


def float_input() -> Refusal:
    """The reason for a node whose input is computed in float."""
    return Refusal("its input is in float", _FLOAT_FIX, "input")


def too_wide(node: ir.Node | None, profile: Profile) -> Refusal | None:
    """The reason if a QuantizeLinear or DequantizeLinear has more bits than the profile's activations."""
    quant = activation_quant(node) if node is not None else None
    if quant is None or profile.is_float or quant.bits <= profile.activation_bits:
        return None
    return Refusal(
        f"its tensor is quantized to {quant.bits} bits, and the activations of {profile.name} have "
        f"{profile.activation_bits}",
        f"use a profile with {quant.bits}-bit activations, or quantize to {profile.activation_bits} bits "
        f"(--activations int{profile.activation_bits})",
    )


def planes_of(weights: NDArray[Any], bits: int) -> int:
    """Sets of weights of some bits whose sum these weights are."""
    high = (1 << (bits - 1)) - 1
    largest, least = int(weights.max(initial=0)), int(weights.min(initial=0))
    return max(1, -(-largest // high), -(least // (high + 1)))


def weights_too_wide(weights: NDArray[Any], profile: Profile) -> Refusal | None:
    """The reason if integer weights need more planes of the profile's width than the array sums."""
    if profile.is_float or planes_of(weights, profile.weight_bits) <= MAX_PLANES:
        return None
    return Refusal(
        f"its weights lie in {int(weights.min())}..{int(weights.max())}, and {MAX_PLANES} sets of the "
        f"{profile.weight_bits}-bit weights of {profile.name} do not add up to that",
        f"quantize the float model with --weights int{profile.weight_bits}, or use a profile with wider weights",
    )


def _other_type(node: ir.Node | None) -> str:
    """The type of dequantized numbers where it is none of an accelerator's; empty otherwise."""
    stored = node.inputs[0] if node is not None and is_op(node, "DequantizeLinear") else None
    name = stored.dtype.name.lower() if stored is not None and stored.dtype is not None else ""
    return "" if name in QUANTIZED_TYPES else name


def not_a_tensor(node: ir.Node, profile: Profile) -> Refusal:
    """The reason where an input is nothing that the accelerator's memory holds."""
    for value in node.inputs if is_op(node, "Add") else node.inputs[:1]:
        array, dims = constant(value), static_shape(value)
        if array is not None and is_op(node, "Add"):
            if array.size != 1:
                return _uneven_constant(node)
            continue
        if dims is None:
            return Refusal(
                "its input's shape is unknown or dynamic", "give the input's shape with --shape NAME=1x3x224x224"
            )
        if len(dims) < 2 or dims[0] != 1:
            return Refusal(f"its input of shape {dims} is no batch-1 feature map or vector", "keep it on the CPU")
        wide = too_wide(value.producer() if value is not None else None, profile)
        if wide is not None:
            return wide
        other = _other_type(value.producer() if value is not None else None)
        if other:
            return Refusal(
                f"its input is stored as {other}, and the accelerator has integers of 8 or 16 bits",
                "quantize the float model with `sliceflow quantize`",
            )
        if array is not None:
            return Refusal("its input is a constant", "fold it, or let it run on the CPU")
        if not is_op(value.producer() if value is not None else None, "DequantizeLinear"):
            return float_input()
    return Refusal(
        "its input is not quantized per tensor to 8 or 16 bits", "quantize the float model with `sliceflow quantize`"
    )
