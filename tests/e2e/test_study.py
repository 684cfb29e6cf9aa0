"""A whole study on real digits: killed and resumed, repeated, with several processes; and what must be refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sliceflow.cli import main
from sliceflow.errors import UserError

RECIPE = """
[model]
build = "models.digits:network"
arguments = { width = 8 }

[data]
load = "models.digits:datasets"

[pretrain]
epochs = 2
optimizer = "adamw"
learning_rate = 0.01

[finetune]
epochs = 1
optimizer = "adamw"
learning_rate = 0.005

[export]
evaluation = 200
calibration = 64

[deploy]
profile = "int8-4x4"
rounds = 1

[study]
methods = ["taylor", "magnitude"]
ratios = [2, 4]
seeds = [0, 1]
aligned = ["taylor"]
"""
CELLS = 2 + 4 * 2 * 2 + 2 * 2 + 2 * 2


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def finished(recipe):
    """The folder of a study that ran in one go."""
    folder = recipe.parent / "finished"
    assert main(["study", str(recipe), "--output", str(folder), "--json"]) == 0
    return folder


def results(folder):
    """Everything that does not depend on when, and how fast, it was made."""
    rows = json.loads((folder / "results.json").read_text())["rows"]
    for row in rows:
        row["figures"].pop("speed_up_software", None)
    return rows


def test_the_results_are_complete(finished):
    rows = results(finished)
    found = {(row["label"], row["ratio"]): row for row in rows}
    assert len(rows) == 1 + 4 * 2 + 2 + 2
    assert ("random", 2) in found
    assert ("random-weights", 4) in found
    assert ("size of taylor, from scratch", 4) in found
    assert all(row["seeds"] == [0, 1] for row in rows)
    assert len(list((finished / "cells").iterdir())) == CELLS
    for row in rows:
        assert 0 < row["figures"]["accuracy"]["mean"] <= 1
        assert row["figures"]["cycles"]["mean"] > 0
    assert json.loads((finished / "results.json").read_text())["failed"] == {}


def test_structure_makes_hardware_faster_and_single_zeros_do_not(finished):
    found = {(row["label"], row["ratio"]): row["figures"] for row in results(finished)}
    assert found["taylor", 4]["speed_up_hardware"]["mean"] > 1.1
    assert found["taylor", 4]["compression"]["mean"] > 2.5
    assert found["magnitude", 4]["compression_nonzero"]["mean"] == pytest.approx(4, rel=0.15)
    assert found["magnitude", 4]["speed_up_hardware"]["mean"] == pytest.approx(1, abs=0.05)
    scratch = found["size of taylor, from scratch", 4]
    assert scratch["parameters"]["values"] == found["taylor", 4]["parameters"]["values"]
    assert scratch["epochs"]["mean"] == 3


def test_aligned_networks_use_their_lanes(finished):
    found = {(row["label"], row["ratio"]): row for row in results(finished)}
    for ratio in (2, 4):
        before, after = found["taylor", ratio]["figures"], found["taylor, aligned", ratio]["figures"]
        assert after["cycles"]["mean"] <= before["cycles"]["mean"]
        assert after["lanes_used"]["mean"] > before["lanes_used"]["mean"]
        widths = [width for row in found["taylor, aligned", ratio]["widths"] for width in row[:-1]]
        assert all(width % 4 == 0 for width in widths), widths
    assert after["epochs"]["mean"] == 2


def test_the_page_and_the_table_are_there(finished):
    page = (finished / "report.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 3
    assert "taylor" in page
    assert "toy data sets" in page
    table = (finished / "table.md").read_text()
    assert table.count("\n| ") == 1 + 13 + 1


def test_the_manifest_says_how_to_repeat_it(finished):
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["identity"]["recipe"]["study"]["seeds"] == [0, 1]
    assert len(manifest["identity"]["data"]["sha256"]) == 64
    assert manifest["identity"]["packages"]["torch"]
    assert {"command", "cpu", "python", "commit"} <= set(manifest["runs"][0])


def test_a_killed_study_goes_on_to_the_same_results(recipe, finished):
    folder = recipe.parent / "killed"
    code = "import sys; from sliceflow.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "study", str(recipe), "--output", str(folder)]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 240
    while len(list(folder.glob("cells/*.json"))) < 5:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = {path: path.read_bytes() for path in folder.glob("cells/*.json")}
    assert 5 <= len(done) < CELLS
    assert main(["study", str(recipe), "--output", str(folder), "--json"]) == 0
    assert all(path.read_bytes() == content for path, content in done.items())
    assert results(folder) == results(finished)


def test_workers_change_nothing(recipe, finished):
    folder = recipe.parent / "workers"
    for path in finished.rglob("*"):  # half of it is there: workers make the rest
        if path.is_file() and "work" not in path.parts and "-r4-" not in path.name and path.name != "results.json":
            target = folder / path.relative_to(finished)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    assert main(["study", str(recipe), "--output", str(folder), "--workers", "2", "--json"]) == 0
    assert results(folder) == results(finished)


def test_another_recipe_is_refused(recipe, finished, tmp_path, capsys):
    other = tmp_path / "other.toml"
    other.write_text(RECIPE.replace("epochs = 1", "epochs = 3"))
    assert main(["study", str(other), "--output", str(finished)]) == 1
    said = capsys.readouterr().err
    assert "recipe.finetune.epochs" in said
    assert "Traceback" not in said


def test_a_changed_result_shows(recipe, finished, tmp_path):
    """A deliberate fault: the comparison of results above is not blind."""
    before = results(finished)
    path = finished / "cells" / "taylor-r2-s0.json"
    content = path.read_text()
    document = json.loads(content)
    document["measurement"]["macs"] += 1
    path.write_text(json.dumps(document))
    try:
        assert main(["study", str(recipe), "--output", str(finished), "--json"]) == 0
        assert results(finished) != before
    finally:
        path.write_text(content)
    assert main(["study", str(recipe), "--output", str(finished), "--json"]) == 0
    assert results(finished) == before


def test_a_cell_that_fails_is_told_and_tried_again(recipe, finished, monkeypatch, capsys):
    """The other results are written; the next run makes the missing one, to the same figures."""
    before = results(finished)
    (finished / "cells" / "taylor-r4-s1.json").unlink()
    with monkeypatch.context() as context:

        def fail(self: object, cell: object, progress: object) -> None:
            raise UserError("it exploded", where="layer 3")

        context.setattr("sliceflow.study.network.Trainer.make", fail)
        assert main(["study", str(recipe), "--output", str(finished)]) == 1
        assert "cell taylor-r4-s1, layer 3" in capsys.readouterr().err
        assert main(["study", str(recipe), "--output", str(finished), "--json"]) == 1
        assert list(json.loads(capsys.readouterr().out)["failed"]) == ["taylor-r4-s1"]
        assert "it exploded" in (finished / "report.html").read_text()
        row = next(row for row in results(finished) if (row["label"], row["ratio"]) == ("taylor", 4))
        assert row["seeds"] == [0]
    assert main(["study", str(recipe), "--output", str(finished), "--json"]) == 0
    assert results(finished) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[study]", "[survey]"), "survey"),
        (('"taylor"', '"tailor"'), "tailor"),
        (('profile = "int8-4x4"', 'profile = "int9"'), "int9"),
        (("[pretrain]\nepochs = 2", "[pretrain]\nepoch = 2"), "epoch"),
    ],
)
def test_mistakes_in_the_recipe_are_named_before_anything_runs(tmp_path, capsys, change, words):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.replace(*change))
    assert main(["study", str(path), "--output", str(tmp_path / "out")]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
