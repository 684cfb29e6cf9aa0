"""Hostile models, data and artifacts through the command line: one clear message each, no crash, hang or litter.

The rules are in ``scripts/fuzzing/judge.py``. ``scripts/fuzz.py`` runs thousands of cases; here a sample of them, and
by name what fuzzing has found.
"""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from scripts.fuzzing import hostile_data, hostile_models, judge
from scripts.fuzzing.byte_mutations import BYTE_MUTATIONS
from scripts.fuzzing.case import Case, Command, Run
from scripts.fuzzing.runner import Runner
from tests.support.artifact_fuzz import seal
from tests.support.models import Graph
from tests.support.random_network import random_network

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE_SEED, SAMPLE_CASES = 11, 150


@pytest.fixture(scope="module")
def runner():
    with Runner() as opened:
        yield opened


@pytest.fixture
def call(runner, tmp_path):
    """Run one command in the test's folder; it must keep every rule."""

    def run(*arguments: str, output: str = "") -> Run:
        (result,) = runner.run(Case(0, "test", "test", (Command(arguments, output),)), tmp_path)
        assert result.problems == (), f"{result.stdout}\n{result.stderr}"
        return result

    return run


def save(folder: Path, model: onnx.ModelProto) -> None:
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def small_network() -> onnx.ModelProto:
    graph = Graph(1)
    value = graph.node("Conv", graph.input(1, 3, 8, 8), graph.random(4, 3, 3, 3), graph.random(4))
    return graph.model(graph.node("Relu", value))


def test_a_sample_of_the_fuzzer_keeps_every_rule(tmp_path):
    command = [sys.executable, ROOT / "scripts" / "fuzz.py", "--cases", str(SAMPLE_CASES), "--seed", str(SAMPLE_SEED)]
    command += ["--json", tmp_path / "figures.json", "--keep", tmp_path / "kept"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["cases"] == SAMPLE_CASES
    assert figures["broken"] == 0
    outcomes = {code: sum(row.get(code, 0) for row in figures["kinds"].values()) for code in ("0", "1")}
    assert sum(outcomes.values()) == SAMPLE_CASES
    assert min(outcomes.values()) >= 10, "the sample must hold both refusals and models that survive"


GOOD = "error: the model is empty\n  where: model.onnx\n"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, ""),
        ({"code": 4}, "exit code 4"),
        ({"code": 3}, "exit code 3"),
        ({"code": -11}, "signal 11"),
        ({"code": -9, "seconds": 183.0}, "hang"),
        ({"seconds": 21.0}, "slow"),
        ({"peak_mb": 3000.0}, "memory"),
        ({"stderr": ""}, "without a message"),
        ({"stderr": "error: bad\n"}, "without where"),
        ({"stderr": GOOD + GOOD}, "more than one"),
        ({"stderr": GOOD + "Traceback (most recent call last):\n"}, "traceback"),
        ({"stderr": GOOD + "[E:onnxruntime] noise\n"}, "stray output"),
        ({"stderr": GOOD.replace("empty", "em\x1bpty")}, "control characters"),
        ({"stderr": GOOD.replace("empty", "x" * 6000)}, "characters"),
        ({"arguments": ("check", "--json"), "stdout": "{}"}, "contradicts"),
        ({"arguments": ("check", "--json"), "stdout": "{} {}"}, "not one JSON document"),
    ],
)
def test_the_judge_sees_each_broken_rule(tmp_path, changes, problem):
    fields = {"arguments": ("check",), "code": 1, "seconds": 0.1, "peak_mb": 90.0, "stdout": "", "stderr": GOOD}
    run = Run(**(fields | changes))
    found = judge.judge(Command(run.arguments, "out"), run, tmp_path)
    assert (problem in "; ".join(found)) if problem else found == ()


