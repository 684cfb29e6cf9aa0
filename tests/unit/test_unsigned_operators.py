"""Integer operators that a model itself has, in exact sessions, against sums in NumPy: extreme bytes, any processor."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sliceflow.onnx_runtime import exact_session

INPUTS, OUTPUTS = 40, 6
SCALE = np.float32(2**13)
TYPES = {np.dtype(np.int8): TensorProto.INT8, np.dtype(np.uint8): TensorProto.UINT8}


def extreme(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Bytes, most of them at an end of the range."""
    info = np.iinfo(dtype)
    values = rng.integers(info.min, info.max + 1, shape)
    return np.where(rng.random(shape) < 0.7, np.where(rng.random(shape) < 0.8, info.max, info.min), values).astype(
        dtype
    )


def quantized(total: np.ndarray, zero: np.integer) -> np.ndarray:
    info = np.iinfo(zero.dtype)
    return np.clip(np.rint(total / SCALE) + zero, info.min, info.max).astype(zero.dtype)


def run(node: onnx.NodeProto, feed: dict, constants: dict, result: int, opset: int, level) -> np.ndarray:
    graph = helper.make_graph(
        [node] if isinstance(node, onnx.NodeProto) else node,
        "test",
        [helper.make_tensor_value_info(name, TYPES[array.dtype], array.shape) for name, array in feed.items()],
        [helper.make_tensor_value_info("y", result, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    data = helper.make_model(graph, opset_imports=imports, ir_version=10).SerializeToString()
    return exact_session(data, 1, where="test", level=level).run(None, feed)[0]


@pytest.mark.parametrize("level", [None, "none"])
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("activations", ["uint8", "int8"])
@pytest.mark.parametrize(
    ("op", "opset"),
    [("QLinearConv", 13), ("QLinearMatMul", 13), ("QLinearMatMul", 21), ("MatMulInteger", 13), ("QGemm", 13)],
)
def test_sums_are_exact(op: str, opset: int, activations: str, constant: bool, level: str | None) -> None:
    rng = np.random.default_rng(7)
    conv = op == "QLinearConv"
    x = extreme(rng, activations, (2, INPUTS, 3, 3) if conv else (5, INPUTS))
    w = extreme(rng, "int8", (OUTPUTS, INPUTS, 1, 1) if conv else (INPUTS, OUTPUTS))
    zx, zw, zy = x.dtype.type(3), np.int8(0), x.dtype.type(5)
    wide = x.astype(np.int64) - int(zx)
    total = np.einsum("nchw,oc->nohw", wide, w[:, :, 0, 0].astype(np.int64)) if conv else wide @ w.astype(np.int64)
    one = np.float32(1)
    constants = {"zx": zx, "zw": zw}
    feed = {"x": x} if constant else {"x": x, "w": w}
    if constant:
        constants["w"] = w
    if op == "MatMulInteger":
        got = run(helper.make_node(op, ["x", "w", "zx", "zw"], ["y"]), feed, constants, TensorProto.INT32, opset, level)
        np.testing.assert_array_equal(got, total)
        return
    constants |= {"one": one, "sy": SCALE, "zy": zy}
    operands = ["x", "one", "zx", "w", "one", "zw", *([""] if op == "QGemm" else []), "sy", "zy"]
    node = helper.make_node(op, operands, ["y"], domain="com.microsoft" if op == "QGemm" else "")
    got = run(node, feed, constants, TYPES[x.dtype], opset, level)
    np.testing.assert_array_equal(got, quantized(total, zy))


def test_one_operator_behind_another() -> None:
    """The first one's result is signed for its other readers, and raised again for the second one."""
    rng = np.random.default_rng(8)
    x, w, v = (extreme(rng, "int8", shape) for shape in ((4, INPUTS), (INPUTS, INPUTS), (INPUTS, OUTPUTS)))
    zero, one = np.int8(-2), np.float32(1)
    nodes = [
        helper.make_node("QLinearMatMul", ["x", "one", "z", "w", "one", "z", "sy", "z"], ["h"]),
        helper.make_node("QLinearMatMul", ["h", "one", "z", "v", "one", "z", "sy", "z"], ["y"]),
    ]
    got = run(nodes, {"x": x}, {"w": w, "v": v, "z": zero, "one": one, "sy": SCALE}, TensorProto.INT8, 21, None)
    hidden = quantized((x.astype(np.int64) + 2) @ (w.astype(np.int64) + 2), zero)
    np.testing.assert_array_equal(got, quantized((hidden.astype(np.int64) + 2) @ (v.astype(np.int64) + 2), zero))


def test_a_zero_point_that_is_left_out() -> None:
    rng = np.random.default_rng(9)
    x, w = extreme(rng, "uint8", (3, INPUTS)), extreme(rng, "int8", (INPUTS, OUTPUTS))
    got = run(helper.make_node("MatMulInteger", ["x", "w"], ["y"]), {"x": x}, {"w": w}, TensorProto.INT32, 13, None)
    np.testing.assert_array_equal(got, x.astype(np.int64) @ w.astype(np.int64))
