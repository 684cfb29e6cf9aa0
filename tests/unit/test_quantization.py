"""Whole quantized models in ONNX Runtime against the float ones; weights, biases, and awkward input."""

import json

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from quantization_graphs import Net, View, quantized, run, snr

from sliceflow.errors import UserError
from sliceflow.quantization import CalibrationData, quantize
from sliceflow.quantization.weights import bias_scale, quantize_weights, snr_db


def random_cnn(seed):
    """A network of random layers that meets every rule; returns (net, output)."""
    net = Net(int(np.random.default_rng(seed).integers(1, 5)), 12, 12, seed=seed)
    rng = np.random.default_rng(seed + 1)
    x = net.op("Relu", net.conv("x", int(rng.integers(3, 14))))
    for _ in range(int(rng.integers(2, 5))):
        width = net.channels[x]
        kind = rng.choice(["residual", "concat", "depthwise", "silu", "pool", "upsample"])
        if kind == "residual":
            x = net.op("Relu", net.op("Add", net.conv(x, width), x))
        elif kind == "concat":
            x = net.concat(x, net.op("HardSwish", net.conv(x, 5)))
        elif kind == "depthwise":
            x = net.op("Relu", net.conv(x, width, group=width))
        elif kind == "silu":
            c = net.conv(x, 7, 1)
            x = net.op("Mul", c, net.op("Sigmoid", c))
        elif kind == "pool":
            x = net.op(str(rng.choice(["MaxPool", "AveragePool"])), x, kernel_shape=[3, 3], pads=[1] * 4)
        else:
            c = net.op("Relu", net.conv(x, 6, strides=[2, 2]))
            factors = net.const(np.array([1, 1, 2, 2], np.float32))
            x = net.op("Resize", c, "", factors, mode="nearest", coordinate_transformation_mode="asymmetric")
    g = net.op("Flatten", net.op("GlobalAveragePool", x))
    return net, net.gemm(g, net.channels[x], 10, out="y")


UNSIGNED = {
    "auto": {"uint8", "int8"},
    "thesis": {"uint8", "int8"},
    "uint8": {"uint8"},
    "uint16": {"uint16"},
}


@pytest.mark.parametrize("seed", range(24))
def test_random_networks_stay_close_to_float(seed):
    net, output = random_cnn(seed)
    model = net.model(output)
    x, held_back = net.samples(16), net.samples(8)
    method = ("minmax", "percentile", "mse")[seed % 3]
    scheme = ("auto", "thesis", "uint8", "int8", "uint16", "int16")[seed % 6]
    result = quantized(model, x, method=method, activations=scheme)
    assert {t.dtype for t in result.report.tensors} <= ({scheme} if scheme in ("int8", "int16") else UNSIGNED[scheme])
    view = View(result)
    real = run(model, held_back)[0]
    plain = run(view.proto, held_back)[0]
    fused = run(view.proto, held_back, rewritten=True)[0]
    assert snr(real, plain) > 20, (seed, method, scheme)
    step = next(t.scale for t in result.report.tensors if t.name == "y")
    # One step at each rounding tie, which later layers may carry on: nearly all values are the same. Steps of sixteen
    # bits are about as fine as float32 sums.
    assert np.abs(plain - fused).max() <= (30 if scheme.endswith("16") else 2.01) * step
    assert result.report.float_nodes == ()


