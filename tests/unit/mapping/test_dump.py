"""The four steps as data and as a drawing."""

import json

from sliceflow.frontend import load_model
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import trace_compilation
from sliceflow.mapping.dump import to_dot, to_json
from tests.support.random_stem import Stem, stem_model
from tests.unit.mapping.graphs import Graph


def traced():
    g = Graph()
    y = g.quant(g.conv(g.quant("x"), 8, 8, name="conv"))
    out = g.op("Softmax", y, axis=1, name='soft "quoted"')
    return trace_compilation(
        g.model(out), Profile.load("int8-8x8"), name="g", source_sha256="0" * 64, keep_islands=True
    )


def test_each_step_can_be_read_on_its_own() -> None:
    steps = json.loads(json.dumps(to_json(traced())))
    assert list(steps) == ["merge", "place", "transform", "adjust"]
    assert [unit["name"] for unit in steps["merge"]] == ["conv"]
    assert {row["node"]: row["placement"] for row in steps["place"]}['soft "quoted"'] == "cpu"
    assert [action["do"] for action in steps["transform"]] == ["to_device", "fpga", "to_host", "cpu"]
    assert steps["adjust"]["descriptors"][0]["op"] == "CONV"


def test_the_drawing_connects_every_step() -> None:
    dot = to_dot(traced())
    assert dot.count(" -> ") == 5
    assert dot.count('"') % 2 == 0
    assert '\\"quoted\\"' in dot


def test_an_unrolled_tensor_is_shown() -> None:
    stem = Stem(channels=3, size=(40, 40), outputs=16, kernel=(7, 7), stride=(2, 2))
    model = load_model(stem_model(stem, 0, quantized=True)[0])
    trace = trace_compilation(model, Profile.load("int8-8x8"), name="g", source_sha256="0" * 64)
    steps = json.loads(json.dumps(to_json(trace)))
    unrolling = steps["transform"][0]["unrolling"]
    assert steps["merge"][0]["inputs"][0]["size"] == [3, 40, 40]
    assert steps["adjust"]["tensors"][0]["channels"] == 3 * unrolling["rows"] * unrolling["columns"] > 3
    assert "unrolled to device" in to_dot(trace)
