"""How a kernel is laid over the array: 3x3 windows of one slice, or single pixels of nine."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from sliceflow.frontend import load_model
from sliceflow.graph import geometry
from sliceflow.graph.descriptor import Op
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model
from sliceflow.runtime.session import Session
from tests.support.random_network import run_onnxruntime


def quantized_convolution(channels: int, kernel: tuple[int, int], dilation: int, rng: np.random.Generator):
    """A QDQ convolution of a 9x11 map with power-of-two scales, of the same size at its output."""
    weights = rng.integers(-127, 128, (12, channels, *kernel)).astype(np.int8)
    pads = [(k - 1) * dilation // 2 for k in kernel]
    constants = {
        "w": weights,
        "ws": np.float32(2**-7),
        "wz": np.int8(0),
        "s": np.float32(2**-2),
        "z": np.uint8(128),
        "os": np.float32(2**3),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["dw"]),
        helper.make_node("Conv", ["d", "dw"], ["c"], kernel_shape=kernel, dilations=[dilation] * 2, pads=pads * 2),
        helper.make_node("QuantizeLinear", ["c", "os", "z"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "os", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, 9, 11])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 12, 9, 11])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize(
    ("channels", "kernel", "dilation", "op", "passes"),
    [
        (64, (1, 7), 1, Op.POINTWISE, 7),  # windows: 8 slices x 3
        (72, (5, 5), 1, Op.POINTWISE, 25),  # windows: 9 x 4
        (16, (5, 5), 1, Op.CONV, 8),  # pixels: 25
        (64, (3, 3), 6, Op.POINTWISE, 9),  # windows of one tap: 8 x 9
        (64, (3, 3), 1, Op.CONV, 8),  # pixels: 9
        (72, (3, 3), 1, Op.CONV, 9),  # as many by pixels
        (80, (7, 1), 1, Op.POINTWISE, 14),  # windows: 10 x 3
    ],
)
def test_fewer_passes(channels: int, kernel: tuple[int, int], dilation: int, op: Op, passes: int) -> None:
    rng = np.random.default_rng(channels)
    model = quantized_convolution(channels, kernel, dilation, rng)
    profile = Profile.load("int8-8x8")
    program = compile_model(load_model(model), profile, name="c", source_sha256="0" * 64, keep_islands=True)
    (layer,) = program.descriptors
    assert layer.op == op
    assert geometry.passes(layer) == passes
    image = rng.standard_normal((1, channels, 9, 11)).astype(np.float32) * 10
    got = Session(program, device="reference").run(None, {"x": image})[0]
    np.testing.assert_array_equal(got, run_onnxruntime(model, {"x": image})[0])