def test_the_float_model_is_left_alone():
    net, output = random_cnn(3)
    model = ir.from_proto(net.model(output))
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    quantize(model, CalibrationData({"x": net.samples()}))
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_the_same_input_gives_the_same_bytes():
    net, output = random_cnn(4)
    model, x = net.model(output), net.samples()
    first, second = (ir.to_proto(quantized(model, x).model).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_a_flipped_sign_bit_is_caught():
    net, output = random_cnn(5)
    model, x = net.model(output), net.samples()
    view = View(quantized(model, x))
    before = run(view.proto, x)[0]
    for tensor in view.proto.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype == np.int8 and weights.ndim == 2:
            flipped = weights.copy()
            flipped.view(np.uint8)[0, 0] ^= 0x80
            tensor.CopyFrom(numpy_helper.from_array(flipped, tensor.name))
    assert not np.array_equal(run(view.proto, x)[0], before)


def test_weights_and_biases_in_the_model_follow_the_contract():
    net = Net(3, 8, 8)
    net.conv(net.op("Relu", net.conv("x", 9), out="a"), 5, out="y")
    model = net.model("y")
    view = View(quantized(model, net.samples()))
    real = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert not set(real) & set(view.arrays)
    for index, tensor in ((0, "x"), (1, "a")):
        node = view.node("Conv", index)
        original = model.graph.node[2 * index]
        weights, scale, zero = (view.arrays[name] for name in view.producer[node.input[1]].input)
        assert (weights.dtype, scale.dtype, zero.dtype) == (np.int8, np.float32, np.int8)
        assert not zero.any()
        w = real[original.input[1]].astype(np.float64)
        np.testing.assert_array_equal(scale, np.float32(np.abs(w).max(axis=(1, 2, 3)) / 127))
        np.testing.assert_array_equal(weights, np.rint(w / scale.astype(np.float64)[:, None, None, None]))
        bias, scale_b = (view.arrays[name] for name in view.producer[node.input[2]].input)
        expected = np.float32(view.points()[tensor][0] * scale.astype(np.float64))
        np.testing.assert_array_equal(scale_b, expected)
        assert bias.dtype == np.int32
        np.testing.assert_array_equal(bias, np.rint(real[original.input[2]] / expected.astype(np.float64)))


# weights alone


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-6, 1e6), st.floats(1e-4, 1e4), st.integers(-30, 12))
def test_no_sum_leaves_the_accumulator(seed, x_scale, y_scale, exponent):
    rng = np.random.default_rng(seed)
    weights = (rng.standard_normal((6, 40)) * 10.0 ** rng.integers(-30, 3, (6, 1))).astype(np.float32)
    weights[0] = 0
    bias = (rng.standard_normal(6) * 10.0**exponent).astype(np.float32)
    found = quantize_weights(weights, bias, x_scale, y_scale)
    worst = np.abs(found.weights.astype(np.int64)).sum(axis=1) * 255 + np.abs(found.bias.astype(np.int64))
    assert worst.max() <= 2**31 - 1
    assert worst.max() < 2 ** (found.accumulator_bits - 1)
    assert (found.scale > 0).all()
    assert np.isfinite(found.scale).all()
    step = found.scale.astype(np.float64)[:, None]
    assert (np.abs(found.weights * step - weights) <= 0.5001 * step).all()
    unit = bias_scale(x_scale, found.scale).astype(np.float64)
    assert (unit >= np.finfo(np.float32).tiny).all()
    assert (np.abs(found.bias * unit - bias) <= 0.5001 * unit).all()
    assert (x_scale * found.scale / y_scale >= 2.0**-38.01).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5000), st.sampled_from([(-32768, 32767), (0, 32767), (0, 65535)]))
def test_no_sum_over_sixteen_bit_activations_leaves_the_accumulator(seed, taps, reach):
    """The largest sum is met: each activation at the end of its range that its weight asks for."""
    rng = np.random.default_rng(seed)
    weights = (rng.standard_normal((4, taps)) + rng.uniform(-2, 2, (4, 1))).astype(np.float32)
    found = quantize_weights(weights, None, 1e-4, 1.0, reach=reach)
    codes = found.weights.astype(np.int64)
    most = np.where(codes > 0, reach[1], reach[0])
    least = np.where(codes > 0, reach[0], reach[1])
    worst = max((codes * most).sum(1).max(), -(codes * least).sum(1).min())
    assert worst < 2**31
    assert worst.item().bit_length() + 1 == found.accumulator_bits
    if worst < 2**30:
        assert found.raised == ()


def test_four_bit_weights_are_clipped_where_that_loses_less():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((6, 400)).astype(np.float32)
    weights[5] = np.where(rng.random(400) < 0.5, -0.7, 0.7)  # fits the grid as it is
    found = quantize_weights(weights, None, 1.0, 1.0, dtype="int4")
    assert found.dtype == "int4"
    assert np.abs(found.weights).max() == 7
    errors = np.square(weights - found.weights * found.scale[:, None]).sum(1)
    for share in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5):
        scale = share * np.abs(weights).max(1, keepdims=True) / 7
        other = np.square(weights - scale * np.clip(np.rint(weights / scale), -7, 7)).sum(1)
        assert (errors <= other * 1.001 + 1e-9).all(), share
    assert errors[5] == pytest.approx(0, abs=1e-9)
    assert (found.scale[:5] < 0.99 * np.abs(weights[:5]).max(1) / 7).all()


