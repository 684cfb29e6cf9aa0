"""Sub-models for the CPU that ONNX Runtime's own rewrites would break."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sliceflow.runtime.cpu import ort_session


def test_a_pool_behind_an_int8_pair_runs() -> None:
    """ONNX Runtime 1.31 moves the pair behind the pool with a zero point of the wrong type, and then refuses it."""
    shape = [1, 3, 4, 4]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("MaxPool", ["d"], ["y"], kernel_shape=[1, 2], strides=[2, 2]),
    ]
    graph = helper.make_graph(
        nodes,
        "cpu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 2, 2])],
        [numpy_helper.from_array(np.float32(0.5), "s"), numpy_helper.from_array(np.int8(-1), "z")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    x = np.arange(-24, 24, dtype=np.float32).reshape(shape)
    (got,) = ort_session(model.SerializeToString(), 1, where="test").run(None, {"x": x})
    want = np.maximum(x[:, :, ::2, 0::2], x[:, :, ::2, 1::2])
    np.testing.assert_array_equal(got, want)
