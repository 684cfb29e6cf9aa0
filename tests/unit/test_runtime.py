"""Transforms, sessions and verify, against direct computation."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from sliceflow.devices import open_device
from sliceflow.devices.reference import ReferenceDevice
from sliceflow.errors import InternalError, UserError
from sliceflow.graph.program import Tensor, contiguous_runs, tensor_types
from sliceflow.hardware.profile import Profile
from sliceflow.onnx_runtime import exact_session
from sliceflow.runtime import Session, transform
from sliceflow.runtime.values import random_inputs
from sliceflow.runtime.verify import verify
from tests.support import tiny_program


@st.composite
def tensors(draw):
    profile = Profile.load(draw(st.sampled_from(["int8-4x4", "int8-8x8", "w8a16-8x8", "fp32-4x4"])))
    channels = draw(st.integers(1, 21))
    runs, slices = contiguous_runs(channels, profile.cpi, draw(st.lists(st.integers(1, 20), max_size=3)))
    dtype = draw(st.sampled_from(tensor_types(profile)))
    return profile, Tensor(
        name="t",
        channels=channels,
        height=draw(st.integers(1, 4)),
        width=draw(st.integers(1, 4)),
        runs=runs,
        slices=slices + draw(st.integers(0, 1)),
        base=0,
        dtype=dtype,
    )


@given(tensors(), st.integers(0, 2**32 - 1))
def test_every_channel_stands_where_its_run_says(case, seed):
    profile, tensor = case
    generator = np.random.default_rng(seed)
    limits = np.iinfo(tensor.dtype if tensor.dtype != "float32" else "int8")
    size = (tensor.channels, tensor.height, tensor.width)
    image = generator.integers(limits.min, limits.max, size, endpoint=True).astype(tensor.dtype)
    packed = transform.pack(image, tensor, profile)
    assert packed.shape == (tensor.slices, tensor.height, tensor.width, profile.cpi)
    for run in tensor.runs:
        for i in range(run.count):
            lane = packed[run.slice + i // profile.cpi, :, :, i % profile.cpi]
            offset = {"uint8": 128, "uint16": 1 << 15}.get(tensor.dtype, 0)
            want = image[run.channel + i].astype(np.int64) - offset
            np.testing.assert_array_equal(lane, want)
    np.testing.assert_array_equal(transform.unpack(packed, tensor, profile), image)
    spoiled = packed.copy()
    run = tensor.runs[-1]
    spoiled[run.slice, 0, 0, 0] += 1
    assert (transform.unpack(spoiled, tensor, profile) != image).sum() == 1


@settings(max_examples=30)
@given(
    st.floats(2.0**-20, 1024, width=32),
    st.integers(-128, 127),
    st.sampled_from(["int8", "uint8", "int16", "uint16"]),
    st.integers(0, 2**32 - 1),
)
def test_quantize_agrees_with_onnx_runtime(scale, zero, dtype, seed):
    element, limits = TensorProto.DataType.Value(dtype.upper()), np.iinfo(dtype)
    zero = int((zero + 128) / 255 * (int(limits.max) - limits.min)) + limits.min
    generator = np.random.default_rng(seed)
    span = 1.2 * (int(limits.max) - limits.min)
    halves = (generator.integers(-span, span, 200) + 0.5).astype(np.float32) * np.float32(scale)
    x = np.concatenate([halves, generator.normal(0, span / 3 * scale, 200), [0, np.inf, -np.inf, 3e38, -3e38]])
    x = x.astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", list("qsz"), "y"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [x.size])],
        [helper.make_tensor_value_info("q", element, [x.size]), helper.make_tensor_value_info("y", 1, [x.size])],
        [helper.make_tensor("s", 1, [], [scale]), helper.make_tensor("z", element, [], [zero])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    q, y = exact_session(model.SerializeToString(), where="test").run(None, {"x": x})
    got = transform.quantize(x, scale, zero, dtype)
    np.testing.assert_array_equal(got, q)
    np.testing.assert_array_equal(transform.dequantize(got, scale, zero), y)


def test_not_a_number_becomes_the_smallest_integer():
    assert transform.quantize(np.array([np.nan], np.float32), 0.5, 3, "int8")[0] == -128


@pytest.mark.parametrize("count", [1, 2, 5])
def test_session_computes_what_the_layer_means(count):
    x = tiny_program.images(count, seed=count)
    with Session(tiny_program.tiny_program(), device="reference") as session:
        (y,) = session.run(None, {"x": x})
        (again,) = session.run(["y"], {"x": x})
    np.testing.assert_array_equal(y, tiny_program.expected(x))
    np.testing.assert_array_equal(again, y)


def test_a_flipped_weight_changes_the_answer():
    program = tiny_program.tiny_program()
    program.weights[4] ^= 0x40
    x = tiny_program.images(1, seed=3)
    (y,) = Session(program, device="reference").run(None, {"x": x})
    assert (y != tiny_program.expected(x)).any()


def test_session_tells_its_interface_and_its_times():
    session = Session(tiny_program.tiny_program(), device="reference")
    assert [(a.name, a.shape, a.type) for a in session.get_inputs()] == [("x", ["N", 3, 6, 7], "float32")]
    assert [(a.name, a.shape, a.type) for a in session.get_outputs()] == [("y", ["N", 5, 6, 7], "float32")]
    session.run(None, {"x": tiny_program.images(2, seed=0)})
    assert [(t.kind, t.images) for t in session.profile] == [("transform", 2), ("fpga", 2), ("transform", 2)]
    assert all(t.seconds > 0 for t in session.profile)


GOOD = np.zeros((1, 3, 6, 7), np.float32)


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ({}, "'x' is missing"),
        ({"x": GOOD, "z": GOOD}, "no input 'z'"),
        ({"x": GOOD.tolist()}, "must be a NumPy array"),
        ({"x": GOOD.astype(np.float64)}, "has type float64"),
        ({"x": GOOD[0]}, "shape (3, 6, 7)"),
        ({"x": GOOD[:, :2]}, "shape (1, 2, 6, 7)"),
        ({"x": GOOD[:0]}, "batch is empty"),
        ({"x": np.full_like(GOOD, np.nan)}, "not a number"),
        ({"x": np.full_like(GOOD, np.inf)}, "not finite"),
    ],
)
def test_wrong_inputs_are_refused_by_name(feed, message):
    session = Session(tiny_program.tiny_program(), device="reference")
    with pytest.raises(UserError) as caught:
        session.run(None, feed)
    assert message in str(caught.value)


def test_unknown_names_are_refused():
    session = Session(tiny_program.tiny_program(), device="reference")
    with pytest.raises(UserError, match="no output 'nothing'"):
        session.run(["nothing"], {"x": GOOD})
    for name in ("xrt:0", "pynq", "gpu"):
        with pytest.raises(UserError, match="no device called"):
            open_device(name, session.program)
    with pytest.raises(UserError, match="must be positive"):
        open_device("reference", session.program, threads=0)


def test_accesses_outside_the_memory_are_refused():
    device = open_device("reference", tiny_program.tiny_program())
    with pytest.raises(InternalError, match="outside"):
        device.read(125, 8)
    with pytest.raises(InternalError, match="outside"):
        device.write(126, b"1234")
    device.close()
    with pytest.raises(InternalError, match="no program"):
        device.read(0, 4)


def test_random_inputs_are_repeatable():
    program = tiny_program.tiny_program()
    first, second, other = (random_inputs(program.inputs, 2, seed)["x"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (2, 3, 6, 7)
    assert (first != other).any()


def test_verify_finds_nothing_between_equal_devices():
    program = tiny_program.tiny_program()
    report = verify(program, open_device("reference", program), random_inputs(program.inputs, 2, 0))
    document = report.to_json()
    assert set(document) == {"match", "max_error_steps", "first_mismatch", "layers"}
    assert document["match"] is True
    assert document["first_mismatch"] is None
    assert document["layers"][0]["values"] == 2 * 5 * 6 * 7


class Spoiled(ReferenceDevice):
    """Flips one bit of the output of each launch."""

    def launch(self, first, count):
        report = super().launch(first, count)
        program, memory = self._loaded()
        word = program.tensors["y_q"].base + (1 * 6 + 2) * 7 + 3  # slice 1, row 2, column 3
        memory.data[word * 4] ^= 2
        return report


def test_verify_names_a_flipped_bit():
    program = tiny_program.tiny_program()
    device = Spoiled()
    device.load(program)
    report = verify(program, device, random_inputs(program.inputs, 1, 0))
    assert not report.match
    assert report.max_error_steps == 2
    found = report.first_mismatch
    assert (found.layer, found.tensor, found.image) == ("conv", "y_q", 0)
    assert (found.channel, found.row, found.column, found.slice, found.lane) == (4, 2, 3, 1, 0)
    assert abs(found.expected - found.got) == 2
    assert [(layer.name, layer.differing) for layer in report.layers] == [("conv", 1), ("end to end", 1)]


def test_verify_does_not_look_at_unused_lanes():
    class Untidy(ReferenceDevice):
        def launch(self, first, count):
            report = super().launch(first, count)
            base = self._loaded()[0].tensors["y_q"].base
            self._loaded()[1].data[(base + 6 * 7) * 4 + 1] ^= 0xFF  # slice 1, lane 1: no channel
            return report

    program = tiny_program.tiny_program()
    device = Untidy()
    device.load(program)
    assert verify(program, device, random_inputs(program.inputs, 1, 0)).match


def test_importing_the_runtime_loads_neither_onnx_nor_torch():
    code = (
        "import sys, sliceflow.runtime, sliceflow.runtime.verify\n"
        "heavy = {'onnx', 'onnx_ir', 'torch', 'pydantic', 'onnxruntime', 'typer', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_cpu_layers_that_are_not_models_are_refused_by_name():
    import dataclasses

    from sliceflow.graph.program import CpuStep, Layer

    program = tiny_program.tiny_program()
    broken = dataclasses.replace(
        program,
        layers=(*program.layers, Layer(name="soft", placement="cpu", op="Softmax", reason="")),
        steps=(*program.steps, CpuStep(layer="soft", model="cpu_0", inputs=("y",), outputs=("p",))),
        cpu_models={"cpu_0": b"not a model"},
    )
    with pytest.raises(UserError, match="refuses the model") as caught:
        Session(broken, device="reference")
    assert "soft" in caught.value.where


def test_cpu_layers_run():
    import dataclasses

    from sliceflow.graph.program import CpuStep, Layer, Value

    graph = helper.make_graph(
        [helper.make_node("Neg", ["y"], ["p"])],
        "g",
        [helper.make_tensor_value_info("y", 1, [1, 5, 6, 7])],
        [helper.make_tensor_value_info("p", 1, [1, 5, 6, 7])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    program = tiny_program.tiny_program()
    extended = dataclasses.replace(
        program,
        outputs=(Value(name="p", shape=(0, 5, 6, 7), dtype="float32"),),
        layers=(*program.layers, Layer(name="neg", placement="cpu", op="Neg", reason="")),
        steps=(*program.steps, CpuStep(layer="neg", model="cpu_0", inputs=("y",), outputs=("p",))),
        cpu_models={"cpu_0": model.SerializeToString()},
    )
    x = tiny_program.images(3, seed=9)
    (p,) = Session(extended, device="reference").run(None, {"x": x})
    np.testing.assert_array_equal(p, -tiny_program.expected(x))
