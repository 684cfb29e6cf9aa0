"""What a deployment says of its own quality: against independent figures, and where there is nothing to divide by."""

import json
import re

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper
from quantization_graphs import Net, run, snr

from sliceflow.quantization import (
    CalibrationData,
    QuantizationOptions,
    hold_back,
    measure_quality,
    quantize,
)


def judged(net, outputs, x, **options):
    """(result, quality, float model, quantized model)."""
    model = ir.from_proto(net.model(*outputs))
    data = CalibrationData({"x": x})
    result = quantize(model, data, QuantizationOptions(threads=1, **options))
    quality = measure_quality(model, result, data, held_back=False, threads=1)
    json.dumps(quality.to_json(), allow_nan=False)
    return result, quality, ir.to_proto(model), ir.to_proto(result.model)


def branching(seed, **shape):
    net = Net(3, 10, 10, seed=seed, **shape)
    a = net.op("Relu", net.conv("x", 6))
    b = net.op("Relu", net.op("Add", net.conv(a, 6), a))
    c = net.concat(b, net.op("HardSwish", net.conv(b, 5)))
    d = net.op("MaxPool", c, kernel_shape=[2, 2], strides=[2, 2])
    net.conv(d, 4, out="map")
    net.gemm(net.op("Flatten", net.op("GlobalAveragePool", d)), 11, 7, out="y")
    return net


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("batch", ["n", 1, 3])
def test_figures_are_those_of_running_both_models(seed, batch):
    net = branching(seed, batch=batch)
    x = net.samples(6)
    result, quality, real, quantized = judged(net, ["y", "map"], x, method="minmax")
    size = 6 if batch == "n" else batch
    batches = [x[i : i + size] for i in range(0, 6, size)]
    for index, output in enumerate(quality.outputs):
        exact, found = (np.concatenate([run(model, part)[index] for part in batches]) for model in (real, quantized))
        assert output.sqnr_db == pytest.approx(snr(exact, found), abs=0.3)
        part = output.worst
        columns = [snr(exact.take(i, part.axis), found.take(i, part.axis)) for i in range(exact.shape[part.axis])]
        assert part.sqnr_db == pytest.approx(min(columns), abs=0.5)
        assert part.largest == pytest.approx(np.abs(exact.take(part.index, part.axis)).max())
    assert (quality.samples, quality.held_back) == (6, False)
    assert [(i.name, i.low, i.high) for i in quality.inputs] == [("x", x.min(), x.max())]
    assert [layer.op for layer in quality.layers] == [
        "Conv",
        "Conv",
        "Conv",
        "HardSwish",
        "Conv",
        "GlobalAveragePool",
        "Gemm",
    ]
    assert {layer.name for layer in quality.layers} <= {node.name for node in real.graph.node}
    assert result.report.notes == ()


def test_a_layer_is_judged_by_itself():
    """One layer whose weights are lost: its own figure is bad, those in front of it and behind it are not."""
    net = Net(8, 8, 8)
    kernel = net.weights(8, 8, 1, 1)
    kernel[0] = 0
    net.op("Conv", "x", net.const(kernel), out="a")  # its channel 0 is nothing
    lossy = (1e-4 * np.abs(net.weights(8, 8, 1, 1))).astype(np.float32)
    lossy[:, 0] = 1  # so the others, under half a step of these, are all that counts
    net.op("Conv", "a", net.const(lossy), out="b")
    net.channels["b"] = 8
    net.conv("b", 4, out="y", bias=False)
    _, quality, *_ = judged(net, ["y"], net.samples(6))
    own = {layer.tensor: layer for layer in quality.layers}
    assert own["a"].sqnr_db > 30
    assert own["y"].sqnr_db > 30
    assert quality.worst_layers[0] == own["b"]
    assert own["b"].sqnr_db < 5
    (warning,) = quality.warnings(QuantizationOptions(method="mse"))
    for word in ("'y'", "SQNR", "--method auto", "--activations int16", "--exclude node_b", "samples"):
        assert word in warning


def test_excluding_the_worst_layer_helps_more_than_another():
    net = Net(3, 8, 8)
    a = net.op("Relu", net.conv("x", 8))
    spiky = net.op("Mul", net.conv(a, 8), net.const(np.geomspace(1, 3e4, 8, dtype=np.float32).reshape(1, 8, 1, 1)))
    net.channels[spiky] = 8
    back = net.op("Conv", spiky, net.const(np.diag(np.geomspace(1, 1 / 3e4, 8)).astype(np.float32)[:, :, None, None]))
    net.channels[back] = 8
    net.conv(net.op("Relu", back), 5, out="y")
    x = net.samples(6)
    _, quality, *_ = judged(net, ["y"], x)
    db = {}
    for layer in quality.layers:
        _, other, *_ = judged(net, ["y"], x, exclude=frozenset({layer.name}))
        db[layer.name] = other.outputs[0].sqnr_db
    best = max(db, key=db.get)
    assert best in {layer.name for layer in quality.worst_layers[:2]}
    assert any("channels of very different ranges" in note for note in quality.notes), quality.notes


