"""Small float ONNX models with seeded weights, for tests of whole commands."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def digit_model(seed: int = 0, *, softmax: bool = False, unknown: bool = False) -> onnx.ModelProto:
    """Conv, Relu, MaxPool, Conv, Relu, Flatten, Gemm on (N, 3, 12, 12); optionally Softmax, and a Det nobody maps."""
    generator = np.random.default_rng(seed)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        fan_in = int(np.prod(shape[1:]))
        return numpy_helper.from_array((generator.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu_1"),
        helper.make_node("MaxPool", ["r1"], ["p1"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "w2", "b2"], ["c2"], name="second", strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"], name="relu_2"),
        helper.make_node("Flatten", ["r2"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y" if not softmax else "logits"], name="classes", transB=1),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["y"], name="softmax"))
    weights = [
        *(weight("w1", 7, 3, 3, 3), weight("b1", 7)),
        *(weight("w2", 10, 7, 3, 3), weight("b2", 10)),
        *(weight("w3", 4, 40), weight("b3", 4)),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])]
    if unknown:
        nodes.append(helper.make_node("Det", ["x"], ["d"], name="determinant"))
        outputs.append(helper.make_tensor_value_info("d", TensorProto.FLOAT, ["N", 3]))
    graph = helper.make_graph(
        nodes, "digits", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 12, 12])], outputs, weights
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def samples(count: int, seed: int = 0) -> np.ndarray:
    """Inputs for ``digit_model``."""
    return np.random.default_rng(seed).normal(size=(count, 3, 12, 12)).astype(np.float32)