def test_the_judge_sees_what_a_failed_command_left_behind(tmp_path):
    (tmp_path / "out").mkdir()
    run = Run(arguments=("compile",), code=1, seconds=0.1, peak_mb=90.0, stdout="", stderr=GOOD)
    assert judge.judge(Command(("compile",), "out"), run, tmp_path) == ("a failed command left its output behind",)


@pytest.mark.parametrize("mutation", BYTE_MUTATIONS, ids=lambda mutation: mutation.__name__)
@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes(call, tmp_path, mutation, seed):
    data = random_network(np.random.default_rng(seed)).SerializeToString()
    (tmp_path / "model.onnx").write_bytes(mutation(data, random.Random(seed)))
    call("compile", "model.onnx", "--profile", "fp32-4x4", "--output", "out", output="out")


def test_a_profile_name_cannot_carry_code_to_the_compiler(call, tmp_path):
    """The name used to be written into a C++ header as it was, newlines included."""
    save(tmp_path, small_network())
    assert call("compile", "model.onnx", "--profile", "fp32-4x4", "--output", "out").code == 0
    document = json.loads((tmp_path / "out" / "manifest.json").read_text())
    document["profile"]["name"] = "x\n#error injected\n//"
    seal(document, tmp_path / "out")
    result = call("verify", "out")
    assert result.code == 1
    assert "the profile is impossible: name must be" in result.stderr


def loop(limit: list[str], condition: str = "yes", inner: onnx.NodeProto | None = None) -> onnx.NodeProto:
    level = "" if inner is None else "2"
    inputs = [helper.make_tensor_value_info(f"{name}{level}", kind, []) for name, kind in (("i", 7), ("k", 9))]
    inputs.append(helper.make_tensor_value_info(f"v{level}", TensorProto.FLOAT, None))
    body = [helper.make_node("Identity", [f"k{level}"], [f"go{level}"])]
    body.append(inner or helper.make_node("Relu", ["v"], ["w"]))
    made = body[-1].output[0]
    outputs = [helper.make_tensor_value_info(f"go{level}", TensorProto.BOOL, [])]
    outputs.append(helper.make_tensor_value_info(made, TensorProto.FLOAT, None))
    graph = helper.make_graph(body, "body", inputs, outputs)
    return helper.make_node("Loop", [*(limit or [""]), condition, "c"], [f"loop{level}"], name="round", body=graph)


@pytest.mark.parametrize(
    ("limit", "inner", "message"),
    [
        (["many"], None, "makes 4611686018427387904 rounds"),
        ([], None, "a loop has no limit"),
        (["some"], ["some"], "a loop makes 100000000 rounds"),
        (["some"], None, ""),
    ],
)
def test_loops_come_to_an_end(call, tmp_path, limit, inner, message):
    nodes = [helper.make_node("Conv", ["x", "w0"], ["c"]), loop(limit, inner=None if inner is None else loop(inner))]
    nodes.append(helper.make_node("Add", ["c", nodes[-1].output[0]], ["y"]))
    constants = [numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w0")]
    constants += [numpy_helper.from_array(np.array(n), name) for n, name in ((1 << 62, "many"), (10_000, "some"))]
    constants.append(numpy_helper.from_array(np.array(True), "yes"))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 8, 8))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    save(tmp_path, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))
    result = call("check", "model.onnx", "--profile", "fp32-4x4")
    assert result.code == (1 if message else 0)
    assert message in result.stderr


@pytest.mark.parametrize("name", ["a\nerror: forged", "\x1b[31mred\r\x07", "\u202egnorw\u2028", "n" * 3_000_000])
def test_names_cannot_forge_or_flood_messages(call, tmp_path, name):
    model = small_network()
    model.graph.node[0].name = name
    model.graph.node[0].input[0] = name
    save(tmp_path, model)
    result = call("check", "model.onnx")
    assert result.code == 1
    assert "is not defined" in result.stderr
    assert "\u202e" not in result.stderr


