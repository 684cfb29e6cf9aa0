"""Golden sessions: text files with commands, their exit codes and what they print.

python -m tests.support.golden        plays all files again and rewrites them; read the difference before you commit it
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx

from sliceflow.cli import main
from sliceflow.graph.artifact import save_program
from sliceflow.graph.program import FORMAT_VERSION
from tests.support import tiny_models, tiny_program

FOLDER = Path(__file__).resolve().parent.parent / "golden"


def prepare(folder: Path) -> None:
    """Put files into a folder for the commands to work on."""
    save_program(tiny_program.tiny_program(), folder / "tiny")
    for name in ("cut", "flipped", "foreign", "newer"):
        shutil.copytree(folder / "tiny", folder / name)
    with (folder / "cut/weights.bin").open("r+b") as stream:
        stream.truncate(100)
    data = bytearray((folder / "flipped/program.bin").read_bytes())
    data[600] ^= 4
    (folder / "flipped/program.bin").write_bytes(data)
    (folder / "foreign/manifest.json").write_text('{"format": "something else"}')
    text = (folder / "newer/manifest.json").read_text()
    (folder / "newer/manifest.json").write_text(
        text.replace(f'"format_version": {FORMAT_VERSION}', '"format_version": 9')
    )
    (folder / "mine").mkdir()
    (folder / "mine/thesis.txt").write_text("irreplaceable")
    x = tiny_program.images(2, seed=0)
    np.save(folder / "x.npy", x)
    np.save(folder / "double.npy", x.astype(np.float64))
    np.save(folder / "small.npy", x[:, :, :4])
    np.save(folder / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(folder / "other.npz", a=x, b=x)
    (folder / "cut.npy").write_bytes((folder / "x.npy").read_bytes()[:300])
    (folder / "text.npz").write_text("hello")
    onnx.save(tiny_models.digit_model(softmax=True, unknown=True), folder / "model.onnx")
    (folder / "broken.onnx").write_bytes((folder / "model.onnx").read_bytes()[:500])
    np.savez(folder / "samples.npz", x=tiny_models.samples(8))
    (folder / "bad.toml").write_text("name = 'x'\nspeed = 9\n")


def play(text: str, folder: Path) -> str:
    """Run the commands of a golden file in a prepared folder.

    Args:
        text: the file; lines that begin with ``$ sliceflow`` are commands, those with ``#`` are kept.
        folder: where to run.

    Returns:
        The file as it should be.
    """
    before = Path.cwd()
    os.chdir(folder)
    try:
        return "\n".join(_section(line) for line in text.splitlines() if line.startswith(("$ ", "#")))
    finally:
        os.chdir(before)


def _section(line: str) -> str:
    if line.startswith("#"):
        return line + "\n"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(shlex.split(line)[2:])
    parts = [line, f"exit {code}"]
    for name, stream in (("out", out), ("err", err)):
        parts += [f"{name}| {shown}".rstrip() for shown in stream.getvalue().splitlines()]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.txt")):
        with tempfile.TemporaryDirectory() as temporary:
            prepare(Path(temporary))
            path.write_text(play(path.read_text(), Path(temporary)))
