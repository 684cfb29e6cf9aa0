"""Models for a fixed number of images, for one image."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sliceflow.cli import main
from sliceflow.frontend import for_one_image
from sliceflow.onnx_runtime import exact_session


def network(images: int, *, mixing: bool = False) -> onnx.ModelProto:
    """A convolution, a reshape to a constant shape and a product; ``mixing`` adds a mean over the images."""
    rng = np.random.default_rng(images)
    weights = {
        "w": rng.standard_normal((6, 3, 3, 3)).astype(np.float32),
        "flat": np.array([images, 6 * 16], np.int64),
        "v": rng.standard_normal((96, 5)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="c", pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["r"], name="r"),
        helper.make_node("Reshape", ["r", "flat"], ["f"], name="f"),
        helper.make_node("MatMul", ["f", "v"], ["y"], name="y"),
    ]
    if mixing:
        nodes[3].output[0] = "m"
        nodes += [
            helper.make_node("ReduceMean", ["m"], ["mean"], name="mean", axes=[0]),
            helper.make_node("Sub", ["m", "mean"], ["y"], name="centred"),
        ]
    graph = helper.make_graph(
        nodes,
        "fixed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [images, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [images, 5])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def answers(model: Path | bytes, x: np.ndarray) -> np.ndarray:
    return exact_session(model, 1, where="the model").run(None, {"x": x})[0]


@pytest.mark.parametrize("images", [2, 4, 7])
def test_a_copy_for_one_image_answers_as_the_model_does(tmp_path, images):
    onnx.save(network(images), tmp_path / "m.onnx")
    x = np.random.default_rng(1).standard_normal((images, 3, 4, 4)).astype(np.float32)
    expected = answers(tmp_path / "m.onnx", x)
    for source in (tmp_path / "m.onnx", (tmp_path / "m.onnx").read_bytes()):
        single, size = for_one_image(source)
        assert size == images
        found = np.concatenate([answers(single, x[i : i + 1]) for i in range(images)])
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_other_models_stay_as_they_are(tmp_path):
    for name, model in (("one", network(1)), ("mixing", network(3, mixing=True))):
        onnx.save(model, tmp_path / f"{name}.onnx")
        assert for_one_image(tmp_path / f"{name}.onnx") == (tmp_path / f"{name}.onnx", 1)
    assert for_one_image(b"\xff\x00 no model") == (b"\xff\x00 no model", 1)


def test_verify_and_bench_take_a_model_of_four_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    onnx.save(network(4), "m.onnx")
    np.save("x.npy", np.random.default_rng(2).standard_normal((16, 3, 4, 4)).astype(np.float32))
    assert main(["deploy", "m.onnx", "--calibration", "x.npy", "--profile", "int8-4x4", "--output", "a"]) == 0
    for verb in (["verify", "a", "--device", "reference", "--against", "m.onnx"], ["bench", "a", "--repeats", "1"]):
        assert main([*verb, "--input", "x.npy"]) == 0
        assert "takes 4 images at a time" in capsys.readouterr().err
