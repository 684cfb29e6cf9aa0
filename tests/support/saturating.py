"""Quantized layers whose sums of two products need 17 bits: some processors' integer kernels stop at 16."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

INPUTS, OUTPUTS = 37, 12


def model(nodes: list[onnx.NodeProto], shape: list[int], opset: int = 21, **constants: np.ndarray) -> bytes:
    """A model with one input ``x`` and one output ``y`` of the same rank."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(shape))],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def pair(source: str, scale: str, zero: str, result: str) -> list[onnx.NodeProto]:
    """A quantizer and its inverse."""
    return [
        helper.make_node("QuantizeLinear", [source, scale, zero], [f"{result}_q"]),
        helper.make_node("DequantizeLinear", [f"{result}_q", scale, zero], [result]),
    ]


def layer(op: str, zero: np.integer, batch: int = 2) -> tuple[bytes, np.ndarray, float]:
    """A layer of large weights, an input of the largest integer everywhere, and what every output must be."""
    weights = np.full((INPUTS, OUTPUTS), 127, np.int8)
    weights[::3] = -128
    kernel = weights.T.reshape(OUTPUTS, INPUTS, 1, 1) if op == "Conv" else weights
    largest = 255 - int(zero == 1)
    total = largest * int(weights[:, 0].astype(int).sum())
    scale = np.float32(2 ** np.ceil(np.log2(abs(total) / 100)))
    nodes = [
        *pair("x", "sx", "zx", "dx"),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["dw"]),
        helper.make_node(op, ["dx", "dw"], ["a"]),
        *pair("a", "sy", "zy", "y"),
    ]
    shape = [batch, INPUTS, 3, 3] if op == "Conv" else [batch, INPUTS]
    constants = {"sx": np.float32(1), "zx": zero, "w": kernel, "sw": np.float32(1), "zw": np.int8(0)}
    data = model(nodes, shape, sy=scale, zy=np.int8(0), **constants)
    return data, np.full(shape, largest, np.float32), float(np.round(total / scale) * scale)