def test_names_cannot_forge_warnings_and_tables(call, tmp_path):
    graph = Graph(1)
    value = graph.node("Conv", graph.input(1, 3, 8, 8), graph.random(4, 3, 3, 3))
    save(tmp_path, graph.model(graph.node("Softmax", value, name="a\nerror: forged\x1b[2J" + "n" * 100_000)))
    result = call("check", "model.onnx", "--profile", "fp32-4x4")
    assert result.code == 0
    assert "\nerror: forged" not in result.stdout
    assert len(result.stdout) < 20_000


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("bomb", [hostile_models.constant_bomb, hostile_models.size_bomb, hostile_models.doubling])
def test_bombs(call, tmp_path, bomb, seed):
    bomb(tmp_path, random.Random(seed))
    call("check", "model.onnx", "--profile", "fp32-4x4")


@pytest.mark.parametrize("shape", [(1, 3, 20_000, 20_000), (1, 3, 2**31 - 1, 8), (1 << 20, 3, 256, 8)])
def test_inputs_beyond_reason(call, tmp_path, shape):
    model = small_network()
    for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = size
    save(tmp_path, model)
    assert call("check", "model.onnx").code in ((1,) if shape[0] == 1 else (0, 1))


def test_a_zip_bomb_is_not_unpacked(call, tmp_path):
    save(tmp_path, onnx.load(ROOT / "models" / "mnist_vgg_pruned.onnx"))
    seed = next(s for s in range(100) if random.Random(s).choice([1 << 20, 1 << 31, 1 << 33]) == 1 << 31)
    name = hostile_data.zip_bomb(tmp_path, b"", random.Random(seed))
    result = call("quantize", "model.onnx", "--calibration", name, "--output", "q.onnx", output="q.onnx")
    assert result.code == 1
    assert result.peak_mb < 600


def test_a_zero_point_that_is_an_input_is_not_taken_for_zero(call, tmp_path):
    """It used to be read as absent; now the layer stays on the CPU or is refused."""
    graph = Graph(2)
    scale, weights = graph.constant(0.1), graph.dequantized((4, 3, 1, 1))
    zero = graph.input(name="zero", dtype=TensorProto.UINT8)
    value = graph.input(1, 3, 4, 4, name="x")
    value = graph.node("DequantizeLinear", graph.node("QuantizeLinear", value, scale, zero), scale, zero)
    value = graph.quantize(graph.node("Conv", value, weights))
    save(tmp_path, graph.model(value))
    result = call("check", "model.onnx", "--json")
    assert "error" in json.loads(result.stdout) or json.loads(result.stdout)["summary"]["fpga_macs"] == 0


def test_overflow_of_float32_is_no_mismatch(call, tmp_path):
    graph = Graph(4)
    value = graph.node("Conv", graph.input(1, 3, 8, 8), graph.constant(np.full((4, 3, 3, 3), 3e38)))
    value = graph.node("Conv", value, graph.random(4, 4, 3, 3))
    save(tmp_path, graph.model(graph.node("MaxPool", value, kernel_shape=[2, 2], strides=[2, 2])))
    assert call("compile", "model.onnx", "--profile", "fp32-4x4", "--output", "out").code == 0
    result = call("verify", "out")
    assert result.code in (0, 1)
    assert result.code == 0 or "overflows float32" in result.stderr


def test_libraries_do_not_write_between_our_lines(call, tmp_path):
    model = small_network()
    model.graph.node[1].device_configurations.add()
    model.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 5
    save(tmp_path, model)
    call("simplify", "model.onnx", "--output", "out.onnx")


def test_text_that_is_not_unicode(call, tmp_path):
    data = small_network().SerializeToString()
    for old, new in ((b"Relu", b"Rel\xf4"), (b"Conv", b"\xff\xfe\x00v"), (b"test", b"te\xc0t")):
        (tmp_path / "model.onnx").write_bytes(data.replace(old, new))
        assert call("check", "model.onnx").code == 1


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT8E4M3FN, TensorProto.STRING, TensorProto.COMPLEX64])
def test_inputs_that_hold_no_numbers(call, tmp_path, dtype):
    model = small_network()
    model.graph.input.append(helper.make_tensor_value_info("odd", dtype, (1, 2)))
    save(tmp_path, model)
    assert call("check", "model.onnx").code == 1


