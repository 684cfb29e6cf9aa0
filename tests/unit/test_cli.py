"""The command line: golden sessions, exit codes, and what reaches stdout and stderr."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sliceflow.cli import main
from sliceflow.graph.artifact import load_program, save_program
from tests.support import golden, tiny_program
from tests.support.signals import take_interrupts

SLICEFLOW = [sys.executable, "-c", "import sys; from sliceflow.cli import main; sys.exit(main())"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("golden")
    golden.prepare(path)
    return path


@pytest.mark.parametrize("path", sorted(golden.FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_golden_sessions(path, folder):
    """See tests/support/golden.py for how to write these files again."""
    text = path.read_text()
    assert golden.play(text, folder) == text


def test_golden_sessions_would_notice_a_change(folder):
    text = "$ sliceflow run nothing --input x.npy\nexit 1\nerr| error: there is an artifact\n"
    assert golden.play(text, folder) != text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "tiny", "--device", "reference", "--input", "objects.npy"], 1, "plain arrays"),
        (["run", "tiny", "--device", "reference", "--input", "cut.npy"], 1, "plain arrays"),
        (["run", "tiny", "--device", "reference", "--input", "text.npz"], 1, "plain arrays"),
        (["bench", "tiny", "--device", "reference", "--model", "model.onnx"], 1, "cannot run the model"),
        (["check", "broken.onnx"], 1, "not valid ONNX"),
        (["run", "tiny", "--input", "x.npy", "--threads", "0"], 2, "--threads"),
        (["verify", "tiny", "--images", "many"], 2, "--images"),
    ],
)
def test_messages_with_words_of_others(folder, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(folder)
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert main([*arguments, "--json"]) == code
    captured = capsys.readouterr()
    error = json.loads(captured.out)["error"]
    assert message in error["what"]
    assert error["exit_code"] == code


def test_run_writes_what_the_layer_means(folder, tmp_path, capsys):
    x = np.load(folder / "x.npy")
    for name in ("y.npz", "y.npy"):
        arguments = ["run", str(folder / "tiny"), "--device", "reference", "--input", str(folder / "x.npy")]
        assert main([*arguments, "--output", str(tmp_path / name), "--json"]) == 0
        content = np.load(tmp_path / name)
        np.testing.assert_array_equal(content["y"] if name == "y.npz" else content, tiny_program.expected(x))
        document = json.loads(capsys.readouterr().out)
        assert document["outputs"] == [{"name": "y", "shape": [2, 5, 6, 7], "dtype": "float32"}]
        assert document["images"] == 2


def test_verify_ends_with_three_at_a_mismatch(folder, monkeypatch, capsys):
    from sliceflow.devices import reference

    # The verb imports this module when it runs; imported under the patch, it would keep the spoiled class for good.
    importlib.import_module("sliceflow.runtime.verify")
    real = reference.ReferenceDevice

    class Spoiled(real):
        def read(self, word_address, byte_count):
            return bytes(255 - byte for byte in super().read(word_address, byte_count))

    monkeypatch.setattr(reference, "ReferenceDevice", Spoiled)
    assert main(["verify", str(folder / "tiny"), "--device", "reference", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"match", "max_error_steps", "first_mismatch", "layers"}
    assert document["match"] is False
    assert document["first_mismatch"]["layer"] == "conv"
    assert main(["verify", str(folder / "tiny"), "--device", "reference"]) == 3
    captured = capsys.readouterr()
    assert "NO" in captured.out
    assert "error: reference differs from the reference, first in layer 'conv'" in captured.err
    assert "tensor 'y_q', image 0, channel 0, row 0, column 0 (slice 0, lane 0)" in captured.err


def test_our_own_faults_are_told_as_such(folder, monkeypatch, capsys):
    from sliceflow.runtime import session

    def broken(*_, **__):
        raise ZeroDivisionError("nobody expected this")

    monkeypatch.setattr(session.Session, "run", broken)
    arguments = ["run", str(folder / "tiny"), "--device", "reference", "--input", str(folder / "x.npy")]
    assert main(arguments) == 4
    captured = capsys.readouterr()
    assert "this is our fault" in captured.err
    assert "ZeroDivisionError: nobody expected this" in captured.err
    assert "Traceback" not in captured.err
    assert main([*arguments, "--verbose", "--json"]) == 4
    captured = capsys.readouterr()
    assert "Traceback" in captured.err
    assert json.loads(captured.out)["error"]["exit_code"] == 4


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "not enough memory"),
        (OSError(28, "No space left on device", "/data/y.npz"), "No space left on device"),
        (PermissionError(13, "Permission denied", "/data"), "Permission denied"),
    ],
)
def test_faults_of_the_machine_are_told_without_traceback(folder, monkeypatch, capsys, error, message):
    from sliceflow.runtime import session

    def broken(*_, **__):
        raise error

    monkeypatch.setattr(session.Session, "run", broken)
    assert main(["run", str(folder / "tiny"), "--device", "reference", "--input", str(folder / "x.npy")]) == 1
    assert message in capsys.readouterr().err


def test_control_characters_do_not_reach_the_terminal(tmp_path, capsys):
    assert main(["run", str(tmp_path / "\x1b[31mred\x07"), "--input", "x.npy"]) == 1
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\\x1b[31mred\\x07" in err


def test_doctor_lists_everything(capsys):
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {"numpy", "g++", "verilator", "pyxrt", "v++"} <= {tool["name"] for tool in document["tools"]}
    assert all(tool["fix"] and tool["needed_for"] for tool in document["tools"] if not tool["found"])
    assert document["devices"] == ["csim", "reference", "rtl", "serial-emulated", "serial:PORT"]
    kernels = document["integer_kernels"]
    assert kernels["exact"] == (set(kernels["got"].values()) == {kernels["expected"]})
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert "needed for" in told
    assert kernels["told"] in told


def test_doctor_tells_a_compiler_that_does_not_work(monkeypatch, tmp_path, capsys):
    fake = tmp_path / "g++"
    fake.write_text("#!/bin/sh\necho broken compiler\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert main(["doctor", "--json"]) == 0
    tools = {tool["name"]: tool for tool in json.loads(capsys.readouterr().out)["tools"]}
    assert tools["g++"]["found"] is False
    assert "broken compiler" in tools["g++"]["version"]


@pytest.mark.parametrize("module", ["pydantic", "torch", "torch_pruning"])
def test_a_missing_package_is_named_with_its_cure(tmp_path, module):
    root = Path(__file__).parents[2]
    arguments = ["prune", str(root / "models/recipes/chain_digits.toml"), "--output", str(tmp_path / "out")]
    code = f"import sys; sys.modules[{module!r}] = None; from sliceflow.cli import main; sys.exit(main({arguments!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 1
    assert f"error: {module.replace('_', '-')} is not installed" in done.stderr
    assert "fix: pip install 'sliceflow[" in done.stderr


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from sliceflow.cli import main; main(['--help']); main(['deploy', '--help'])\n"
        "heavy = {'numpy', 'onnx', 'onnx_ir', 'onnxruntime', 'torch', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_full_disk_behind_stdout_ends_with_one():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run([*SLICEFLOW, "doctor", "--json"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_is_no_news():
    process = subprocess.Popen([*SLICEFLOW, "doctor", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1
    process.stderr.close()


def test_interrupting_leaves_nothing_behind(tmp_path):
    save_program(tiny_program.tiny_program(), tmp_path / "a")
    np.save(tmp_path / "x.npy", tiny_program.images(50_000, 0))
    arguments = ["run", "a", "--device", "reference", "--input", "x.npy", "--output", "y.npz"]
    process = subprocess.Popen(
        [*SLICEFLOW, *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=take_interrupts
    )
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "interrupted\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "x.npy"]
    assert load_program(tmp_path / "a").name == "tiny"
