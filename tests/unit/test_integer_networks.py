"""Exported integer networks: every number of the file's own execution, or the part that cannot be taken, by name."""

import json

import numpy as np
import pytest

from sliceflow.cli import main
from sliceflow.frontend import load_model
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model
from sliceflow.quantization.integer_network import find_integer_network
from sliceflow.runtime.session import Session
from tests.support.integer_networks import FORMS, IntegerNetwork, random_integer_network, with_integer_operators
from tests.support.models import run_model
from tests.support.tiny_models import digit_model

PROFILE = Profile.load("int8-8x8")


def on_reference(model, images, profile=PROFILE):
    """The outputs, and the program."""
    program = compile_model(model, profile, name="test", source_sha256="0" * 64)
    with Session(program, device="reference") as session:
        return session.run(None, {"x": images})[0], program


def taken(proto, images, **options):
    span = (-128, 127) if images.min() < 0 else (0, 255)
    return find_integer_network(load_model(proto), input_range=span, **options)


@pytest.mark.parametrize("form", ["", *FORMS])
@pytest.mark.parametrize("seed", range(8))
def test_random_networks_give_the_integers_of_the_file(seed, form):
    proto, images = random_integer_network(seed, form)
    # A file that does not round means the nearest integers: its twin that says so is the oracle.
    expected = run_model(proto if form else random_integer_network(seed, "round")[0], {"x": images})[0]
    found = taken(proto, images)
    assert found is not None, f"seed {seed}"
    assert found.model is not None, f"seed {seed}: {found.obstacle}"
    got, program = on_reference(found.model, images)
    np.testing.assert_array_equal(got, expected, f"seed {seed}, {form}")
    assert not program.cpu_models, f"seed {seed}"
    assert any("does not round" in note for note in found.notes) == (not form)


def test_a_wrong_weight_is_noticed():
    """The comparison above is one that fails."""
    proto, images = random_integer_network(0, "floor")
    expected = run_model(proto, {"x": images})[0]
    last = [t for t in proto.graph.initializer if len(t.dims) == 2][-1]
    changed = bytearray(last.raw_data)
    changed[3] ^= 0x80  # the sign of one weight
    last.raw_data = bytes(changed)
    got, _ = on_reference(taken(proto, images).model, images)
    assert (got != expected).any()


