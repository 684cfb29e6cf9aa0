"""What is written: the opset of the source, a model that ONNX Runtime loads as users do, weights in a second file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sliceflow.cli import main
from sliceflow.errors import UserError
from sliceflow.files import atomic_file
from sliceflow.frontend import load_model, serialize, write, write_model
from sliceflow.frontend.written_opset import as_written
from sliceflow.onnx_runtime import default_refusal, exact_session, user_session
from sliceflow.quantization import CalibrationData, QuantizationOptions, quantize
from tests.support import tiny_models
from tests.support.models import Graph

X = np.random.default_rng(0).normal(size=(2, 6, 8, 8)).astype(np.float32)


def opset_of(data: bytes | onnx.ModelProto) -> int:
    model = onnx.ModelProto.FromString(data) if isinstance(data, bytes) else data
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def by_default(model: bytes | str) -> list[np.ndarray]:
    """Run as a user would, on ``X``."""
    assert default_refusal(model) == ""
    session = user_session(model, 1, where="m")
    return session.run(None, {session.get_inputs()[0].name: X})


def reduce_mean(g: Graph, x: str) -> str:
    if g.opset < 18:
        return g.node("ReduceMean", x, axes=[1, -1], keepdims=1)
    return g.node("ReduceMean", x, g.constant([1, -1], "int64"), keepdims=1)


def split(g: Graph, x: str) -> str:
    count = {} if g.opset < 18 else {"num_outputs": 3}
    g.node("Split", x, outputs=["s1", "s2", "s3"], axis=1, **count)
    return g.node("Mul", "s1", "s3")


def resize(g: Graph, x: str) -> str:
    return g.node("Resize", x, "", g.constant([1, 1, 2, 2]), mode="nearest", nearest_mode="floor")


def pad(g: Graph, x: str) -> str:
    return g.node("Pad", x, g.constant([0, 0, 1, 0, 0, 0, 2, 1], "int64"), mode="reflect")


PARTS: dict[str, Callable[[Graph, str], str]] = {
    "ReduceMean": reduce_mean,
    "ReduceMax of all": lambda g, x: g.node("ReduceMax", x, keepdims=1),
    "ReduceSum": lambda g, x: g.node("ReduceSum", x, g.constant([1], "int64")),
    "Split": split,
    "Split in sizes": lambda g, x: g.node("Split", x, g.constant([1, 5], "int64"), outputs=["s1", "s2"], axis=1),
    "Resize": resize,
    "Pad": pad,
    "Softmax": lambda g, x: g.node("Softmax", x, axis=1),
    "AveragePool": lambda g, x: g.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]),
    "Reshape": lambda g, x: g.node("Reshape", x, g.constant([0, -1], "int64")),
    "Cast": lambda g, x: g.node("Cast", g.node("Cast", x, to=onnx.TensorProto.INT32), to=onnx.TensorProto.FLOAT),
    "Equal": lambda g, x: g.node("Cast", g.node("Equal", x, g.constant(0.0)), to=onnx.TensorProto.FLOAT),
}


@pytest.mark.parametrize("opset", [13, 15, 17, 18, 19, 20, 21, 23])
def test_the_opset_of_the_source_is_kept(opset: int) -> None:
    for kind, part in PARTS.items():
        g = Graph(1, opset=opset, ir_version=onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)]))
        model = g.model(part(g, g.node("Sigmoid", g.input("N", 6, 8, 8))))
        data = serialize(load_model(model), "m")
        assert opset_of(data) == min(opset, 21), kind
        written = onnx.ModelProto.FromString(data)
        assert written.ir_version <= model.ir_version
        onnx.checker.check_model(written, full_check=True)
        for before, after in zip(by_default(model.SerializeToString()), by_default(data), strict=True):
            np.testing.assert_allclose(before, after, rtol=1e-6, err_msg=kind)


@pytest.mark.parametrize(
    ("needed", "part"),
    [
        (18, lambda g, x: g.node("Split", x, outputs=["s1", "s2", "s3", "s4"], axis=1, num_outputs=4)),
        (18, lambda g, x: g.node("Resize", x, "", g.constant([1, 1, 0.5, 0.5]), mode="linear", antialias=1)),
        (19, lambda g, x: g.node("Pad", x, g.constant([0, 0, 1, 0, 0, 0, 2, 1], "int64"), mode="wrap")),
        (20, lambda g, x: g.node("Gelu", x)),
        (17, lambda g, x: g.node("LayerNormalization", x, g.random(8))),
        (14, lambda g, x: g.node("HardSwish", x)),
    ],
)
def test_what_came_later_raises_the_opset_as_far_as_needed(needed: int, part: Callable[[Graph, str], str]) -> None:
    g = Graph(1)
    model = load_model(g.model(part(g, g.input("N", 6, 8, 8))))
    written = as_written(model, source=11)
    assert written.opset_imports[""] == needed
    before = by_default(ir.to_proto(model).SerializeToString())
    after = by_default(ir.to_proto(written).SerializeToString())
    np.testing.assert_array_equal(before[0], after[0])


def dense(opset: int, seed: int = 1) -> onnx.ModelProto:
    """MatMul, Add, MatMul behind an Elu, which ONNX Runtime fuses to Gemm."""
    g = Graph(seed, opset=opset, ir_version=8 if opset < 21 else 10)
    hidden = g.node("Elu", g.node("Flatten", g.input("N", 6, 8, 8)))
    hidden = g.node("Add", g.node("MatMul", hidden, g.random(384, 5)), g.random(5))
    return g.model(g.node("Add", g.node("MatMul", g.node("Relu", hidden), g.random(5, 3)), g.random(3)))


@pytest.mark.parametrize(
    ("source", "activations", "written"),
    [(11, "auto", 13), (13, "auto", 13), (18, "auto", 18), (21, "auto", 20), (13, "int16", 21), (21, "int16", 21)],
)
def test_quantized_models_load_with_default_options(source: int, activations: str, written: int) -> None:
    model = load_model(dense(source))
    names = [str(value.name) for value in model.graph.inputs]
    result = quantize(model, CalibrationData({names[0]: X}), QuantizationOptions(activations=activations)).model
    data = serialize(result, "m")
    assert opset_of(data) == written
    assert default_refusal(data) == ""
    (expected,) = exact_session(ir.to_proto(result).SerializeToString(), 1, where="m").run(None, {names[0]: X})
    np.testing.assert_array_equal(exact_session(data, 1, where="m").run(None, {names[0]: X})[0], expected)


def test_the_layers_on_the_cpu_have_the_opset_of_the_source(tmp_path: Path) -> None:
    onnx.save(tiny_models.digit_model(softmax=True, unknown=True), tmp_path / "m.onnx")  # opset 17
    np.savez(tmp_path / "x.npz", x=tiny_models.samples(4))
    command = ["deploy", str(tmp_path / "m.onnx"), "--calibration", str(tmp_path / "x.npz"), "--profile", "int8-4x4"]
    assert main([*command, "--output", str(tmp_path / "a"), "--json"]) == 0
    models = [*(tmp_path / "a" / "cpu").iterdir(), tmp_path / "a" / "source" / "int8.onnx"]
    for path in models:
        assert opset_of(path.read_bytes()) == 17
        assert default_refusal(path) == ""


def foreign(domain: str) -> onnx.ModelProto:
    g = Graph(1, opset=17, ir_version=8)
    g.domains[domain] = 1
    return g.model(g.node("Relu", g.node("Unheard", g.input("N", 6, 8, 8), domain=domain)))


def test_what_onnx_runtime_refuses_is_not_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, source = load_model(foreign("nobody")), tmp_path / "source.onnx"
    with pytest.raises(UserError, match="does not load the model") as caught:
        write_model(model, tmp_path / "out.onnx")
    assert "Unheard" in caught.value.why
    with pytest.raises(UserError, match="does not load the model"):
        write_model(load_model(foreign("nobody")), tmp_path / "out.onnx", limit=0)
    assert list(tmp_path.iterdir()) == []
    onnx.save(foreign("nobody"), source)
    write_model(model, tmp_path / "out.onnx", source=source)
    assert "nor what it was made from" in caplog.text
    assert opset_of(onnx.load(tmp_path / "out.onnx")) == 17


def large(seed: int, dtype: str = "float32") -> ir.Model:
    g = Graph(seed, opset=17, ir_version=8)
    weights = g.constant(g.rng.normal(size=(384, 20)), dtype)
    if dtype != "float32":
        weights = g.node("Cast", weights, to=onnx.TensorProto.FLOAT)
    y = g.node("MatMul", g.node("Flatten", g.input("N", 6, 8, 8)), weights)
    model = load_model(g.model(g.node("Add", y, g.random(20))))
    return model


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_large_weights_go_into_a_second_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a b.onnx"
    write_model(large(1), path, limit=1000)
    first = names_in(path.parent)
    assert first[0] == "a b.onnx"
    assert first[1].startswith("a%20b.onnx.")
    assert first[1].endswith(".data")
    assert path.stat().st_size < 2000 < (path.parent / first[1]).stat().st_size
    expected = by_default(serialize(large(1), "m"))[0]
    np.testing.assert_array_equal(by_default(str(path))[0], expected)
    assert opset_of(onnx.load(path, load_external_data=False)) == 17
    again = load_model(path)
    np.testing.assert_array_equal(by_default(serialize(again, "m"))[0], expected)

    write_model(again, path, limit=1000)  # over the file that it reads from
    assert names_in(path.parent) == first
    write_model(large(2), path, limit=1000)
    second = names_in(path.parent)
    assert len(second) == 2
    assert second != first
    np.testing.assert_array_equal(by_default(str(path))[0], by_default(serialize(large(2), "m"))[0])
    write_model(large(2), path)
    assert names_in(path.parent) == ["a b.onnx"]


@pytest.mark.parametrize("moment", ["weights", "model", "loading"])
def test_a_failure_leaves_the_earlier_files(moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    write_model(large(1), path, limit=1000)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if moment == "weights":
        monkeypatch.setattr(write, "_content", full)
    elif moment == "model":
        monkeypatch.setattr(write, "atomic_file", full)
    else:
        monkeypatch.setattr(write, "default_refusal", lambda model: "it does not like it")
    with pytest.raises((OSError, UserError)):
        write_model(large(2), path, limit=1000)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_names_of_other_models_and_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("m.onnx", "m.onnx.x.onnx", os.fsdecode(b"\xff.onnx"), "n" * 200 + ".onnx"):
        write_model(large(1), tmp_path / name, limit=1000)
    other = tmp_path / "m.onnx.mine.data"
    with atomic_file(other) as stream:
        stream.write(b"mine")
    write_model(large(2), tmp_path / "m.onnx", limit=1000)
    assert len(names_in(tmp_path)) == 9
    expected = by_default(serialize(large(1), "m"))[0]
    for name in ("m.onnx.x.onnx", os.fsdecode(b"\xff.onnx"), "n" * 200 + ".onnx"):
        np.testing.assert_array_equal(by_default(serialize(load_model(tmp_path / name), name))[0], expected)


def test_small_types_and_shared_tensors_are_written_as_they_are(tmp_path: Path) -> None:
    model, rng = large(1), np.random.default_rng(3)
    graph = model.graph
    tensors = {
        "int4": ir.Tensor(rng.integers(-8, 8, (50, 61)).astype(ir.DataType.INT4.numpy()), dtype=ir.DataType.INT4),
        "half": ir.tensor(rng.normal(size=(40, 40)).astype(np.float16)),
        "fill": ir.tensor(np.broadcast_to(np.float32(3), (50, 50))),
        "turned": ir.tensor(rng.normal(size=(40, 50)).T),
    }
    tensors["twice"] = tensors["half"]
    for name, tensor in tensors.items():
        graph.register_initializer(
            ir.Value(name=name, const_value=tensor, shape=tensor.shape, type=ir.TensorType(tensor.dtype))
        )
    write._write_weights(model, tmp_path / "m.onnx")
    for name, tensor in tensors.items():
        found = graph.initializers[name].const_value
        assert isinstance(found, ir.ExternalTensor)
        np.testing.assert_array_equal(np.asarray(found.numpy()), np.asarray(tensor.numpy()))
    assert graph.initializers["twice"].const_value.offset == graph.initializers["half"].const_value.offset
