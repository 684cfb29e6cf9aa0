"""Small quantized graphs for the mapping tests, written out by hand."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from sliceflow.frontend import load_model


class Graph:
    """A QDQ graph under construction. Every tensor is uint8 with the scale given, zero point 128."""

    def __init__(self, channels: int = 8, size: int = 8) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.channels, self.size = channels, size

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: object) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=name or output, **attributes))
        return output

    def quant(self, value: str, scale: float = 0.5) -> str:
        """QuantizeLinear and DequantizeLinear; returns the dequantized value."""
        parameters = (self.constant(np.float32(scale)), self.constant(np.uint8(128)))
        return self.op("DequantizeLinear", self.op("QuantizeLinear", value, *parameters), *parameters)

    def conv(self, value: str, inputs: int, outputs: int, *, kernel: int = 3, seed: int = 0, name: str = "") -> str:
        rng = np.random.default_rng(seed)
        weights = rng.integers(-127, 128, (outputs, inputs, kernel, kernel)).astype(np.int8)
        parameters = (self.constant(np.float32(0.01)), self.constant(np.int8(0)))
        weight = self.op("DequantizeLinear", self.constant(weights), *parameters)
        pad = kernel // 2
        return self.op("Conv", value, weight, name=name, kernel_shape=[kernel] * 2, pads=[pad] * 4)

    def model(self, *outputs: str, shapes: list[list[int]] | None = None) -> ir.Model:
        graph = helper.make_graph(
            self.nodes,
            "hand",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, self.channels, self.size, self.size])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, None if shapes is None else shapes[i])
                for i, name in enumerate(outputs)
            ],
            self.constants,
        )
        return load_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
