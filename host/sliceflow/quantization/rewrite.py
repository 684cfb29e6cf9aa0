"""Writes quantization points into a graph as standard QuantizeLinear and DequantizeLinear nodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.quantization.access import operand
from sliceflow.quantization.placement import Placement
from sliceflow.quantization.scales import Affine
from sliceflow.quantization.weights import QuantizedWeights, bias_scale


@dataclasses.dataclass(frozen=True)
class Pair:
    """A QuantizeLinear and a DequantizeLinear, by the names of their results in the quantized model.

    Attributes:
        tensor: the tensor of the float model that it stands behind; None for a second pair in front of a Concat.
        leader: the tensor whose scale it has.
        quantized: result of the QuantizeLinear.
        dequantized: result of the DequantizeLinear.
    """

    tensor: str | None
    leader: str
    quantized: str
    dequantized: str


class Rewriter:
    """Adds quantized tensors to one graph.

    Args:
        graph: changed in place.
        placement: where the points are.
        parameters: scale and zero point of each leader of ``placement.groups``.
    """

    def __init__(self, graph: ir.Graph, placement: Placement, parameters: Mapping[ir.Value, Affine]) -> None:
        self._graph = graph
        self._placement = placement
        self._parameters = parameters
        self._constants: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}
        self._names = {value.name for node in graph for value in node.outputs} | set(graph.initializers)
        self._names |= {value.name for value in graph.inputs}

    def add_points(self) -> tuple[Pair, ...]:
        """Put a pair behind every point, and a second one in front of a Concat where its scale differs."""
        placement = self._placement
        tensors = [str(value.name) for value in placement.points]  # before outputs give their names away
        leaders = {value: str(placement.groups.leader(value).name) for value in placement.points}
        pairs: list[tuple[str | None, str, ir.Node, ir.Node]] = []
        # A layer's output exists only as integers, so everybody reads them; a float tensor keeps its float readers.
        for tensor, value in zip(tensors, placement.points, strict=True):
            producer = value.producer()
            readers = [
                (user, index) for user, index in value.uses() if producer in placement.nodes or user in placement.nodes
            ]
            quantize, dequantize = self._pair(value, value, tensor)
            pairs.append((tensor, leaders[value], quantize, dequantize))
            if producer is None:
                self._graph.insert_before(self._graph[0], [quantize, dequantize])
            else:
                self._graph.insert_after(producer, [quantize, dequantize])
            for user, index in readers:
                user.replace_input_with(index, dequantize.outputs[0])
            if value.is_graph_output() and producer in placement.nodes:
                self._take_output(value, dequantize.outputs[0])
        for concat, index in placement.requantized:
            source = operand(concat, index)
            name = f"{concat.outputs[0].name}_input{index}"
            quantize, dequantize = self._pair(source, concat.outputs[0], name)
            pairs.append((None, leaders[concat.outputs[0]], quantize, dequantize))
            self._graph.insert_before(concat, [quantize, dequantize])
            concat.replace_input_with(index, dequantize.outputs[0])
        return tuple(
            Pair(tensor, leader, str(quantize.outputs[0].name), str(dequantize.outputs[0].name))
            for tensor, leader, quantize, dequantize in pairs
        )

    def add_weights(self, layer: ir.Node, quantized: QuantizedWeights, x_scale: float, axis: int) -> None:
        """Replace the weights and the bias of a layer by integers.

        Args:
            layer: a Conv or Gemm.
            quantized: its integers, output channels first.
            x_scale: scale of its input.
            axis: axis of the output channels in the layer's own weights.
        """
        name = str(operand(layer, 1).name)
        stored_type = ir.DataType[quantized.dtype.upper()].numpy()
        weights = quantized.weights if axis == 0 else np.ascontiguousarray(quantized.weights.T)
        weights, zero = weights.astype(stored_type), np.zeros(quantized.scale.shape, stored_type)
        self._feed(layer, 1, name, weights, quantized.scale, zero, axis)
        if quantized.bias is not None:
            name = str(operand(layer, 2).name)
            self._feed(layer, 2, name, quantized.bias, bias_scale(x_scale, quantized.scale), None, 0)

    def _feed(
        self,
        layer: ir.Node,
        index: int,
        name: str,
        integers: NDArray[np.generic],
        scale: NDArray[np.float32],
        zero: NDArray[np.generic] | None,
        axis: int,
    ) -> None:
        inputs = [self._initializer(f"{name}_quantized", integers), self._initializer(f"{name}_scale", scale)]
        if zero is not None:
            inputs.append(self._initializer(f"{name}_zero_point", zero))
        node = self._node("DequantizeLinear", inputs, name, ir.DataType.FLOAT, ir.Shape(integers.shape))
        node.attributes["axis"] = ir.AttrInt64("axis", axis)
        self._graph.insert_before(layer, node)
        layer.replace_input_with(index, node.outputs[0])

    def _pair(self, value: ir.Value, scaled_as: ir.Value, name: str) -> tuple[ir.Node, ir.Node]:
        leader = self._placement.groups.leader(scaled_as)
        scale, zero = self._scale(leader)
        dtype = ir.DataType[self._parameters[leader].dtype.upper()]
        quantize = self._node("QuantizeLinear", [value, scale, zero], name, dtype, value.shape)
        inputs = [quantize.outputs[0], scale, zero]
        return quantize, self._node("DequantizeLinear", inputs, name, ir.DataType.FLOAT, value.shape)

    def _scale(self, leader: ir.Value) -> tuple[ir.Value, ir.Value]:
        if leader not in self._constants:
            affine = self._parameters[leader]
            self._constants[leader] = (
                self._initializer(f"{leader.name}_scale", np.array(affine.scale, np.float32)),
                self._initializer(f"{leader.name}_zero_point", np.array(affine.zero_point, affine.dtype)),
            )
        return self._constants[leader]

    def _take_output(self, old: ir.Value, new: ir.Value) -> None:
        """Make ``new`` the graph output that ``old`` was, under its name."""
        for index, value in enumerate(self._graph.outputs):
            if value is old:
                self._graph.outputs[index] = new
        name = str(old.name)
        old.name = self._free(f"{name}_float")
        new.name = name

    def _node(self, op: str, inputs: list[ir.Value], name: str, dtype: ir.DataType, shape: ir.Shape | None) -> ir.Node:
        free = self._free(f"{name}_{op}_Output")
        output = ir.Value(
            name=free,
            type=ir.TensorType(dtype),
            shape=None if shape is None else ir.Shape(list(shape)),
        )
        return ir.Node("", op, inputs, outputs=[output], name=free.removesuffix("_Output"))

    def _initializer(self, name: str, array: NDArray[np.generic]) -> ir.Value:
        free = self._free(name)
        tensor = ir.tensor(array, name=free)
        value = ir.Value(name=free, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor)
        self._graph.register_initializer(value)
        return value

    def _free(self, name: str) -> str:
        """A name that no value of the graph has."""
        found, number = name, 1
        while found in self._names:
            found, number = f"{name}_{number}", number + 1
        self._names.add(found)
        return found
