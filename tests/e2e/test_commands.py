"""Whole commands on small models: from ONNX to artifact, run, verify, bench; against ONNX Runtime."""

import dataclasses
import json

import numpy as np
import onnx
import pytest

from sliceflow.bench.compare import PRECISE
from sliceflow.cli import main
from sliceflow.graph.artifact import load_program, save_program, source_models
from sliceflow.onnx_runtime import exact_session
from sliceflow.runtime import Session
from tests.support import tiny_models
from tests.support.random_stem import Stem, stem_model


def onnx_runtime(path, x):
    return exact_session(path, where=path.name).run(None, {"x": x})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A float model, samples, the quantized model, and an artifact of it."""
    path = tmp_path_factory.mktemp("e2e")
    onnx.save(tiny_models.digit_model(softmax=True, unknown=True), path / "m.onnx")
    np.savez(path / "samples.npz", x=tiny_models.samples(16))
    np.save(path / "x.npy", tiny_models.samples(5, seed=1))
    model, samples, quantized, artifact = (str(path / n) for n in ("m.onnx", "samples.npz", "q.onnx", "a"))
    assert main(["quantize", model, "--calibration", samples, "--output", quantized, "--json"]) == 0
    assert main(["compile", quantized, "--profile", "int8-4x4", "--output", artifact, "--json"]) == 0
    return path


def call(capsys, *arguments, code=0):
    capsys.readouterr()
    assert main([*map(str, arguments), "--json"]) == code, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_simplified_models_compute_the_same(folder, tmp_path, capsys):
    document = call(capsys, "simplify", folder / "m.onnx", "--output", tmp_path / "s.onnx")
    assert set(document) == {
        *("output", "nodes_before", "nodes_after"),
        *("layers", "totals", "passes", "held", "difference"),
    }
    assert document["difference"] < 1e-5
    x = tiny_models.samples(3, seed=4)
    for before, after in zip(onnx_runtime(folder / "m.onnx", x), onnx_runtime(tmp_path / "s.onnx", x), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_check_lists_what_stays_on_the_cpu(folder, capsys):
    document = call(capsys, "check", folder / "m.onnx", "--profile", "int8-4x4")
    assert {node["op"] for node in document["nodes"]} == {"Softmax", "Det"}
    assert all(node["reason"] and node["fix"] for node in document["nodes"])
    assert document["summary"]["fpga_share"] == 1
    assert document["summary"]["as_if_quantized"] is True
    assert call(capsys, "check", folder / "q.onnx", "--profile", "int8-4x4")["summary"]["as_if_quantized"] is False


def test_compile_reports_every_layer(folder, tmp_path, capsys):
    document = call(capsys, "compile", folder / "q.onnx", "--profile", "int8-4x4", "--output", tmp_path / "a")
    assert set(document) == {"artifact", "profile", "layers", "totals", "notes"}
    required = {"name", "placement", "reason", "macs", "ideal_cycles", "channels_in", "channels_out", "lanes_used"}
    assert all(required <= set(layer) for layer in document["layers"])
    assert {layer["placement"] for layer in document["layers"]} == {"fpga", "cpu", "transform"}
    by_name = {layer["name"]: layer for layer in document["layers"]}
    assert by_name["first"]["macs"] == 12 * 12 * 7 * 3 * 9
    assert (by_name["first"]["channels_in"], by_name["first"]["channels_out"]) == (3, 7)
    assert by_name["first"]["lanes_used"] == 12 * 12 * 7 * 3 * 9 / (by_name["first"]["ideal_cycles"] * 9 * 16)
    assert document["totals"]["fpga_macs"] == sum(layer["macs"] for layer in document["layers"])


def test_deploy_does_it_all_and_keeps_the_models(folder, tmp_path, capsys):
    arguments = ("deploy", folder / "m.onnx", "--calibration", folder / "samples.npz", "--profile", "int8-4x4")
    call(capsys, *arguments, "--output", tmp_path / "a")
    models = source_models(tmp_path / "a")
    assert models["fp32"] == (folder / "m.onnx").read_bytes()
    assert models["int8"] == (folder / "q.onnx").read_bytes()
    first, second = load_program(tmp_path / "a"), load_program(folder / "a")
    assert (first.program.tobytes(), first.weights.tobytes()) == (second.program.tobytes(), second.weights.tobytes())
    call(capsys, *arguments, "--output", tmp_path / "b", "--no-sources")
    assert source_models(tmp_path / "b") == {}


def test_deploy_and_quantize_say_how_good_they_are(folder, tmp_path, capsys):
    np.savez(tmp_path / "many.npz", x=tiny_models.samples(80))
    options = ("--calibration", tmp_path / "many.npz", "--profile", "int8-4x4", "--output", tmp_path / "d")
    document = call(capsys, "deploy", folder / "m.onnx", *options)["quantization"]
    quality = document["quality"]
    assert (document["samples"], quality["samples"], quality["held_back"]) == (70, 10, True)
    assert document["method"] in ("mse", "minmax", "percentile")
    assert {output["name"] for output in quality["outputs"]} == {o.name for o in load_program(tmp_path / "d").outputs}
    assert all(output["sqnr_db"] > 20 for output in quality["outputs"] if output["sqnr_db"] is not None)
    assert all(layer["sqnr_db"] > 20 for layer in quality["layers"])
    assert document["warnings"] == []

    spoilt = ("--method", "percentile", "--percentile", "60")
    assert main([*map(str, ("deploy", folder / "m.onnx", *options, *spoilt))]) == 0
    told = capsys.readouterr()
    assert "Outputs against the float model" in told.out
    assert "layers that lose most" in told.out
    assert "in the samples" in told.out
    last = told.err.strip().splitlines()[-1]
    for word in ("warning:", "SQNR", "--method auto", "--activations int16", "--exclude"):
        assert word in last
    file = ("--calibration", tmp_path / "many.npz", "--output", tmp_path / "q.onnx")
    assert call(capsys, "quantize", folder / "m.onnx", *file, *spoilt)["warnings"]


def test_a_stem_is_unrolled_unless_told_otherwise(tmp_path, capsys):
    stem = Stem(channels=3, size=(40, 40), outputs=16, kernel=(7, 7), stride=(2, 2), pad=(3, 3, 3, 3), zero=114)
    model, images = stem_model(stem, 0, quantized=True)
    onnx.save(model, tmp_path / "q.onnx")
    np.save(tmp_path / "x.npy", images)
    (wanted,) = onnx_runtime(tmp_path / "q.onnx", images[:1])
    cycles = {}
    for choice, what in (("--unroll", "quantize, unroll and slice"), ("--no-unroll", "quantize and slice")):
        artifact = tmp_path / choice
        document = call(capsys, "compile", tmp_path / "q.onnx", "--output", artifact, choice)
        assert document["layers"][0]["op"] == what
        cycles[choice] = document["totals"]["ideal_cycles"]
        verified = call(capsys, "verify", artifact, "--input", tmp_path / "x.npy", "--against", tmp_path / "q.onnx")
        assert (verified["match"], verified["max_error_steps"]) == (True, 0)
        call(capsys, "run", artifact, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npz")
        (got,) = np.load(tmp_path / "y.npz").values()
        np.testing.assert_array_equal(got[:1], wanted)
        steps = call(capsys, "map", tmp_path / "q.onnx", choice)["transform"]
        assert (steps[0]["unrolling"] is not None) == (choice == "--unroll")
    assert cycles["--unroll"] <= 0.75 * cycles["--no-unroll"]


@pytest.mark.parametrize("device", ["reference", "csim"])
def test_run_agrees_with_onnx_runtime_on_the_quantized_model(folder, tmp_path, capsys, device):
    document = call(
        *(capsys, "run", folder / "a", "--input", folder / "x.npy", "--output", tmp_path / "y.npz", "--device", device)
    )
    assert [output["shape"] for output in document["outputs"]] == [[5, 4], [5, 3]]
    wanted, determinant = onnx_runtime(folder / "q.onnx", np.load(folder / "x.npy"))
    got = np.load(tmp_path / "y.npz")
    np.testing.assert_allclose(got["y"], wanted, atol=0.02)  # one step of the logits, behind Softmax
    np.testing.assert_array_equal(got["d"], determinant)
    assert (got["y"].argmax(1) == wanted.argmax(1)).all()


def test_csim_is_the_reference_for_any_batch_and_any_threads(folder):
    x = tiny_models.samples(7, seed=5)
    (expected, _) = Session(folder / "a", device="reference").run(None, {"x": x})
    for threads in (1, 2, 3, 9):
        with Session(folder / "a", threads=threads) as session:
            for images in (x, x[:1], x[:3], x):
                np.testing.assert_array_equal(session.run(["y"], {"x": images})[0], expected[: len(images)])
            assert session.profile[0].images == 18


def test_verify_and_against(folder, capsys):
    document = call(capsys, "verify", folder / "a", "--images", "3", "--seed", "7", "--against", folder / "q.onnx")
    assert set(document) == {"match", "max_error_steps", "first_mismatch", "layers", "against"}
    assert (document["match"], document["max_error_steps"], document["first_mismatch"]) == (True, 0, None)
    assert {layer["name"] for layer in document["layers"]} == {"first", "second", "classes"}
    assert all(layer["values"] > 0 for layer in document["layers"])
    found = document["against"]
    assert (found["match"], found["kind"], found["images"]) == (True, "quantized", 3)
    assert {layer["layer"] for layer in found["layers"]} >= {"first", "second", "classes"}
    errors = {entry["output"]: entry["max_error"] for entry in found["outputs"]}
    assert errors["d"] == 0
    assert errors["y"] < 0.02


def test_verify_finds_a_flipped_weight_against_the_model(folder, tmp_path, capsys):
    """The device agrees with the reference, since both read the wrong weight; the model does not."""
    program = load_program(folder / "a")
    weights = program.weights.copy()
    weights[weights.nonzero()[0][::3]] ^= 0x70
    save_program(dataclasses.replace(program, weights=weights), tmp_path / "a")
    arguments = ("verify", tmp_path / "a", "--against", folder / "q.onnx", "--input", folder / "x.npy")
    document = call(capsys, *arguments, code=3)
    assert document["match"] is True
    assert document["against"]["match"] is False
    assert max(entry["max_error"] for entry in document["against"]["outputs"]) > 0.05
    assert main([*map(str, arguments)]) == 3
    error = capsys.readouterr().err
    assert f"first in layer {document['against']['first_mismatch']['layer']!r}" in error


def test_verify_against_the_float_model(folder, tmp_path, capsys):
    """Quantization is apart from it by so many dB; one layer negated in it is named."""
    arguments = ("verify", folder / "a", "--input", folder / "x.npy", "--against")
    document = call(capsys, *arguments, folder / "m.onnx")["against"]
    assert (document["match"], document["kind"]) == (True, "float")
    model = onnx.load(folder / "m.onnx")
    conv = next(node for node in model.graph.node if node.name == "second")
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == conv.input[1])
    weights.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weights), weights.name))
    onnx.save(model, tmp_path / "wrong.onnx")
    document = call(capsys, *arguments, tmp_path / "wrong.onnx", "--sqnr", "25", code=3)
    assert document["against"]["first_mismatch"]["layer"] == "second"


def test_float_profile(folder, tmp_path, capsys):
    call(capsys, "compile", folder / "m.onnx", "--profile", "fp32-4x4", "--output", tmp_path / "a")
    assert call(capsys, "verify", tmp_path / "a", "--images", "2")["match"] is True
    x = np.load(folder / "x.npy")
    with Session(tmp_path / "a") as session:
        got = session.run(None, {"x": x})
    for mine, theirs in zip(got, onnx_runtime(folder / "m.onnx", x), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_bench_labels_every_number(folder, tmp_path, capsys):
    arguments = ("deploy", folder / "m.onnx", "--calibration", folder / "samples.npz", "--profile", "int8-4x4")
    call(capsys, *arguments, "--output", tmp_path / "a")
    document = call(capsys, "bench", tmp_path / "a", "--threads", "1", "--repeats", "5", "--warmup", "1")
    assert set(document) == {"cpu", "answers", "fpga"}
    answers = document["answers"]
    assert (answers["images"], answers["accuracy"]) == (1, None)
    assert answers["exact_db"] > 20
    rows = [row for row in document["cpu"] if not answers["differ"] or row["model"] != PRECISE]
    assert [(row["model"], row["threads"], row["label"]) for row in rows] == [
        ("fp32", 1, "measured"),
        ("int8", 1, "measured"),
    ]
    assert all(0 < row["best_ms"] <= row["median_ms"] <= row["p95_ms"] for row in document["cpu"])
    assert all(row["processor"] and row["repeats"] == 5 and row["warmup"] == 1 for row in document["cpu"])
    fpga = document["fpga"]
    assert set(fpga) == {"layers", "totals"}
    keys = {"name", "ideal_cycles", "predicted_cycles", "simulated_cycles"}
    assert all(set(layer) == keys and layer["simulated_cycles"] is None for layer in fpga["layers"])
    totals = fpga["totals"]
    assert totals["predicted_cycles"] == sum(layer["predicted_cycles"] for layer in fpga["layers"])
    assert [part["label"] for part in totals["parts"]] == ["predicted", "predicted", "measured", "measured"]
    assert totals["total_ms"] == pytest.approx(sum(part["ms"] for part in totals["parts"]))
    assert totals["bytes_to_device"] == 12 * 12 * 4  # three channels in words of four
    fpga_part = totals["parts"][0]
    assert fpga_part["ms"] == pytest.approx(1e3 * totals["predicted_cycles"] / (totals["clock_mhz"] * 1e6))


def test_float_cycles_are_said_to_have_no_kernel_behind_them(folder, tmp_path, capsys):
    said = "no kernel stands behind the cycles of fp32-4x4"
    deploy = ("deploy", folder / "m.onnx", "--profile", "fp32-4x4", "--output", tmp_path / "f")
    bench = ("bench", tmp_path / "f", "--threads", "1", "--repeats", "1", "--warmup", "0")
    for command, totals in ((deploy, lambda found: found["totals"]), (bench, lambda found: found["fpga"]["totals"])):
        capsys.readouterr()
        assert main([*map(str, command)]) == 0
        assert said in " ".join(capsys.readouterr().out.split())
        assert said in totals(call(capsys, *command))["cycles_caveat"]
    assert call(capsys, "bench", folder / "a", *bench[2:])["fpga"]["totals"]["cycles_caveat"] == ""


def test_bench_with_labels(folder, tmp_path, capsys):
    np.savez(tmp_path / "labelled.npz", x=np.load(folder / "x.npy"), label=np.arange(5) % 4)
    models = ("--model", folder / "m.onnx", "--quantized", folder / "q.onnx", "--threads", "1", "--repeats", "2")
    found = call(capsys, "bench", folder / "a", "--input", tmp_path / "labelled.npz", *models)["answers"]
    assert found["images"] == 5
    assert set(found["accuracy"]) == {"fp32", "timed", "exact"}
    assert main([*map(str, ("bench", folder / "a", "--input", tmp_path / "labelled.npz", *models))]) == 0
    assert "accuracy: timed " in capsys.readouterr().out


def test_map_shows_the_steps(folder, tmp_path, capsys):
    document = call(capsys, "map", folder / "m.onnx", "--profile", "int8-4x4", "--drawing", tmp_path / "g.dot")
    assert set(document) == {"merge", "place", "transform", "adjust"}
    assert (tmp_path / "g.dot").read_text().startswith("digraph")
    assert main(["map", str(folder / "m.onnx"), "--profile", "int8-4x4"]) == 0
    assert "Merge: layers of the accelerator" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["check", "verify", "run", "bench"])
def test_human_output_has_no_surprises(folder, capsys, verb):
    arguments = {
        "check": [str(folder / "m.onnx")],
        "verify": [str(folder / "a")],
        "run": [str(folder / "a"), "--input", str(folder / "x.npy")],
        "bench": [str(folder / "a"), "--quantized", str(folder / "q.onnx"), "--repeats", "2"],
    }[verb]
    assert main([verb, *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.isascii()
    assert all(line == line.rstrip() for line in captured.out.splitlines())


def test_changed_shapes_by_option(folder, tmp_path, capsys):
    call(
        capsys,
        "deploy",
        folder / "m.onnx",
        *("--calibration", folder / "samples.npz", "--profile", "int8-4x4", "--output", tmp_path / "a"),
        *("--shape", "x=1x3x12x12", "--method", "percentile", "--percentile", "99.9", "--cpu", "classes"),
    )
    program = load_program(tmp_path / "a")
    assert {layer.name for layer in program.layers if layer.placement == "cpu"} >= {"classes", "softmax"}
    assert call(capsys, "verify", tmp_path / "a")["match"] is True