def test_a_tensor_with_values_in_two_fields(call, tmp_path):
    model = small_network()
    model.graph.initializer[1].CopyFrom(helper.make_tensor("c1", TensorProto.FLOAT, [4], [1.0, 2.0, 3.0, 4.0]))
    model.graph.initializer[1].int32_data.append(0)
    save(tmp_path, model)
    assert "stored twice" in call("check", "model.onnx").stderr


def test_an_unreadable_constant(call, tmp_path):
    model = small_network()
    model.graph.node.append(helper.make_node("Constant", [], ["k"], valeu=3.0))
    save(tmp_path, model)
    assert "Constant" in call("check", "model.onnx").stderr


@pytest.mark.parametrize("factor", [-3.0, 0.0, 0.01])
def test_resize_to_nothing(call, tmp_path, factor):
    graph = Graph(5)
    value = graph.node("Conv", graph.input("n", 3, 8, 8), graph.random(4, 3, 3, 3))
    value = graph.node("Resize", value, "", graph.constant([1, 1, factor, 2]), mode="nearest")
    save(tmp_path, graph.model(value))
    call("compile", "model.onnx", "--profile", "fp32-4x4", "--output", "out", output="out")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_float_weights_that_are_no_numbers(call, tmp_path, bad):
    """0 * NaN in lanes and taps that are not in use made the simulation differ from the reference."""
    save(tmp_path, small_network())
    assert call("compile", "model.onnx", "--profile", "fp32-4x4", "--output", "out").code == 0
    path = tmp_path / "out" / "weights.bin"
    weights = np.frombuffer(path.read_bytes(), "<f4").copy()
    weights[-1] = bad
    path.write_bytes(weights.tobytes())
    seal(json.loads((tmp_path / "out" / "manifest.json").read_text()), tmp_path / "out")
    assert "the weights hold NaN or infinity" in call("verify", "out").stderr
    model = small_network()
    array = numpy_helper.to_array(model.graph.initializer[0]).copy()
    array[0, 0, 0, 0] = bad
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(array, model.graph.initializer[0].name))
    save(tmp_path, model)
    assert "its weights hold NaN" in call("check", "model.onnx", "--profile", "fp32-4x4", "--json").stdout


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 3000 + "]" * 3000, '"a\\nb\\u0000"', "nan"])
def test_profiles_beyond_reason(call, tmp_path, text):
    save(tmp_path, small_network())
    lines = (ROOT / "host" / "sliceflow" / "hardware" / "profiles" / "fp32-4x4.toml").read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("name"))
    lines[place] = f"name = {text}"
    (tmp_path / "profile.toml").write_text("\n".join(lines))
    assert call("check", "model.onnx", "--profile", "profile.toml").code == 1


def test_a_crowd_of_inputs_does_not_take_forever(call, tmp_path):
    """Scheduling and layout used to take time in the square of the parts of a concatenation."""
    graph = Graph(6)
    value = graph.node("Concat", *[graph.input(1, 3, 4, 4)] * 3000, axis=1)
    save(tmp_path, graph.model(graph.node("Relu", value)))
    call("compile", "model.onnx", "--profile", "fp32-4x4", "--output", "out", output="out")


def test_an_array_of_negative_size(call, tmp_path):
    save(tmp_path, small_network())
    assert call("compile", "model.onnx", "--profile", "fp32-4x4", "--output", "out").code == 0
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4), }\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + bytes([len(header), 0]) + header + bytes(64))
    assert call("run", "out", "--input", "x.npy", "--output", "y.npz", output="y.npz").code == 1
