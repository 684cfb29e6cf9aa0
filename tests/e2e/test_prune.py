"""``sliceflow prune``: from a recipe to files that ``deploy`` takes; killed, resumed, and with wrong recipes."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from onnx import numpy_helper

from sliceflow.cli import main
from sliceflow.onnx_runtime import exact_session
from sliceflow.pruning.recipes.recipe import load_recipe
from sliceflow.pruning.recipes.sources import build_model
from sliceflow.runtime import Session
from tests.support.signals import take_interrupts

ROOT = Path(__file__).parents[2]
NET = """
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

def make():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 10),
    )

def sets():
    data = load_digits()
    whole = TensorDataset(torch.tensor(data.images / 16, dtype=torch.float32)[:, None], torch.tensor(data.target))
    return [torch.utils.data.Subset(whole, range(*part)) for part in ((0, 800), (800, 1000), (1000, 1300))]
"""
RECIPE = """
[model]
build = "net.py:make"
[data]
load = "net.py:sets"
[pretrain]
epochs = 4
learning_rate = 0.1
momentum = 0.9
[finetune]
epochs = 3
learning_rate = 0.05
momentum = 0.9
weight_decay = 0.0001
[prune]
method = "taylor"
ratio = 0.5
options = { schedule = "uniform", rounds = 2 }
[export]
calibration = 50
evaluation = 120
"""
FILES = {
    *("pruned.onnx", "pruned.safetensors", "dense.safetensors", "masks.safetensors"),
    *("calibration.npz", "evaluation.npz", "report.json", "checkpoints"),
}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "r.toml").write_text(RECIPE)
    return tmp_path


def call(capsys, *arguments, code=0):
    capsys.readouterr()
    assert main([*map(str, arguments), "--json"]) == code, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def check_files(output, document, recipe):
    """What was written belongs together: torch, ONNX Runtime, masks, report."""
    assert {path.name for path in output.iterdir()} == FILES
    assert json.loads((output / "report.json").read_text()) == {k: v for k, v in document.items() if k != "output"}
    model = build_model(recipe).eval()
    tensors, masks = (safetensors.torch.load_file(output / f"{name}.safetensors") for name in ("pruned", "masks"))
    model.load_state_dict(tensors)
    assert masks
    assert all(not tensors[name][~live].any() for name, live in masks.items())
    assert document["masked"] == sum(int((~live).sum()) for live in masks.values())
    sets = np.load(output / "evaluation.npz")
    with torch.no_grad():
        expected = model(torch.from_numpy(sets["input"])).numpy()
    session = exact_session(output / "pruned.onnx", where="test")
    (actual,) = session.run(None, {"input": sets["input"]})
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)
    sizes = [int(np.prod(t.dims)) for t in onnx.load(output / "pruned.onnx").graph.initializer if t.data_type == 1]
    assert document["parameters_after"] == sum(sizes) < document["parameters_before"]
    weights = [
        numpy_helper.to_array(t) for t in onnx.load(output / "pruned.onnx").graph.initializer if t.data_type == 1
    ]
    assert document["nonzero_after"] == sum(int(np.count_nonzero(w)) for w in weights)
    assert document["macs_after"] < document["macs_before"]
    assert (actual.argmax(1) == sets["label"]).mean() == pytest.approx(document["exported"]["metric"], abs=0.1)


def test_from_recipe_to_accelerator(folder, capsys):
    document = call(capsys, "prune", folder / "r.toml", "--output", folder / "out")
    assert document["dense"]["metric"] > 0.85
    assert document["exported"]["metric"] == document["pruned"]["metric"] > 0.8
    check_files(folder / "out", document, load_recipe(folder / "r.toml"))
    arguments = ("deploy", folder / "out/pruned.onnx", "--calibration", folder / "out/calibration.npz")
    call(capsys, *arguments, "--profile", "int8-4x4", "--output", folder / "artifact")
    sets = np.load(folder / "out/evaluation.npz")
    assert (len(np.load(folder / "out/calibration.npz")["input"]), len(sets["label"])) == (50, 120)
    with Session(folder / "artifact", device="reference") as session:
        (outputs,) = session.run(None, {"input": sets["input"][:40]})
    assert (outputs.argmax(1) == sets["label"][:40]).mean() > 0.75


def test_the_shipped_recipe(tmp_path, capsys, monkeypatch):
    """The same sections on fewer digits and for fewer epochs."""
    monkeypatch.chdir(ROOT)
    text = (ROOT / "models/recipes/digits.toml").read_text()
    for old, new in (
        ('datasets"', 'datasets"\narguments = { train = 320, validation = 64 }'),
        ("epochs = 8", "epochs = 2"),
        ("epochs = 4", "epochs = 1"),
        ("low_epochs = 2", "low_epochs = 1"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    (tmp_path / "r.toml").write_text(text)
    document = call(capsys, "prune", tmp_path / "r.toml", "--output", tmp_path / "out", "--threads", 1)
    check_files(tmp_path / "out", document, load_recipe(tmp_path / "r.toml"))
    assert document["exported"]["examples"] == 1000


def start(folder, output):
    code = "import sys; from sliceflow.cli import main; sys.exit(main())"
    arguments = ["prune", "r.toml", "--output", str(output), "--threads", "1"]
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, preexec_fn=take_interrupts)


def test_killed_it_goes_on_to_the_same_network(folder, capsys):
    assert main(["prune", str(folder / "r.toml"), "--output", str(folder / "whole"), "--threads", "1"]) == 0
    process = start(folder, folder / "out")
    deadline = time.monotonic() + 120
    while not list((folder / "out/checkpoints").glob("*/001-*.pt")) and time.monotonic() < deadline:
        time.sleep(0.005)
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (folder / "out/report.json").exists()
    assert main(["prune", str(folder / "r.toml"), "--output", str(folder / "out"), "--threads", "1"]) == 0
    for name in ("pruned.safetensors", "masks.safetensors", "pruned.onnx", "dense.safetensors"):
        assert (folder / "out" / name).read_bytes() == (folder / "whole" / name).read_bytes(), name
    reports = [json.loads((folder / run / "report.json").read_text()) for run in ("out", "whole")]
    assert reports[0] == reports[1]
    assert not list((folder / "out").rglob("*.part"))


def test_interrupted_by_a_user(folder):
    (folder / "r.toml").write_text(RECIPE.replace("epochs = 4", "epochs = 4000"))
    process = start(folder, folder / "out")
    while not list((folder / "out/checkpoints").glob("*/pretrain.pt")):
        time.sleep(0.005)
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    assert "interrupted" in process.communicate(timeout=60)[1]
    assert process.returncode == 130


def test_training_is_shared_and_fresh_forgets_it(folder, capsys):
    arguments = ("prune", folder / "r.toml", "--output", folder / "out")
    first = call(capsys, *arguments)
    (trained,) = (folder / "out/checkpoints").glob("train-*/pretrain.pt")
    stamp = trained.stat().st_mtime_ns
    second = call(capsys, *arguments, "--method", "random", "--ratio", "0.25")
    assert trained.stat().st_mtime_ns == stamp
    assert second["dense"] == first["dense"]
    assert second["recipe"]["prune"]["method"] == "random"
    assert second["parameters_after"] > first["parameters_after"]
    trained.write_bytes(b"damaged")
    failure = call(capsys, *arguments, code=1)["error"]
    assert "checkpoint cannot be read" in failure["what"]
    assert call(capsys, *arguments, "--fresh")["pruned"] == first["pruned"]


def test_given_weights_are_not_trained(folder, capsys):
    call(capsys, "prune", folder / "r.toml", "--output", folder / "out")
    (folder / "w.safetensors").write_bytes((folder / "out/dense.safetensors").read_bytes())
    start_of_training, rest = RECIPE.index("[pretrain]"), RECIPE.index("[finetune]")
    text = RECIPE[:start_of_training] + RECIPE[rest:]
    (folder / "r.toml").write_text(text.replace('make"', 'make"\nweights = "w.safetensors"'))
    document = call(capsys, "prune", folder / "r.toml", "--output", folder / "again")
    assert document["pretraining"] == []
    for name in ("dense", "pruned"):
        assert (folder / f"again/{name}.safetensors").read_bytes() == (folder / f"out/{name}.safetensors").read_bytes()
    (folder / "r.toml").write_text(text)
    failure = call(capsys, "prune", folder / "r.toml", "--output", folder / "third", code=1)["error"]
    assert "not trained" in failure["what"]


WRONG = {
    "no recipe": (["none.toml"], "recipe cannot be read"),
    "unknown method": (["r.toml", "--method", "l9"], "no pruning method 'l9'"),
    "ratio": (["r.toml", "--ratio", "1.5"], "ratio"),
    "options of another method": (["r.toml", "--method", "lobster"], "option"),
    "output is a file": (["r.toml", "--output", "r.toml"], "file cannot be"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_clear_message(folder, capsys, monkeypatch, name):
    monkeypatch.chdir(folder)
    arguments, part = WRONG[name]
    output = [] if "--output" in arguments else ["--output", "out"]
    assert main(["prune", *arguments, *output]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("error:") == 1
    assert part in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("method", ["magnitude", "lobster", "structure-selection"])
def test_other_methods_deliver_the_same_files(folder, capsys, method):
    text = RECIPE.replace('options = { schedule = "uniform", rounds = 2 }\n', "")
    (folder / "r.toml").write_text(text)
    document = call(capsys, "prune", folder / "r.toml", "--output", folder / "out", "--method", method)
    assert {path.name for path in (folder / "out").iterdir()} == FILES
    assert document["exported"]["metric"] > 0.8
    assert document["nonzero_after"] < document["parameters_before"]
    assert 0 < document["sparsity"] < 1


def test_the_users_own_code_is_blamed_where_it_fails(folder, capsys):
    code = "\nclass Bad:\n    def __len__(self):\n        return 100\n    def __getitem__(self, index):\n"
    code += "        if index == 77:\n            raise KeyError('picture 77')\n        return sets()[0][index]\n"
    (folder / "net.py").write_text(NET + code + "\ndef bad():\n    return sets()[0], sets()[1], Bad()\n")
    (folder / "r.toml").write_text(RECIPE.replace("net.py:sets", "net.py:bad").replace("epochs = 4", "epochs = 1"))
    failure = call(capsys, "prune", folder / "r.toml", "--output", folder / "out", code=1)["error"]
    assert failure["what"] == "code that the recipe names failed"
    assert "net.py, line" in failure["where"]
    assert "picture 77" in failure["why"]


def test_labels_that_are_no_classes(folder, capsys):
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 10
    labels[150] = 10  # the network has ten classes
    for name in ("train", "test"):
        np.savez(folder / f"{name}.npz", input=rng.random((200, 1, 8, 8)), label=labels)
    (folder / "r.toml").write_text(RECIPE.replace('load = "net.py:sets"', 'train = "train.npz"\ntest = "test.npz"'))
    failure = call(capsys, "prune", folder / "r.toml", "--output", folder / "out", code=1)["error"]
    assert "labels do not fit" in failure["what"]
    assert "to 10" in failure["where"]


def test_protected_layers_and_untraceable_networks_are_found_before_training(folder, capsys):
    (folder / "r.toml").write_text(
        RECIPE.replace("[export]", 'protect = ["conv1"]\n[export]').replace("= 4", "= 100000")
    )
    failure = call(capsys, "prune", folder / "r.toml", "--output", folder / "out", code=1)["error"]
    assert "no layer 'conv1'" in failure["what"]
    assert "0, 4, 9" in failure["fix"]


def test_bars_on_a_terminal_only(folder):
    """On a terminal stages are drawn; a pipe stays empty."""
    leader, follower = pty.openpty()
    code = "import sys; from sliceflow.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "prune", "r.toml", "--output", "out", "--threads", "1"]
    quiet = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert quiet.stderr == ""
    assert "next: sliceflow deploy" in quiet.stdout
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [*command, "--fresh"], cwd=folder, stderr=follower, stdout=subprocess.DEVNULL, env=environment
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:
            break
        seen += part
    assert process.wait() == 0
    assert b"pretrain" in seen
    assert b"002-train" in seen
    assert b"epochs" in seen