def test_weights_of_four_bits_are_stored_as_such():
    net = Net(3, 8, 8, seed=2)
    model = net.model(net.gemm(net.op("Flatten", net.op("GlobalAveragePool", net.conv("x", 6))), 6, 4, out="y"))
    x = net.samples(8)
    result = quantized(model, x, weights="int4")
    stored = [v for v in result.model.graph.initializers.values() if v.dtype == ir.DataType.INT4]
    assert len(stored) == 4  # weights and zero points of two layers
    assert snr(run(model, x)[0], run(View(result).proto, x)[0]) > 12


def test_a_huge_bias_raises_the_scale_of_its_channel_only():
    weights, bias = np.full((2, 4), 1e-4, np.float32), np.array([0.1, 5e3], np.float32)
    found = quantize_weights(weights, bias, 1e-3, 1.0)
    assert found.raised == (1,)
    assert found.scale[0] == np.float32(np.float32(1e-4) / 127)
    assert found.bias[1] > 2**30  # as fine as 32 bits allow


def test_a_bias_beyond_every_scale_is_refused():
    with pytest.raises(UserError, match="too large") as caught:
        quantize_weights(np.ones((2, 4), np.float32), np.array([1, 3e38], np.float32), 2.0**-100, 1.0)
    assert "channel 1" in caught.value.where


def test_a_pruned_channel_keeps_its_bias():
    weights = np.random.default_rng(0).standard_normal((5, 9)).astype(np.float32)
    weights[2] = 0
    found = quantize_weights(weights, np.full(5, 0.37, np.float32), 0.02, 0.05)
    assert found.raised == ()
    assert not found.weights[2].any()
    unit = 0.02 * float(found.scale[2])
    assert found.bias[2] * unit == pytest.approx(0.37, abs=unit)
    assert found.scale[2] == pytest.approx(np.median(np.delete(found.scale, 2)))


def test_layers_of_zeros_are_possible():
    found = quantize_weights(np.zeros((3, 4), np.float32), None, 1.0, 1.0)
    assert found.scale.tolist() == [1, 1, 1]
    assert found.bias is None
    assert snr_db(np.zeros((3, 4), np.float32), found) is None


def test_snr_of_weights():
    weights = np.random.default_rng(0).standard_normal((4, 1000)).astype(np.float32)
    found = quantize_weights(weights, None, 1.0, 1.0)
    noise = np.square(found.scale.astype(np.float64)).mean() / 12
    assert snr_db(weights, found) == pytest.approx(10 * np.log10(np.square(weights).mean() / noise), abs=0.3)


# awkward models


def test_zero_channels_and_constant_tensors():
    net = Net(3, 8, 8)
    c = net.conv("x", 4, out="c")
    weights = numpy_helper.to_array(net.constants[0]).copy()
    weights[1] = 0
    net.constants[0].CopyFrom(numpy_helper.from_array(weights, net.constants[0].name))
    dead = net.op("Relu", net.op("Conv", c, net.const(np.zeros((3, 4, 1, 1), np.float32))), out="dead")
    net.channels["dead"] = 3
    net.conv(dead, 2, out="y")
    model, x = net.model("y"), net.samples()
    result = quantized(model, x)
    assert any("dead" in note for note in result.report.notes)
    assert result.report.layers[0].zero_channels == 1
    np.testing.assert_allclose(run(result.model, x)[0], run(model, x)[0], atol=0.01)


@pytest.mark.parametrize("magnitude", [1e-42, 1e-25, 1e30])
def test_subnormal_and_enormous_activations(magnitude):
    net = Net(3, 4, 4)
    net.conv("x", 4, bias=False, out="y")
    model, x = net.model("y"), net.samples() * np.float32(magnitude)
    result = quantized(model, x)
    for tensor in result.report.tensors:
        assert tensor.scale >= np.finfo(np.float32).tiny
    real, integer = run(model, x)[0], run(result.model, x)[0]
    assert np.isfinite(integer).all()
    assert magnitude == 1e-42 or snr(real / magnitude, integer / magnitude) > 30


def test_a_quantized_model_is_refused():
    net, output = random_cnn(0)
    result = quantized(net.model(output), net.samples())
    with pytest.raises(UserError, match="quantized already") as caught:
        quantize(result.model, CalibrationData({"x": net.samples()}))
    assert "compile" in caught.value.fix


