"""Which values can be tensors of the accelerator, who reads them, and where an operator's result becomes one.

Integer profiles: a tensor is a value that QuantizeLinear produces, read through DequantizeLinear. Float profiles: any.
"""

from __future__ import annotations

import dataclasses
import math

import onnx_ir as ir

from sliceflow.graph.program import tensor_types
from sliceflow.hardware.profile import Profile
from sliceflow.mapping.onnx_view import activation_quant, chw, consumers
from sliceflow.mapping.plan import Refusal, TensorSpec
from sliceflow.mapping.refusals import too_wide
from sliceflow.passes.sign import clamp_of
from sliceflow.passes.view import attribute, constant, input_at, is_op, only_consumer, static_shape

VIEWS = ("Flatten", "Reshape")


@dataclasses.dataclass(frozen=True)
class Result:
    """Where an operator's float output becomes a tensor, behind the clamps that the stage performs."""

    tensor: TensorSpec
    nodes: tuple[ir.Node, ...]
    low: float
    high: float
    leaky: float
    labels: tuple[str, ...]


class Values:
    """The view of one graph for one profile."""

    def __init__(self, profile: Profile) -> None:
        self.is_float = profile.is_float
        self._profile = profile

    def tensor(self, value: ir.Value | None) -> TensorSpec | None:
        """The tensor behind an operator's activation input, None if it is none."""
        if value is None or constant(value) is not None:
            return None
        if self.is_float:
            return self.spec(value)
        node = value.producer()
        if not is_op(node, "DequantizeLinear") or node is None:
            return None
        source, quant = node.inputs[0], activation_quant(node)
        if source is None or quant is None or constant(source) is not None:
            return None
        spec = self.spec(source)
        return spec if spec is not None and spec.quant == quant else None

    def spec(self, value: ir.Value) -> TensorSpec | None:
        """The tensor that a value holds, None if its shape or type does not fit."""
        size = chw(static_shape(value))
        if size is None:
            return None
        if self.is_float:
            if value.dtype not in (None, ir.DataType.FLOAT):
                return None
            return TensorSpec(value=value, channels=size[0], height=size[1], width=size[2], quant=None)
        producer = value.producer()
        if producer is not None and is_op(producer, "QuantizeLinear"):
            quant = activation_quant(producer)
        else:
            readers = [r for r in consumers(value) if is_op(r, "DequantizeLinear")]
            quant = activation_quant(readers[0]) if readers and producer is None else None
        if quant is None or quant.dtype not in tensor_types(self._profile):
            return None
        return TensorSpec(value=value, channels=size[0], height=size[1], width=size[2], quant=quant)

    def readers(self, tensor: TensorSpec) -> list[ir.Node] | None:
        """The operators that read a tensor, through DequantizeLinear; None if it also leaves the graph."""
        if tensor.value.is_graph_output():
            return None
        found: list[ir.Node] = []
        for node in consumers(tensor.value):
            if self.is_float:
                found.append(node)
                continue
            if not is_op(node, "DequantizeLinear") or node.outputs[0].is_graph_output():
                return None
            found += [reader for reader in consumers(node.outputs[0]) if reader not in found]
        return found if all(reader.graph is tensor.value.graph for reader in found) else None

    def glue(self, tensor: TensorSpec) -> tuple[ir.Node, ...]:
        """The DequantizeLinear nodes through which a tensor is read."""
        return () if self.is_float else tuple(r for r in consumers(tensor.value) if is_op(r, "DequantizeLinear"))

    def view_source(self, tensor: TensorSpec) -> TensorSpec | None:
        """The tensor of which this one is a reshape without effect on the order of its elements, None if it is none."""
        node = tensor.value.producer()
        if not self.is_float and node is not None:
            if not is_op(node, "QuantizeLinear"):
                return None
            node = node.inputs[0].producer() if node.inputs[0] is not None else None
        if node is None or not is_op(node, *VIEWS):
            return None
        source = self.tensor(input_at(node, 0))
        return source if source is not None and source.quant == tensor.quant else None

    def result(
        self, value: ir.Value, *, clamps: bool = True, leaky_allowed: bool = False, first: ir.Node | None = None
    ) -> Result | Refusal:
        """Follow an operator's output through clamps to the tensor that it becomes.

        Args:
            value: the output.
            clamps: whether there may be any between.
            leaky_allowed: float profiles: a leaky ReLU may be one of them.
            first: the reader to begin with, whoever else reads the value.
        """
        nodes: list[ir.Node] = []
        labels: list[str] = []
        low, high, leaky = -math.inf, math.inf, 1.0
        while True:
            reader = first if first is not None and not nodes else only_consumer(value)
            if reader is None or not clamps:
                break
            bounds, slope = clamp_of(reader), slope_of(reader)
            if bounds is not None:
                low, high = min(max(low, bounds[0]), bounds[1]), max(min(high, bounds[1]), bounds[0])
            elif slope is not None and self.is_float and leaky_allowed and not nodes:
                leaky = slope
            else:
                break
            nodes.append(reader)
            labels.append(reader.op_type)
            value = reader.outputs[0]
        if not self.is_float:
            if reader is None or not is_op(reader, "QuantizeLinear"):
                return Refusal(
                    "its output is not quantized"
                    if reader is not None or value.is_graph_output()
                    else "its unquantized output has several readers",
                    "quantize the model with `sliceflow quantize`, or add QuantizeLinear/DequantizeLinear after it",
                    "output",
                )
            nodes.append(reader)
            value = reader.outputs[0]
        spec = self.spec(value)
        if spec is None:
            return too_wide(reader, self._profile) or Refusal(
                f"its output of shape {static_shape(value)} is not a batch-1 feature map or vector",
                "give the input's shape with --shape, or keep this node on the CPU",
            )
        return Result(spec, tuple(nodes), low, high, leaky, tuple(labels))


def slope_of(node: ir.Node) -> float | None:
    """The slope for negative values of a LeakyRelu or of a PRelu with one constant slope, None for other nodes."""
    if is_op(node, "LeakyRelu"):
        return float(attribute(node, "alpha", 0.01))
    slope = constant(input_at(node, 1)) if is_op(node, "PRelu") else None
    return float(slope.reshape(-1)[0]) if slope is not None and slope.size == 1 else None
