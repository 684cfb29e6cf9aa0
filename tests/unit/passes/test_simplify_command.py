"""``sliceflow simplify`` on pruned models."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import quantize_dynamic

from sliceflow.cli import main
from sliceflow.onnx_runtime import exact_session
from tests.support.models import Graph, random_feeds


def pruned(path) -> onnx.ModelProto:
    g = Graph(3)
    weights = g.rng.standard_normal((8, 3, 3, 3))
    weights[[0, 3, 5]] = 0
    y = g.node("Conv", g.input(1, 3, 8, 8), g.constant(weights), g.random(8), pads=[1] * 4, name="first")
    model = g.model(g.node("Conv", g.node("Relu", y), g.random(4, 8, 3, 3), name="second"))
    onnx.save(model, path)
    return model


def run(model, feeds) -> np.ndarray:
    return exact_session(model, where="test").run(None, feeds)[0]


def test_the_table_and_the_model(tmp_path, capsys):
    model = pruned(tmp_path / "m.onnx")
    assert main(["simplify", str(tmp_path / "m.onnx"), "--output", str(tmp_path / "s.onnx")]) == 0
    text = capsys.readouterr().out
    assert "first   Conv       3  8 -> 5  224 -> 140  13.82 k -> 8.64 k" in text
    assert "in all: channels 12 -> 9" in text
    assert "checked: outputs differ by" in text
    feeds = random_feeds(model, 1)
    expected, found = run(str(tmp_path / "m.onnx"), feeds), run(str(tmp_path / "s.onnx"), feeds)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_options_and_json(tmp_path, capsys):
    pruned(tmp_path / "m.onnx")

    def channels(*options: str) -> tuple[int, float | None]:
        arguments = ["simplify", str(tmp_path / "m.onnx"), "--output", str(tmp_path / "s.onnx"), "--json", *options]
        assert main(arguments) == 0
        document = json.loads(capsys.readouterr().out)
        return document["totals"]["channels_after"], document["difference"]

    assert channels()[0] == 9
    assert channels("--multiple", "4")[0] == 12
    assert channels("--no-propagate")[0] == 12
    assert channels("--no-remove")[0] == 12
    assert channels("--no-check") == (9, None)
    assert channels("--scatter", "1", "--seed", "4")[1] is not None
    assert main(["simplify", str(tmp_path / "m.onnx"), "--output", str(tmp_path / "s.onnx"), "--multiple", "0"]) == 2


def test_what_is_read_as_something_else_is_checked_as_it_was_read(tmp_path, capsys):
    """A dynamically quantized file means other numbers than the float model that it is read as."""
    model = pruned(tmp_path / "m.onnx")
    quantize_dynamic(tmp_path / "m.onnx", tmp_path / "d.onnx", op_types_to_quantize=["Conv"])
    assert "ConvInteger" in {node.op_type for node in onnx.load(tmp_path / "d.onnx").graph.node}
    assert main(["simplify", str(tmp_path / "d.onnx"), "--output", str(tmp_path / "s.onnx"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["difference"] < 1e-5
    feeds = random_feeds(model, 1)
    expected, found = run(str(tmp_path / "m.onnx"), feeds), run(str(tmp_path / "s.onnx"), feeds)
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())


@pytest.mark.parametrize("axis", [-5, 65536, 1])
def test_a_bias_whose_axis_does_not_exist_is_no_fault_of_ours(tmp_path, capsys, axis):
    g = Graph(3)
    y = g.quantize(g.input(1, 3, 8, 8))
    bias = g.node("DequantizeLinear", g.constant([1, 2, 3, 4], "int32"), g.constant([0.1] * 4), axis=axis)
    onnx.save(g.model(g.node("Conv", y, g.dequantized((4, 3, 3, 3), 0), bias)), tmp_path / "m.onnx")
    assert main(["simplify", str(tmp_path / "m.onnx"), "--output", str(tmp_path / "s.onnx")]) in (0, 1)
    assert "our fault" not in capsys.readouterr().err
