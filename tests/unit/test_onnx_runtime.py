"""Sessions that compute what the model means, whatever this processor's integer kernels do."""

import tempfile
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sliceflow.errors import UserError
from sliceflow.onnx_runtime import OnnxSession, exact_session, user_session
from tests.support.random_network import quantize_with_onnxruntime, random_network


def model(nodes: list[onnx.NodeProto], shape: list[int], opset: int = 21, **constants: np.ndarray) -> bytes:
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


@pytest.mark.parametrize("opened", [exact_session, user_session])
def test_a_pool_behind_an_int8_pair_runs(opened: Callable[..., OnnxSession]) -> None:
    """ONNX Runtime 1.31 moves the pair behind the pool with a zero point of the wrong type, and then refuses it."""
    shape = [1, 3, 4, 4]
    nodes = [
        *pair("x", "s", "z", "d"),
        helper.make_node("MaxPool", ["d"], ["y"], kernel_shape=[1, 2], strides=[2, 2]),
    ]
    data = model(nodes, shape, s=np.float32(0.5), z=np.int8(-1))
    x = np.arange(-24, 24, dtype=np.float32).reshape(shape)
    (got,) = opened(data, 1, where="test").run(None, {"x": x})
    want = np.maximum(x[:, :, ::2, 0::2], x[:, :, ::2, 1::2])
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("op", ["Conv", "MatMul", "Gemm"])
@pytest.mark.parametrize("zero", [np.uint8(0), np.uint8(1), np.int8(-128)])
def test_pairs_of_large_products_do_not_saturate(op: str, zero: np.integer) -> None:
    """u8 x s8: 255 * 127 + 255 * 127 is above 2^15, where some processors' integer kernels stop."""
    inputs, outputs = 37, 12
    weights = np.full((inputs, outputs), 127, np.int8)
    weights[::3] = -128
    kernel = weights.T.reshape(outputs, inputs, 1, 1) if op == "Conv" else weights
    total = 255 * int(weights[:, 0].astype(int).sum())
    scale = np.float32(2 ** np.ceil(np.log2(abs(total) / 100)))
    nodes = [
        *pair("x", "sx", "zx", "dx"),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["dw"]),
        helper.make_node(op, ["dx", "dw"], ["a"]),
        *pair("a", "sy", "zy", "y"),
    ]
    shape = [2, inputs, 3, 3] if op == "Conv" else [9, inputs]
    constants = {"sx": np.float32(1), "zx": zero, "w": kernel, "sw": np.float32(1), "zw": np.int8(0)}
    data = model(nodes, shape, sy=scale, zy=np.int8(0), **constants)
    (got,) = exact_session(data, 1, where="test").run(None, {"x": np.full(shape, 255 - (zero == 1), np.float32)})
    expected = np.round(total * (255 - (zero == 1)) / 255 / scale) * scale
    np.testing.assert_array_equal(got, np.full_like(got, expected))


def test_two_quantizers_in_a_row_round_twice() -> None:
    """ONNX Runtime takes the first of them away by default."""
    nodes = [*pair("x", "coarse", "z", "d"), *pair("d", "fine", "z", "e"), helper.make_node("Relu", ["e"], ["y"])]
    data = model(nodes, [100], coarse=np.float32(0.7), fine=np.float32(0.5), z=np.uint8(0))
    x = np.linspace(0, 60, 100, dtype=np.float32)
    (got,) = exact_session(data, 1, where="test").run(None, {"x": x})
    np.testing.assert_array_equal(got, np.round(np.round(x / np.float32(0.7)) * np.float32(0.7) / 0.5) * 0.5)


@pytest.mark.parametrize("seed", range(6))
def test_rewrites_that_remain_change_no_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    options = {"unsigned": seed % 2 == 0, "per_channel": seed % 3 == 0, "symmetric": seed % 4 < 2}
    with tempfile.TemporaryDirectory() as folder:
        network = quantize_with_onnxruntime(random_network(rng), rng, folder, **options)
    shape = [d.dim_value or 2 for d in network.graph.input[0].type.tensor_type.shape.dim]
    x = rng.standard_normal(shape).astype(np.float32)
    data = network.SerializeToString()
    plain, rewritten = (
        exact_session(data, 1, where="test", level=level).run(None, {"x": x})[0] for level in ("none", None)
    )
    np.testing.assert_array_equal(rewritten, plain)


def test_what_is_no_model_is_refused(tmp_path) -> None:
    (tmp_path / "empty.onnx").write_bytes(b"")
    for source in (b"no model", tmp_path / "empty.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(UserError, match="refuses the model") as caught:
            exact_session(source, 1, where="here")
        assert caught.value.where == "here"
        assert caught.value.why
