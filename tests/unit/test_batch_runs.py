"""Whole samples, batches and inputs for all images, from calibration to run, verify and bench."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from sliceflow.bench.compare import BenchOptions, bench
from sliceflow.cli import main
from sliceflow.devices import open_device
from sliceflow.errors import UserError
from sliceflow.frontend import bind_shapes, load_model
from sliceflow.graph.artifact import load_program, save_program
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model
from sliceflow.quantization import CalibrationData, QuantizationOptions, quantize
from sliceflow.runtime import Session
from sliceflow.runtime.against import compare_with_onnx
from sliceflow.runtime.values import random_inputs
from sliceflow.runtime.verify import verify
from tests.support.models import Graph, run_model

FLOAT = Profile.load("fp32-4x4")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def channels_last():
    """One image [8, 8, 4] without a batch."""
    g = Graph(1)
    y = g.node("Transpose", g.node("Unsqueeze", g.input(8, 8, 4), g.constant([0], "int64")), perm=[0, 3, 1, 2])
    y = g.node("Relu", g.node("Conv", y, g.random(8, 4, 3, 3), pads=[1, 1, 1, 1]))
    y = g.node("Squeeze", g.node("Transpose", y, perm=[0, 2, 3, 1]), g.constant([0], "int64"))
    return g.model(y)


def with_sides(batch: int | str = "N"):
    """Images, gains for the channels, a mask and a bias of rank 0."""
    g = Graph(2)
    y = g.node("Conv", g.input(batch, 3, 8, 8), g.random(4, 3, 3, 3), pads=[1, 1, 1, 1])
    gains, mask, bias = g.input(4, name="gains"), g.input(1, 1, 8, 8, name="mask"), g.input(name="bias")
    y = g.node("Mul", y, g.node("Reshape", gains, g.constant([1, 4, 1, 1], "int64")))
    y = g.node("Add", g.node("Mul", y, mask), bias)
    return g.model(y, g.node("Neg", gains))


def program_of(model, profile=FLOAT, samples=None, shapes=None):
    loaded = load_model(model, input_shapes=shapes)
    if samples is not None:
        loaded = quantize(loaded, CalibrationData(samples), QuantizationOptions(threads=1)).model
    return compile_model(loaded, profile, name="m", source_sha256="0" * 64)


def run(program, feed, device="reference"):
    with Session(program, device=device, threads=2) as session:
        return session.run(None, feed)


def close(found, expected):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_whole_sample_or_a_stack_of_them(tmp_path):
    model, x = channels_last(), noise(3, 8, 8, 4)
    save_program(program_of(model), tmp_path / "a", {})
    program = load_program(tmp_path / "a")
    expected = [run_model(model, {"x": sample})[0] for sample in x]
    close(run(program, {"x": x[0]})[0], expected[0])
    close(run(program, {"x": x})[0], np.stack(expected))
    close(run(program, {"x": x[:1]})[0], np.stack(expected[:1]))
    with pytest.raises(UserError, match="shape") as caught:
        run(program, {"x": x[0, :5]})
    assert "(8, 8, 4), or (N, 8, 8, 4) for N samples" in caught.value.fix
    with Session(program, device="reference") as session:
        assert session.get_inputs()[0].shape == [8, 8, 4]


@pytest.mark.parametrize("count", [1, 3])
def test_whole_samples_are_verified_and_measured(count):
    model = channels_last()
    program = program_of(model)
    feed = random_inputs(program.inputs, count, 0)
    assert feed["x"].shape == (count, 8, 8, 4)
    device = open_device("reference", program)
    report = verify(program, device, feed)
    assert report.match
    assert report.layers[0].values == count * 8 * 8 * 8
    compared = compare_with_onnx(program, device, feed, model.SerializeToString(), 1)
    assert compared.match
    assert compared.images == count
    entries = bench(
        program, device, feed, {"fp32": model.SerializeToString()}, BenchOptions(threads=(1,), warmup=0, repeats=1)
    )
    assert entries["cpu"]


@pytest.mark.parametrize("samples", [noise(8, 8, 4), noise(6, 8, 8, 4)], ids=["one", "six"])
def test_whole_samples_calibrate(samples):
    program = program_of(channels_last(), Profile.load("int8-8x8"), {"x": samples})
    x = noise(2, 8, 8, 4)
    expected = np.stack([run_model(channels_last(), {"x": sample})[0] for sample in x])
    error = run(program, {"x": x})[0] - expected
    assert 10 * np.log10((expected**2).sum() / (error**2).sum()) > 25


def test_a_free_first_axis_gets_a_size():
    g = Graph(3)
    y = g.node("Conv", g.node("Unsqueeze", g.input("frames", 10), g.constant([0, 1], "int64")), g.random(4, 1, 3, 3))
    model = g.model(g.node("Flatten", g.node("GlobalAveragePool", g.node("Relu", y))))
    with pytest.raises(UserError, match="'x' is no batch") as caught:
        program_of(model)
    assert "--shape x=64x10" in caught.value.fix
    with pytest.raises(UserError, match="'x' is no batch"):
        program_of(model, Profile.load("int8-8x8"), {"x": noise(8, 10)})
    program = program_of(model, shapes={"x": [16, 10]})
    x = noise(3, 16, 10)
    expected = np.concatenate([run_model(model, {"x": sample})[0] for sample in x])
    close(run(program, {"x": x})[0], expected)
    close(run(program, {"x": x[1]})[0], expected[1:2])


def sides(count=None, seed=3):
    front = () if count is None else (count,)
    return {
        "gains": noise(*front, 4, seed=seed),
        "mask": noise(*front, 1, 1, 8, 8, seed=seed + 1),
        "bias": np.asarray(noise(*front, seed=seed + 2), np.float32),
    }


@pytest.mark.parametrize("batch", ["N", 1, 4])
@pytest.mark.parametrize("count", [1, 4, 5])
def test_inputs_for_all_images(batch, count):
    model, x = with_sides(batch), noise(count, 3, 8, 8)
    program = program_of(model)
    for feed in (sides(), sides(count)):
        images, gains = run(program, {"x": x, **feed})
        each = [feed] * count
        if feed["gains"].ndim == 2:
            each = [{name: np.asarray(array[i]) for name, array in feed.items()} for i in range(count)]
        oracle = with_sides("N")
        close(images, np.concatenate([run_model(oracle, {"x": x[i : i + 1], **each[i]})[0] for i in range(count)]))
        several_runs = batch == 1 and count > 1 and feed["gains"].ndim == 1
        close(gains, np.stack([-feed["gains"]] * count) if several_runs else -feed["gains"])
    with pytest.raises(UserError, match="different numbers of images"):
        run(program, {"x": noise(3, 3, 8, 8), **sides(), "gains": noise(2, 4)})


@pytest.mark.parametrize("given", [None, 6])
@pytest.mark.parametrize("batch", ["N", 1])
def test_inputs_for_all_images_calibrate(batch, given):
    samples = {"x": noise(6, 3, 8, 8), **sides(given)}
    program = program_of(with_sides(batch), Profile.load("int8-8x8"), samples)
    feed = {"x": noise(2, 3, 8, 8, seed=9), **sides()}
    expected = run_model(with_sides(), feed)[0]
    error = run(program, feed)[0] - expected
    assert 10 * np.log10((expected**2).sum() / (error**2).sum()) > 20
    assert verify(program, open_device("reference", program), random_inputs(program.inputs, 2, 0)).match


def test_results_without_an_axis_for_images_are_stacked():
    g = Graph(4)
    y = g.node("Relu", g.node("Conv", g.input(1, 3, 6, 6), g.random(4, 3, 3, 3)))
    model = g.model(
        g.node("ReduceMean", y, keepdims=0), g.node("ReduceMax", y, g.constant([0, 2, 3], "int64"), keepdims=0)
    )
    x = noise(3, 3, 6, 6)
    expected = [run_model(model, {"x": x[i : i + 1]}) for i in range(3)]
    for index, found in enumerate(run(program_of(model), {"x": x})):
        close(found, np.stack([each[index] for each in expected]))


def test_results_of_different_shapes_are_refused():
    g = Graph(5)
    y = g.node("Conv", g.input(1, 3, 6, 6), g.random(4, 3, 3, 3))
    found = g.node("NonZero", g.node("Relu", y))
    g.output(found, dtype=onnx.TensorProto.INT64)
    program = program_of(g.model())
    np.testing.assert_array_equal(run(program, {"x": noise(1, 3, 6, 6)})[0].shape[0], 4)
    with pytest.raises(UserError, match="different shapes") as caught:
        run(program, {"x": noise(3, 3, 6, 6)})
    assert found in caught.value.where


def test_a_fixed_batch_that_is_none_is_named():
    g = Graph(9)
    y = g.node("Conv", g.input(4, 3, 6, 6), g.random(4, 3, 3, 3))
    model = g.model(g.node("Sub", y, g.node("ReduceMean", y, g.constant([0], "int64"), name="mixer")))
    for profile, samples in ((FLOAT, None), (Profile.load("int8-8x8"), {"x": noise(4, 3, 6, 6)})):
        with pytest.raises(UserError, match="no layer of the model can run") as caught:
            program_of(model, profile, samples)
        assert "no batch (node mixer (ReduceMean): it reduces" in caught.value.why


def test_a_model_in_training_mode_is_named():
    g = Graph(6)
    y = g.node("Conv", g.input("N", 3, 6, 6), g.random(4, 3, 3, 3))
    y = g.node(
        "BatchNormalization", y, *(g.random(4, low=0.5) for _ in range(4)), outputs=["bn", "m", "v"], training_mode=1
    )
    batch_norm = g.model(y)
    g = Graph(7)
    y = g.node("Conv", g.input("N", 3, 6, 6), g.random(4, 3, 3, 3))
    dropout = g.model(g.node("Dropout", y, g.constant(0.5), g.constant(True, "bool"), outputs=["drop"]))
    g = Graph(8, opset=12)
    y = g.node("Conv", g.input("N", 3, 6, 6), g.random(4, 3, 3, 3))
    statistics = [g.random(4, low=0.5) for _ in range(4)]
    old = g.model(g.node("BatchNormalization", y, *statistics, outputs=["old", "m", "v", "sm", "sv"]))
    for model, name in ((batch_norm, "bn"), (dropout, "drop"), (old, "old")):
        for act in (
            lambda model: bind_shapes(load_model(model)),
            lambda model: program_of(model, Profile.load("int8-8x8"), {"x": noise(2, 3, 6, 6)}),
        ):
            with pytest.raises(UserError, match="training mode") as caught:
                act(model)
            assert f"node {name} (" in caught.value.where
            assert "eval()" in caught.value.fix


def test_check_says_what_first_axes_are(tmp_path, capsys):
    for model, first in (
        (channels_last(), ["part of the sample"]),
        (with_sides(), ["batch", *["same for all images"] * 3]),
        (with_sides(1), ["one image", "part of the sample", "one image", "part of the sample"]),
    ):
        onnx.save(model, tmp_path / "m.onnx")
        assert main(["check", str(tmp_path / "m.onnx"), "--profile", "fp32-4x4", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert [found["first_axis"] for found in document["inputs"]] == first
    assert main(["check", str(tmp_path / "m.onnx"), "--profile", "fp32-4x4"]) == 0
