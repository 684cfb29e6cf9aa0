"""Dynamic quantization and weights in integers: undone, or named with the way out."""

from __future__ import annotations

import logging

import numpy as np
import onnx
import pytest
from onnx import helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from sliceflow.errors import UserError
from sliceflow.frontend import load_model, notes_of
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import check, compile_model
from sliceflow.quantization import CalibrationData, quantize
from tests.support.models import Graph, operators, run_model

CONTRIB = "com.microsoft"
PROFILE = Profile.load("int8-8x8")


def network(seed: int) -> onnx.ModelProto:
    g = Graph(seed, opset=17, ir_version=8)
    y = g.node("Relu", g.node("Conv", g.input(1, 3, 8, 8), g.random(6, 3, 3, 3), g.random(6), pads=[1, 1, 1, 1]))
    y = g.node("Conv", y, g.random(8, 6, 3, 3))
    y = g.node("Flatten", g.node("GlobalAveragePool", y))
    return g.model(g.node("Add", g.node("MatMul", y, g.random(8, 5)), g.random(5)))


def close(found: np.ndarray, expected: np.ndarray, share: float) -> None:
    assert np.abs(found - expected).max() <= share * np.abs(expected).max()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weights", [QuantType.QInt8, QuantType.QUInt8])
@pytest.mark.parametrize("channels", [True, False])
def test_what_onnx_runtime_writes_is_a_float_model_again(seed, weights, channels, tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    model = network(seed)
    onnx.save(model, tmp_path / "float.onnx")
    quantize_dynamic(tmp_path / "float.onnx", tmp_path / "dynamic.onnx", weight_type=weights, per_channel=channels)
    stored = onnx.load(tmp_path / "dynamic.onnx")
    assert {"ConvInteger", "MatMulInteger"} <= {node.op_type for node in stored.graph.node}
    after = load_model(stored)
    assert operators(after) == ["Conv", "Relu", "Conv", "GlobalAveragePool", "Flatten", "Gemm"]
    assert "dynamic quantization was undone" in notes_of(after)[0]
    feeds = {"x": np.random.default_rng(seed).uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)}
    close(run_model(after, feeds)[0], run_model(model, feeds)[0], 0.03)  # the rounding of the weights
    close(run_model(after, feeds)[0], run_model(stored, feeds)[0], 0.1)  # and that of the activations
    quantized = quantize(after, CalibrationData(feeds)).model
    assert check(quantized, PROFILE)[0] == []


def dynamic(g: Graph, source: str) -> list[str]:
    g.node("DynamicQuantizeLinear", source, outputs=["q", "s", "z"])
    return ["q", "s", "z"]


def integer_weights(g: Graph, *shape: int, channels: int = 1) -> tuple[list[str], np.ndarray]:
    """Names of integers, scale and zero point; their real values, with parameters for each last index."""
    stored = g.rng.integers(-128, 128, shape)
    scale, zero = g.rng.uniform(0.01, 0.02, channels).astype("f4"), g.rng.integers(-5, 5, channels)
    real = (stored - zero).astype("f4") * scale
    scale, zero = (scale, zero) if channels > 1 else (scale[0], zero[0])
    return [g.constant(stored, "int8"), g.constant(scale), g.constant(zero, "int8")], real