def test_nothing_is_divided_by_zero():
    net = Net(2, 6, 6)
    zero = net.op("Mul", net.conv("x", 3), net.const(np.float32(0)), out="zero")
    net.op("Relu", net.op("Neg", net.op("Abs", zero)), out="nothing")
    net.op("Log", net.op("Relu", net.conv("x", 3, out="c")), out="logs")  # minus infinity where the Relu gives 0
    net.op("Shape", "x", out="sizes")
    net.op("Identity", "x", out="same")
    _, quality, *_ = judged(net, ["zero", "nothing", "logs", "same"], net.samples())
    by_name = {output.name: output for output in quality.outputs}
    assert "all zero" in by_name["nothing"].note
    assert by_name["nothing"].sqnr_db is None
    assert "not finite in the float model" in by_name["logs"].note
    assert not any("nothing" in warning for warning in quality.warnings(QuantizationOptions()))


def test_integer_outputs_are_counted():
    net = Net(3, 8, 8)
    net.gemm(net.op("Flatten", net.op("GlobalAveragePool", net.conv("x", 6))), 6, 4, out="s")
    net.op("ArgMax", "s", axis=1, out="best")
    net.op("Cast", "best", out="class", to=1)
    model = net.model("s", "class")
    del model.graph.node[-1], model.graph.output[1]
    model.graph.output.append(helper.make_tensor_value_info("best", TensorProto.INT64, ["n", 1]))
    loaded, data = ir.from_proto(model), CalibrationData({"x": net.samples(20)})
    quality = measure_quality(loaded, quantize(loaded, data), data, held_back=False)
    assert 0.8 <= quality.outputs[1].agreement <= 1
    assert quality.outputs[1].sqnr_db is None


def test_the_axis_is_the_one_whose_parts_differ():
    """Boxes and scores in the columns of a rank-3 output, then the same with the parts on axis 1."""
    for order, axis in (((0, 2, 1), 2), ((0, 1, 2), 1)):
        net = Net(4, 6, 6)
        c = net.conv("x", 5)
        flat = net.op("Reshape", c, net.const(np.array([0, 5, 36])))
        turned = net.op("Transpose", flat, perm=list(order))
        factors = np.array([300, 300, 300, 300, 0.5], np.float32)
        net.op("Mul", turned, net.const(factors[None, None] if axis == 2 else factors[None, :, None]), out="y")
        _, quality, *_ = judged(net, ["y"], net.samples(6))
        assert quality.outputs[0].worst.axis == axis, order


def test_a_part_that_is_lost_is_told():
    net = Net(3, 8, 8)
    boxes, scores = net.conv("x", 4, out="boxes"), net.op("Sigmoid", net.conv("x", 3), out="scores")
    big = net.op("Mul", boxes, net.const(np.float32(2000)), out="big")
    net.channels |= {"big": 4, "scores": 3}
    pooled = net.op("MaxPool", net.concat(big, scores, out="all"), kernel_shape=[2, 2], strides=[2, 2])
    net.op("Relu", pooled, out="y")
    result, quality, *_ = judged(net, ["y"], net.samples(6))
    (note,) = result.report.notes
    for word in ("node_all", "scores", "steps", "--exclude node_all", "int16"):
        assert word in note
    assert quality.outputs[0].sqnr_db > 20
    assert quality.outputs[0].worst.index >= 4
    (warning,) = quality.warnings(QuantizationOptions())
    assert "has lost a part" in warning


@pytest.mark.parametrize(("count", "held"), [(1, 0), (63, 0), (64, 8), (100, 12), (2000, 64)])
def test_samples_are_held_back_only_where_there_are_enough(count, held):
    x = np.arange(count, dtype=np.float32).reshape(count, 1)
    used, judges = hold_back(CalibrationData({"x": x}))
    assert used.count == count - held
    if not held:
        assert judges is None
        return
    taken = judges.batch(0, judges.count)["x"].ravel()
    assert sorted([*used.batch(0, used.count)["x"].ravel(), *taken]) == list(range(count))
    assert np.diff(taken).max() - np.diff(taken).min() <= 1  # evenly spread, whatever the samples are sorted by


def test_auto_is_as_good_as_the_best():
    for seed in range(3):
        net = branching(seed)
        x = net.samples(8)
        x[0, 0, 0, 0] = 40.0
        model = ir.from_proto(net.model("y"))
        data = CalibrationData({"x": x})
        db = {}
        for method in ("auto", "minmax", "percentile", "mse"):
            result = quantize(model, data, QuantizationOptions(threads=1, method=method))
            db[method] = snr(run(model, x)[0], run(result.model, x)[0])
            if method == "auto":
                assert result.report.method in ("minmax", "percentile", "mse")
        assert db["auto"] > max(db.values()) - 1.5, db


def test_what_a_note_on_channels_says_to_exclude_helps():
    net = Net(3, 8, 8)
    factors = np.geomspace(1, 1e4, 8).astype(np.float32)
    a = net.op("Relu", net.conv("x", 6))
    net.op("Conv", a, net.const(net.weights(8, 6, 3, 3) * factors[:, None, None, None]), out="b", pads=[1] * 4)
    net.op("Conv", "b", net.const(net.weights(5, 8, 3, 3) / factors[:, None, None]), out="y", pads=[1] * 4)
    x = net.samples(6)
    _, quality, *_ = judged(net, ["y"], x)
    assert quality.outputs[0].sqnr_db < 5
    (note,) = quality.notes
    named = re.findall(r"--exclude (\S+)", note)
    assert named == ["node_y", "node_b"]
    _, better, *_ = judged(net, ["y"], x, exclude=frozenset(named))
    assert better.outputs[0].sqnr_db > 30
    assert not better.notes
