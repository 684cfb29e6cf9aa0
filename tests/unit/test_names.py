"""Names that do not encode: in paths, in models, and on terminals that have fewer characters."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from sliceflow.cli import main
from sliceflow.graph.artifact import load_program, save_program
from sliceflow.text import encodable, printable
from tests.support import tiny_models, tiny_program

NOT_TEXT = os.fsdecode(b"\xff\xfe")
STRANGE = ["né🙂", "a\nb", "c\rd\x1b[31m", "e\u202ef", "g/h ü", "", "\u2028 x", "日本", 'q"uo\\te']
MAIN = "import sys; from sliceflow.cli import main; sys.exit(main())"


def test_bytes_that_are_no_text_are_escaped() -> None:
    assert encodable({NOT_TEXT: ["\ud800", ("é🙂", 1, None, 2.5)]}) == {r"\xff\xfe": [r"\ud800", ["é🙂", 1, None, 2.5]]}
    assert printable(f"{NOT_TEXT}\x1b\u202e\n🙂") == "\\xff\\xfe\\x1b\\u202e\n🙂"


def test_a_program_of_any_name_is_written_and_read(tmp_path: Path) -> None:
    program = dataclasses.replace(tiny_program.tiny_program(), name=f"{NOT_TEXT}\ud800🙂")
    save_program(program, tmp_path / "a")
    assert load_program(tmp_path / "a").name == r"\xff\xfe\ud800🙂"
    (tmp_path / "a" / "manifest.json").read_text(encoding="utf-8")


def say(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Run a verb twice, for humans and for programs; what the latter read."""
    code = main(arguments)
    told = capsys.readouterr()
    assert code == 0, told.err
    (told.out + told.err).encode()
    code = main([*arguments, "--json"])
    told = capsys.readouterr()
    assert code == 0, told.err
    document = json.loads(told.out)
    json.dumps(document, ensure_ascii=False).encode()
    return dict(document)


def test_every_verb_works_on_paths_that_are_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model, samples, artifact, quantized = (f"{NOT_TEXT}{end}" for end in (".onnx", ".npz", "_a", "_q.onnx"))
    onnx.save(tiny_models.digit_model(), "m.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    Path("m.onnx").rename(model)
    with Path(samples).open("wb") as stream:
        np.savez(stream, x=tiny_models.samples(4))
    profile = ("--profile", "int8-4x4")
    say(capsys, "check", model, *profile)
    written = say(capsys, "simplify", model, "--output", f"{NOT_TEXT}_s.onnx")
    assert written["output"] == r"\xff\xfe_s.onnx"
    assert written["difference"] is not None
    say(capsys, "quantize", model, "--calibration", samples, "--output", quantized)
    say(capsys, "map", model, *profile, "--drawing", f"{NOT_TEXT}.dot")
    Path(f"{NOT_TEXT}.dot").read_text(encoding="utf-8")
    say(capsys, "deploy", model, "--calibration", samples, *profile, "--output", artifact)
    assert load_program(Path(artifact)).name == r"\xff\xfe"
    say(capsys, "compile", quantized, *profile, "--output", artifact)
    say(capsys, "run", artifact, "--input", samples, "--output", f"{NOT_TEXT}_y.npz", "--device", "reference")
    assert np.load(open(f"{NOT_TEXT}_y.npz", "rb"))["y"].shape == (4, 4)  # noqa: PTH123, SIM115
    verify = ("verify", artifact, "--input", samples, "--device", "reference")
    assert say(capsys, *verify, "--against", quantized)["match"]


@pytest.mark.parametrize(
    ("environment", "form"),
    [
        ({"PYTHONIOENCODING": "ascii"}, []),
        ({"PYTHONIOENCODING": "latin-1"}, ["--json"]),
        ({"LC_ALL": "C"}, []),
    ],
    ids=["ascii", "latin-1 and JSON", "C"],
)
def test_terminals_with_few_characters_show_the_rest_escaped(
    environment: dict[str, str], form: list[str], tmp_path: Path
) -> None:
    model = tiny_models.digit_model(softmax=True, unknown=True)
    for node, name in zip(model.graph.node, STRANGE, strict=True):
        node.name = name
    model.graph.input[0].name = model.graph.node[0].input[0] = model.graph.node[-1].input[0] = "x🙂\n"
    onnx.save(model, tmp_path / "m.onnx")
    np.savez(tmp_path / "x.npz", tiny_models.samples(4))
    target = tmp_path / os.fsdecode("ä🙂".encode() + b"\xff")
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "PYTHONIO", "LANG"))}
    command = [sys.executable, "-c", MAIN, "deploy", "m.onnx", "--calibration", "x.npz", "--profile", "int8-4x4"]
    done = subprocess.run(
        [*command, "--output", os.fsencode(target), *form],
        cwd=tmp_path,
        env=variables | environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    assert r"\xff" in done.stdout.decode(encoding)
    done.stderr.decode(encoding)
    if form:
        json.dumps(json.loads(done.stdout.decode("ascii")), ensure_ascii=False).encode()
    names = [layer.name for layer in load_program(target).layers]
    assert {"né🙂", "c\rd\x1b[31m"} & set(names), names
