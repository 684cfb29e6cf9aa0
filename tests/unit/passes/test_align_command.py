"""``sliceflow simplify --profile``: alignment, and where residual branches get channels of their own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from sliceflow.cli import main
from sliceflow.frontend import load_model
from sliceflow.hardware.profile import Profile
from sliceflow.hardware.transfer import Link
from sliceflow.mapping.align import static_shapes
from sliceflow.mapping.scatter import scatter_pays
from sliceflow.passes.simplify import SimplifyOptions, simplify
from tests.support.models import Graph, operators, random_feeds, run_model

DIGITS = Path(__file__).resolve().parents[3] / "models" / "mnist_vgg_pruned.onnx"


def test_lanes_and_the_warning(tmp_path, capsys):
    target = str(tmp_path / "a.onnx")
    assert main(["simplify", str(DIGITS), "--output", target, "--profile", "int8-8x8", "--align", "down"]) == 0
    text = capsys.readouterr().out
    assert "aligned to int8-8x8: predicted cycles 5.96 k -> 4.57 k" in text
    assert "the outputs have changed" in text
    assert "14 -> 8" in text
    layers = [n for n in onnx.load(target).graph.node if n.op_type in ("Conv", "Gemm")]
    weights = {t.name: t.dims[0] for t in onnx.load(target).graph.initializer}
    assert [weights[n.input[1]] for n in layers] == [7, 7, 8, 8, 24, 24, 24, 10]


def test_json_says_what_each_layer_uses(tmp_path, capsys):
    arguments = ["simplify", str(DIGITS), "--output", str(tmp_path / "a.onnx"), "--json", "--profile", "int8-8x8"]
    assert main([*arguments, "--align", "auto", "--price", "1e9"]) == 0
    found = json.loads(capsys.readouterr().out)["alignment"]
    assert (found["changed"], found["difference"]) == (False, 0.0)
    assert main([*arguments, "--align", "down"]) == 0
    document = json.loads(capsys.readouterr().out)
    found = document["alignment"]
    assert document["difference"] < 1e-5 < found["difference"]
    assert found["cycles_after"] < found["cycles_before"]
    lanes = found["lanes"]
    assert lanes["lanes_used_after"] > lanes["lanes_used_before"]
    for layer in lanes["layers"]:
        for use in (layer["before"], layer["after"]):
            assert use["outputs_computed"] % 8 == 0
            assert use["idle"] == use["inputs_computed"] - use["inputs"] + use["outputs_computed"] - use["outputs"]
    assert sum(layer["after"]["idle"] for layer in lanes["layers"]) < sum(
        layer["before"]["idle"] for layer in lanes["layers"]
    )
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["alignment"] is None


def test_align_needs_a_profile(tmp_path, capsys):
    assert main(["simplify", str(DIGITS), "--output", str(tmp_path / "a.onnx"), "--align", "down"]) == 2
    assert "--align needs --profile" in capsys.readouterr().err
    assert not (tmp_path / "a.onnx").exists()


def branches(size: int, width: int, idle: int) -> onnx.ModelProto:
    """Two branches of a sum, one of which computes ``idle`` channels that are always zero."""
    g = Graph(1)
    x = g.node("Conv", g.input(1, 3, size, size), g.constant(g.rng.standard_normal((width, 3, 1, 1))))
    weights = g.rng.standard_normal((width, width, 3, 3)) / width
    weights[:idle] = 0
    y = g.node("Conv", g.node("Relu", x), g.constant(weights), pads=[1] * 4)
    return g.model(g.node("Conv", g.node("Add", x, y), g.constant(g.rng.standard_normal((4, width, 1, 1)))))


@pytest.mark.parametrize(
    ("size", "idle", "link", "scattered"),
    [
        (16, 56, None, False),  # two transfers cost more than 14 k cycles
        (64, 56, None, True),  # 229 k cycles are worth them
        (16, 56, Link("free", 1e15, 0.0), True),
        (16, 8, Link("free", 1e15, 0.0), False),  # a channel of zeros stays, so no slice is saved
        (16, 9, Link("free", 1e15, 0.0), False),  # one slice is what the sum costs by itself
        (16, 17, Link("free", 1e15, 0.0), True),
    ],
)
def test_branches_are_scattered_where_predicted_time_falls(monkeypatch, size, idle, link, scattered):
    monkeypatch.setattr("sliceflow.mapping.scatter.HOST_BYTES_PER_SECOND", 1e15 if link else 1e9)
    proto = branches(size, 64, idle)
    model = load_model(proto)
    profile = dataclasses.replace(Profile.load("int8-8x8"), mhz=300.0)  # the sizes above were chosen for this clock
    rule = scatter_pays(static_shapes(model), profile, *([link] if link else []))
    simplify(model, SimplifyOptions(scatter=rule))
    assert ("Gather" in operators(model)) == scattered
    feeds = random_feeds(proto, 1)
    expected, found = run_model(proto, feeds)[0], run_model(model, feeds)[0]
    assert np.abs(expected - found).max() <= 1e-5 * np.abs(expected).max()


def test_a_slow_clock_makes_scattering_pay():
    """The rule weighs seconds: at 1 MHz the same cycles are worth both transfers."""
    shapes_of = load_model(branches(16, 64, 56))
    for mhz, scattered in ((200.0, False), (1.0, True)):
        model = load_model(branches(16, 64, 56))
        profile = dataclasses.replace(Profile.load("int8-8x8"), mhz=mhz)
        simplify(model, SimplifyOptions(scatter=scatter_pays(static_shapes(shapes_of), profile)))
        assert ("Gather" in operators(model)) == scattered


def test_the_command_keeps_the_union_where_scattering_does_not_pay(tmp_path, capsys):
    onnx.save(branches(16, 16, 8), tmp_path / "m.onnx")
    for options, found in (([], False), (["--profile", "int8-8x8"], False), (["--scatter", "0"], True)):
        assert main(["simplify", str(tmp_path / "m.onnx"), "--output", str(tmp_path / "s.onnx"), *options]) == 0
        assert any(n.op_type == "Gather" for n in onnx.load(tmp_path / "s.onnx").graph.node) == found
    capsys.readouterr()