@pytest.mark.parametrize("channels", [1, 7])
@pytest.mark.parametrize("form", ["integer", "scaled twice", "to float", "matmul", "matmul bias", "dequantize"])
def test_a_product_is_exactly_that_of_the_stored_weights(form, channels):
    g = Graph(3, opset=17, ir_version=8)
    g.domains[CONTRIB] = 1
    x, ((w, scale, zero), real) = g.input(2, 9), integer_weights(g, 9, 7, channels=channels)
    bias = g.rng.uniform(-1, 1, 7).astype("f4") if "bias" in form or form == "to float" else np.zeros(7, "f4")
    if form.startswith("matmul"):
        tail = [g.constant(bias)] if "bias" in form else []
        y = g.node("DynamicQuantizeMatMul", x, w, scale, zero, *tail, domain=CONTRIB)
    elif form == "to float":
        q, s, z = dynamic(g, x)
        y = g.node("MatMulIntegerToFloat", q, w, s, scale, z, zero, g.constant(bias), domain=CONTRIB)
    elif form == "dequantize":
        y = g.node("MatMul", g.node("DequantizeLinear", *dynamic(g, x)), g.constant(real))
    else:
        q, s, z = dynamic(g, x)
        sums = g.node("Cast", g.node("MatMulInteger", q, w, z, zero), to=1)
        twice = form == "scaled twice"
        y = g.node("Mul", g.node("Mul", s, sums), scale) if twice else g.node("Mul", sums, g.node("Mul", scale, s))
    after = load_model(g.model(y))
    assert not {"DynamicQuantizeLinear", "Cast", "DequantizeLinear"} & set(operators(after))
    feed = np.random.default_rng(4).uniform(-1, 1, (2, 9)).astype(np.float32)
    np.testing.assert_allclose(run_model(after, {x: feed})[0], feed @ real + bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("columns", [True, False])
def test_an_lstm(direction, columns):
    g, count, hidden = Graph(5, opset=17, ir_version=8), 1 + (direction == "bidirectional"), 4
    g.domains[CONTRIB] = 1
    x, parts, real = g.input(3, 2, 6), [], []
    for size in (6, hidden):
        stored = g.rng.integers(-128, 128, (count, size, 4 * hidden))
        scale = g.rng.uniform(0.002, 0.01, (count, 4 * hidden) if columns else count).astype("f4")
        real.append((stored.astype("f4") * scale.reshape(count, 1, -1)).transpose(0, 2, 1))
        zero = g.constant(np.zeros(scale.shape), "int8")
        parts.append((g.constant(stored, "int8"), g.constant(scale), zero))
    bias = g.random(count, 8 * hidden)
    options = {"direction": direction, "hidden_size": hidden}
    y = g.node(
        *("DynamicQuantizeLSTM", x, parts[0][0], parts[1][0], bias, "", "", "", "", *parts[0][1:], *parts[1][1:]),
        domain=CONTRIB,
        **options,
    )
    after = load_model(g.model(y))
    assert operators(after) == ["LSTM"]
    plain = Graph(5, opset=17, ir_version=8)
    plain.initializers = [tensor for tensor in g.initializers if tensor.name == bias]
    plain.input(3, 2, 6)
    expected = plain.model(
        plain.node("LSTM", x, *(plain.constant(w, name=f"w{w.shape[2]}") for w in real), bias, **options)
    )
    feed = {x: np.random.default_rng(6).uniform(-1, 1, (3, 2, 6)).astype(np.float32)}
    np.testing.assert_allclose(run_model(after, feed)[0], run_model(expected, feed)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("broken", ["other reader", "sums leave", "not scaled", "scale leaves", "computed weights"])
def test_what_cannot_be_undone_ends_in_one_message(broken):
    g = Graph(7, opset=17, ir_version=8)
    x, ((w, scale, zero), _) = g.input(2, 9), integer_weights(g, 9, 7)
    q, s, z = dynamic(g, x)
    if broken == "computed weights":
        w = g.input(9, 7, name="w", dtype=onnx.TensorProto.INT8)
    sums = g.node("MatMulInteger", q, w, z, zero)
    real = g.node("Cast", sums, to=1)
    y = g.node("Exp", real) if broken == "not scaled" else g.node("Mul", real, g.node("Mul", s, scale))
    g.output(y)
    if broken == "other reader":
        g.output(g.node("Transpose", q, perm=[1, 0]), None, onnx.TensorProto.UINT8)
    elif broken == "sums leave":
        g.output(sums, None, onnx.TensorProto.INT32)
    elif broken == "scale leaves":
        g.output(g.node("Sqrt", s), [])
    after = load_model(g.model())
    assert "DynamicQuantizeLinear" in operators(after)
    findings, _ = check(after, PROFILE)
    (found,) = [finding for finding in findings if finding.op == "DynamicQuantizeLinear"]
    assert "deploy the float model" in found.fix
    for step in (
        lambda: compile_model(after, PROFILE, name="m", source_sha256=""),
        lambda: quantize(after, CalibrationData({x: np.zeros((2, 9), "f4")})),
    ):
        with pytest.raises(UserError, match="quantized dynamically") as error:
            step()
        assert "float model" in error.value.fix


@pytest.mark.parametrize("kind", ["tensor", "channels", "blocks", "int4"])
def test_weights_alone_in_integers_are_float_weights(kind):
    g = Graph(8)
    stored, zero = g.rng.integers(-8, 8, (6, 8)), np.zeros((), "i8")
    attributes, scale = {}, np.float32(0.1)
    if kind == "channels":
        attributes, scale, zero = {"axis": 0}, g.rng.uniform(0.1, 0.2, 6).astype("f4"), g.rng.integers(-3, 3, 6)
    elif kind == "blocks":
        attributes, scale = {"axis": 1, "block_size": 4}, g.rng.uniform(0.1, 0.2, (6, 2)).astype("f4")
        zero = np.zeros((6, 2), "i8")
    dtype = onnx.TensorProto.INT4 if kind == "int4" else onnx.TensorProto.INT8
    for name, array in (("w", stored), ("z", zero)):
        g.initializers.append(helper.make_tensor(name, dtype, array.shape, array.reshape(-1).tolist()))
    w = g.node("DequantizeLinear", "w", g.constant(scale), "z", **attributes)
    model = g.model(g.node("Gemm", g.input(1, 8), w, transB=1))
    after = load_model(model)
    assert operators(after) == ["Gemm"]
    assert "only weights" in notes_of(after)[0]
    feeds = {"x": np.random.default_rng(1).uniform(-1, 1, (1, 8)).astype("f4")}
    np.testing.assert_allclose(run_model(after, feeds)[0], run_model(model, feeds)[0], rtol=1e-5, atol=1e-6)


def test_weights_beside_quantized_activations_stay_integers():
    g = Graph(9)
    w = g.dequantized((4, 3, 3, 3), axis=0)
    after = load_model(g.model(g.node("Conv", g.quantize(g.input(1, 3, 8, 8)), w)))
    assert operators(after).count("DequantizeLinear") == 2
    assert notes_of(after) == ()