@pytest.mark.parametrize("divisor", [3, 5, 6, 9, 12])
def test_averages_of_any_size_round_down(divisor):
    """Floor behind an average: odd and even windows, every residue."""
    net = IntegerNetwork(divisor, "floor")
    value = net.layer(net.input("N", 3, 12, 12), 3, 4, signed=False)
    value = net.node("AveragePool", value, kernel_shape=[1, divisor], strides=[1, divisor])
    value = net.node("Clip", net.node("Floor", value), net.constant(0), net.constant(255))
    net.output(value, ["N", 4, 12, 12 // divisor])
    images = net.rng.integers(0, 256, (2, 3, 12, 12)).astype(np.float32)
    got, _ = on_reference(taken(net.model(), images).model, images)
    whole = run_model(_without_last(net.model(), 3), {"x": images})[0].astype(np.int64)
    sums = whole[..., : 12 // divisor * divisor].reshape(2, 4, 12, -1, divisor).sum(-1)
    np.testing.assert_array_equal(got, sums // divisor)


def _without_last(proto, count):
    del proto.graph.node[-count:]
    proto.graph.output[0].name = proto.graph.node[-1].output[0]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    return proto


@pytest.mark.parametrize("shift", range(13))
def test_every_residue_and_sign_rounds_down(shift):
    """One weight, all inputs, biases that reach each residue: floor as Python does it."""
    codes = np.array([[1], [-1], [127], [-127], [3], [-77], [64], [-128]])
    biases = np.random.default_rng(shift).integers(-3000, 3000, 8)
    images = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16)
    acc = codes[:, :, None] * images.reshape(1, 1, 256).astype(np.int64) + biases[:, None, None]
    for low, high in ((0, 255), (-128, 127)):
        net = IntegerNetwork(shift, "floor")
        weights = net.constant(codes.reshape(8, 1, 1, 1))
        value = net.node("Conv", net.input("N", 1, 16, 16), weights, net.constant(biases))
        value = net.node("Floor", net.node("Mul", value, net.constant(2.0**-shift)))
        net.output(net.node("Clip", value, net.constant(low), net.constant(high)), ["N", 8, 16, 16])
        found = find_integer_network(load_model(net.model()))
        got, _ = on_reference(found.model, images)
        expected = np.clip(acc // 2**shift, low, high)
        np.testing.assert_array_equal(got.reshape(8, 1, 256), expected, f"shift {shift}, {low}..{high}")


def test_a_result_without_limits_stays_float():
    net = IntegerNetwork(3, "floor")
    value = net.layer(net.input("N", 3, 12, 12), 3, 6, signed=False)
    net.output(net.classifier(value, 6 * 144, 5, closed=False), ["N", 5])
    images = net.rng.integers(0, 256, (2, 3, 12, 12)).astype(np.float32)
    found = taken(net.model(), images)
    assert any("Gemm" in note and "CPU" in note for note in found.notes)
    got, _ = on_reference(found.model, images)
    np.testing.assert_array_equal(got, run_model(net.model(), {"x": images})[0])


def test_sixteen_bits():
    net = IntegerNetwork(4, "floor")
    value = net.input("N", 3, 12, 12)
    weights = net.constant(net.rng.integers(-127, 128, (4, 3, 3, 3)))
    value = net.node("Conv", value, weights, net.constant(net.rng.integers(-9, 9, 4)), pads=[1] * 4)
    value = net.node("Floor", net.node("Div", value, net.constant(4)))
    value = net.node("Clip", value, net.constant(-32768), net.constant(32767))
    net.output(net.layer(value, 4, 4, signed=True, kernel=1), ["N", 4, 12, 12])
    images = net.rng.integers(0, 256, (2, 3, 12, 12)).astype(np.float32)
    assert find_integer_network(load_model(net.model())).obstacle  # eight bits are not enough
    found = taken(net.model(), images, bits=16)
    got, _ = on_reference(found.model, images, Profile.load("w8a16-8x8"))
    np.testing.assert_array_equal(got, run_model(net.model(), {"x": images})[0])


def test_other_networks_are_none():
    assert find_integer_network(load_model(digit_model())) is None


@pytest.mark.parametrize("kind", ["float weights", "softmax between", "floored sum", "scales of a sum"])
def test_what_cannot_be_taken_is_named(kind):
    net = IntegerNetwork(5, "floor")
    first = net.layer(net.input("N", 3, 12, 12), 3, 4, signed=False)
    if kind == "float weights":
        value = net.node("Conv", first, net.random(4, 4, 1, 1), name="culprit")
    elif kind == "softmax between":
        value = net.node("Softmax", first, axis=1)
        value = net.node("Conv", value, net.constant(net.rng.integers(-9, 9, (4, 4, 1, 1))), name="culprit")
    elif kind == "floored sum":
        value = net.integers(
            net.node("Add", first, net.layer(first, 4, 4, signed=False), name="culprit"), 1, signed=False
        )
    else:
        half = net.node("Mul", net.node("Add", first, net.layer(first, 4, 4, signed=False)), net.constant(0.5))
        half = net.node("Clip", half, net.constant(0), net.constant(255))
        value = net.node("Clip", net.node("Add", first, half, name="culprit"), net.constant(0), net.constant(255))
    net.output(value, ["N", 4, 12, 12])
    found = find_integer_network(load_model(net.model()))
    assert found.model is None
    assert "culprit" in found.obstacle


@pytest.mark.parametrize("seed", range(8))
def test_integer_operators(seed):
    """ConvInteger, MatMulInteger, int32 division and Casts mean what the same network in float operators says."""
    proto, twin, images = with_integer_operators(seed)
    found = taken(proto, images)
    assert found is not None
    assert found.model is not None, found.obstacle
    got, program = on_reference(found.model, images)
    expected = run_model(twin, {"x": images.astype(np.float32)})[0]
    assert got.dtype in (np.int8, np.uint8)
    np.testing.assert_array_equal(got, expected, f"seed {seed}")
    assert sum(layer.name != "" for layer in program.fpga_layers) >= 3


def sliceflow(capsys, *words):
    code = main([str(word) for word in words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_commands_take_them_without_samples_and_against_the_file(tmp_path, capsys):
    proto, images = random_integer_network(1, "floor")
    file, samples, folder = tmp_path / "m.onnx", tmp_path / "x.npz", tmp_path / "artifact"
    file.write_bytes(proto.SerializeToString())
    np.savez(samples, x=images)
    for calibration in ([], ["--calibration", samples]):
        if images.min() < 0 and not calibration:
            continue
        code, out, err = sliceflow(capsys, "deploy", file, *calibration, "--output", folder, "--json")
        assert code == 0, err
        assert any("nothing is calibrated" in note for note in json.loads(out)["notes"])
    code, out, err = sliceflow(
        capsys, *("verify", folder, "--device", "reference", "--input", samples, "--against", file, "--json")
    )
    assert code == 0, err
    quantized = tmp_path / "q.onnx"
    code, out, err = sliceflow(capsys, "quantize", file, "--calibration", samples, "--output", quantized, "--json")
    assert code == 0, err
    assert json.loads(out)["samples"] == 0
    assert sliceflow(capsys, "check", quantized, "--json")[0] == 0


def test_samples_that_are_no_integers_are_refused(tmp_path, capsys):
    proto, images = random_integer_network(1, "floor")
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    np.savez(tmp_path / "x.npz", x=images / 255)
    words = ("deploy", tmp_path / "m.onnx", "--calibration", tmp_path / "x.npz", "--output", tmp_path / "a")
    code, _, err = sliceflow(capsys, *words)
    assert code == 1
    assert "not the integers that the network reads" in err
    assert not (tmp_path / "a").exists()


def test_what_is_calibrated_all_the_same_is_said(tmp_path, capsys):
    net = IntegerNetwork(5, "floor")
    value = net.layer(net.input("N", 3, 12, 12), 3, 4, signed=False)
    value = net.node("Add", value, net.layer(value, 4, 4, signed=False), name="culprit")
    net.output(net.integers(value, 1, signed=False), ["N", 4, 12, 12])
    (tmp_path / "m.onnx").write_bytes(net.model().SerializeToString())
    np.savez(tmp_path / "x.npz", x=net.rng.integers(0, 256, (4, 3, 12, 12)).astype(np.float32))
    words = ("deploy", tmp_path / "m.onnx", "--calibration", tmp_path / "x.npz", "--output", tmp_path / "a")
    code, _, err = sliceflow(capsys, *words)
    assert code == 0
    assert "looks like an exported integer network" in err
    assert "culprit" in err