def test_old_opsets_and_bad_weights_are_refused():
    net = Net(3, 8, 8)
    net.conv("x", 4, out="y")
    model, x = net.model("y"), net.samples()
    model.opset_import[0].version = 12
    with pytest.raises(UserError, match="opset 13"):
        quantized(model, x)
    bad = Net(3, 8, 8)
    bad.op("Relu", bad.conv("x", 4, out="c"), out="y")
    weights = np.full((4, 3, 3, 3), np.nan, np.float32)
    bad.constants[0].CopyFrom(numpy_helper.from_array(weights, bad.constants[0].name))
    with pytest.raises(UserError, match="NaN"):
        quantized(bad.model("y"), x)


def test_an_unknown_node_to_exclude_is_refused():
    net, output = random_cnn(0)
    with pytest.raises(UserError) as caught:
        quantized(net.model(output), net.samples(), exclude=frozenset({"typo"}))
    assert "'typo'" in caught.value.why


def test_a_model_without_anything_to_quantize():
    net = Net(3, 8, 8)
    net.op("Softmax", "x", axis=1, out="y")
    result = quantized(net.model("y"), net.samples())
    assert result.report.tensors == ()
    assert result.report.float_nodes == ("node_y",)
    assert [node.op_type for node in result.model.graph] == ["Softmax"]


def test_float16_parts_and_integer_graphs_stay_as_they_are():
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Relu", ["h"], ["r"], name="half"),
        helper.make_node("Cast", ["r"], ["y"], to=TensorProto.FLOAT),
    ]
    dims = ["n", 3]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, dims)],
        value_info=[helper.make_tensor_value_info(name, TensorProto.FLOAT16, dims) for name in ("h", "r")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    result = quantized(model, np.ones((2, 3), np.float32))
    assert result.report.tensors == ()


def test_shared_weights_are_quantized_for_each_reader():
    net = Net(4, 8, 8)
    w, b = net.const(net.weights(4, 4, 3, 3), "w"), net.const(np.ones(4, np.float32), "b")
    first = net.op("Relu", net.op("Conv", "x", w, b, pads=[1] * 4), out="a")
    net.op("Conv", first, w, b, pads=[1] * 4, out="y")
    model, x = net.model("y"), net.samples()
    assert snr(run(model, x)[0], run(quantized(model, x).model, x)[0]) > 30


def test_the_report_is_plain_data():
    net, output = random_cnn(6)
    result = quantized(
        net.model(output), net.samples(), method="percentile", exclude=frozenset({net.nodes[1].name, net.nodes[0].name})
    )
    data = json.loads(json.dumps(result.report.to_json()))
    assert data["options"]["exclude"] == sorted(node.name for node in net.nodes[:2])
    assert data["samples"] == 4
    points = View(result).points()
    for tensor in data["tensors"]:
        assert points[tensor["name"]] == (tensor["scale"], tensor["zero_point"], tensor["dtype"])
        assert tensor["method"] == "percentile"
        assert tensor["low"] <= 0 <= tensor["high"]
    layers = [node.name for node in net.nodes[2:] if node.op_type in ("Conv", "Gemm")]
    assert [layer["name"] for layer in data["layers"]] == layers


def test_a_trained_digit_network_keeps_its_accuracy():
    """Random hidden features with a least-squares read-out: real data, trained in closed form."""
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    x = (digits.images[:, None] / 16).astype(np.float32)
    net = Net(1, 8, 8, seed=1)
    c = net.op("Relu", net.conv("x", 24))
    p = net.op("MaxPool", net.op("Relu", net.conv(c, 32)), kernel_shape=[2, 2], strides=[2, 2])
    net.op("Flatten", p, out="features")
    features = run(net.model("features"), x)[0]
    train, test = slice(0, 1400), slice(1400, None)
    targets = np.eye(10)[digits.target[train]] * 2 - 1
    design = np.c_[features[train], np.ones(1400)].astype(np.float64)
    solution = np.linalg.solve(design.T @ design + 30 * np.eye(design.shape[1]), design.T @ targets).astype(np.float32)
    net.op("Gemm", "features", net.const(solution[:-1].T.copy()), net.const(solution[-1]), transB=1, out="y")
    model = net.model("y")
    accuracy = {"float": (run(model, x[test])[0].argmax(1) == digits.target[test]).mean()}
    for method in ("minmax", "percentile", "mse"):
        result = quantized(model, x[:200], method=method)
        accuracy[method] = (run(result.model, x[test])[0].argmax(1) == digits.target[test]).mean()
    assert accuracy["float"] > 0.93, accuracy
    assert min(accuracy.values()) >= accuracy["float"] - 0.01, accuracy
