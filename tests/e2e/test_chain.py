"""The whole chain on real digits: from a recipe to a verified artifact, stage by stage."""

import json

import numpy as np
import pytest

from sliceflow.cli import main
from sliceflow.errors import UserError
from sliceflow.graph.artifact import load_program
from sliceflow.runtime import Session
from sliceflow.study import chain

RECIPE = """
[model]
build = "models.digits:network"
arguments = { width = 12 }

[data]
load = "models.digits:datasets"

[pretrain]
epochs = 3
optimizer = "adamw"
learning_rate = 0.01

[finetune]
epochs = 3
optimizer = "adamw"
learning_rate = 0.005

[prune]
method = "l2-filter"
ratio = 0.5
options = { layers = "all" }

[deploy]
profile = "int8-4x4"
align = "up"
align_epochs = 1
"""


def run(path, recipe=RECIPE):
    (path / "recipe.toml").write_text(recipe)
    return main(["chain", str(path / "recipe.toml"), "--output", str(path / "out"), "--threads", "1", "--json"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("chain")
    assert run(path) == 0
    return path / "out"


def stages(folder):
    return {stage["name"]: stage["measurement"] for stage in json.loads((folder / "report.json").read_text())["stages"]}


def test_each_stage_has_its_figures(folder):
    found = stages(folder)
    assert list(found) == ["trained", "pruned", "simplified", "aligned"]
    sizes = {name: (m["parameters"], m["macs"], m["hardware"]["cycles"]) for name, m in found.items()}
    assert sizes["pruned"] == sizes["trained"], "masked channels are still multiplied"
    assert found["pruned"]["nonzero"] < found["trained"]["nonzero"]
    assert all(new < old for new, old in zip(sizes["simplified"], sizes["pruned"], strict=True))
    assert found["simplified"]["accuracy"] == found["pruned"]["accuracy"], "simplification changes nothing"
    assert sizes["aligned"][0] > sizes["simplified"][0]
    assert sizes["aligned"][2] <= sizes["simplified"][2], "lanes that idled cost nothing"
    assert found["aligned"]["accuracy"]["top1"] > 0.85
    outputs = [layer["outputs"] for layer in found["aligned"]["layers"][:-1]]
    assert all(width % 4 == 0 for width in outputs), outputs


def test_the_artifact_computes_what_the_report_says(folder):
    report = json.loads((folder / "report.json").read_text())
    assert report["verification"]["match"] is True
    with np.load(folder / "pruned" / "evaluation.npz") as arrays:
        images, labels = arrays["input"], arrays["label"]
    with Session(folder / "artifact", "csim", threads=1) as session:
        (outputs,) = session.run(None, {"input": images})
    last = report["stages"][-1]["measurement"]["hardware"]
    assert (outputs.argmax(1) == labels).mean() == pytest.approx(last["accuracy"]["top1"])
    assert sum(x.predicted_cycles for x in load_program(folder / "artifact").fpga_layers) == last["cycles"]
    assert abs(report["quantized"]["top1"] - last["accuracy"]["top1"]) <= 0.01


def test_the_page_is_there(folder):
    page = (folder / "report.html").read_text()
    assert "aligned" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_second_run_is_the_same_and_trains_nothing(folder, monkeypatch):
    before = stages(folder)
    monkeypatch.setattr("sliceflow.pruning.training.fit._Fit._epoch", lambda *_: pytest.fail("it trained again"))
    assert run(folder.parent) == 0
    assert stages(folder) == before


def test_prune_and_deploy_do_the_same_from_the_command_line(folder, tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    pruned = tmp_path / "pruned"
    assert main(["prune", str(recipe), "--output", str(pruned), "--threads", "1", "--json"]) == 0
    arguments = ["--calibration", str(pruned / "calibration.npz"), "--profile", "int8-4x4"]
    capsys.readouterr()
    artifact = str(tmp_path / "artifact")
    assert main(["deploy", str(pruned / "pruned.onnx"), *arguments, "--output", artifact, "--json"]) == 0
    totals = json.loads(capsys.readouterr().out)["totals"]
    aligned = stages(folder)["aligned"]
    assert totals["predicted_cycles"] == aligned["hardware"]["cycles"]
    assert totals["macs"] == aligned["macs"]
    assert main(["verify", artifact, "--device", "csim", "--json"]) == 0


@pytest.mark.parametrize(
    ("place", "stage"),
    [
        ("prune_recipe", "prune"),
        ("align_pruned", "align"),
        ("deliver", "export"),
        ("predict", "quantize"),
        ("save_program", "map"),
        ("verify", "verify"),
    ],
)
def test_errors_name_their_stage(folder, monkeypatch, capsys, place, stage):
    def fail(*_: object, **__: object) -> None:
        raise UserError("something went wrong", where="here")

    monkeypatch.setattr(chain, place, fail)
    capsys.readouterr()
    assert run(folder.parent) == 1
    assert json.loads(capsys.readouterr().out)["error"]["where"] == f"stage {stage}, here"


def test_a_device_that_computes_something_else_is_told(folder, monkeypatch, capsys):
    """A deliberate fault: one bit of what the device wrote is flipped."""
    original = chain.open_device

    def broken(*arguments, **options):
        device = original(*arguments, **options)
        read = device.read

        def flipped(address, count):
            data = bytearray(read(address, count))
            data[0] ^= 1
            return bytes(data)

        device.read = flipped
        return device

    monkeypatch.setattr(chain, "open_device", broken)
    capsys.readouterr()
    assert run(folder.parent) == 3
    assert json.loads(capsys.readouterr().out)["verification"]["match"] is False
