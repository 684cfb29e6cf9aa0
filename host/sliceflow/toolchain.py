"""What is installed, what is missing, what that disables, and how to get it."""

from __future__ import annotations

import dataclasses
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata, util
from pathlib import Path

from sliceflow.devices.rtl.verilator import find_verilator
from sliceflow.errors import UserError

_TIMEOUT = 60


@dataclasses.dataclass(frozen=True)
class Tool:
    """One finding.

    Attributes:
        name: of the tool or package.
        found: whether it works.
        version: its version, or what is wrong with it.
        needed_for: what does not work without it.
        fix: how to get it.
    """

    name: str
    found: bool
    version: str
    needed_for: str
    fix: str


_PACKAGES = (
    ("numpy", "numpy", "everything", "pip install numpy"),
    ("onnx", "onnx", "reading models: check, simplify, quantize, compile, deploy", "pip install onnx"),
    ("onnx-ir", "onnx_ir", "reading models: check, simplify, quantize, compile, deploy", "pip install onnx-ir"),
    ("onnxruntime", "onnxruntime", "CPU layers, calibration and bench", "pip install onnxruntime"),
    ("rich", "rich", "tables and progress bars on terminals", "pip install rich"),
    ("typer", "typer", "the command line", "pip install typer"),
    ("torch", "torch", "models that are torch modules, and training", "pip install 'sliceflow[torch]'"),
    *(
        (name, module, needed_for, "pip install 'sliceflow[pruning]'")
        for name, module, needed_for in (
            ("torch-pruning", "torch_pruning", "channels that belong together: prune, study, chain"),
            ("pydantic", "pydantic", "recipes: prune, study, chain"),
            ("safetensors", "safetensors", "weights in files: prune, chain"),
            ("matplotlib", "matplotlib", "drawings of a study"),
            ("jinja2", "jinja2", "pages of study and chain"),
        )
    ),
    ("pillow", "PIL", "calibration from a folder of images", "pip install 'sliceflow[images]'"),
    ("cocotb", "cocotb", "tests of the RTL", "pip install 'sliceflow[rtl]'"),
    ("pyxrt", "pyxrt", "running on a card through XRT", "install XRT from the card's vendor; pyxrt comes with it"),
    ("pynq", "pynq", "running on a PYNQ board", "pip install pynq, on the board"),
)
_PROGRAMS = (
    ("iverilog", ("iverilog", "-V"), "a second opinion on small RTL modules", "apt-get install iverilog"),
    ("v++", ("v++", "--version"), "building a bitstream for a card", "install AMD Vitis"),
    ("vitis_hls", ("vitis_hls", "-version"), "synthesizing the HLS kernel", "install AMD Vitis"),
)


def examine() -> list[Tool]:
    """Look at everything that Sliceflow can use."""
    return [
        Tool("python", True, platform.python_version(), "everything", ""),
        *(_package(*entry) for entry in _PACKAGES),
        _compiler(),
        _verilator(),
        *(_program(*entry) for entry in _PROGRAMS),
    ]


def how_to_get(module: str) -> tuple[str, str] | None:
    """Name of the package that a Python module comes with, and how to install it; None if it is not one of ours."""
    top = module.partition(".")[0]
    return next(((name, fix) for name, place, _, fix in _PACKAGES if place == top), None)


def _package(name: str, module: str, needed_for: str, fix: str) -> Tool:
    try:
        found = util.find_spec(module) is not None
    except (ImportError, ValueError):
        found = False
    try:
        version = metadata.version(name) if found else "missing"
    except metadata.PackageNotFoundError:
        version = "unknown version"
    return Tool(name, found, version, needed_for, fix)


def _program(name: str, command: Sequence[str], needed_for: str, fix: str) -> Tool:
    beside = Path(sys.executable).parent / command[0]  # of an environment that is not activated
    path = shutil.which(command[0]) or (str(beside) if beside.exists() else None)
    if path is None:
        return Tool(name, False, "missing", needed_for, fix)
    done = _call([path, *command[1:]])
    return Tool(name, True, _first_line(done), needed_for, fix)


def _compiler() -> Tool:
    needed_for, fix = "the C simulation (device csim): run, verify, bench", "apt-get install g++"
    path = shutil.which("g++")
    if path is None:
        return Tool("g++", False, "missing", needed_for, fix)
    version = _first_line(_call([path, "--version"]))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.cpp"
        source.write_text('#include <vector>\nextern "C" int probe() { return int(std::vector<int>(7).size()); }\n')
        done = _call([path, "-std=c++17", "-O2", "-shared", "-fPIC", str(source), "-o", str(source.with_suffix(".so"))])
        if done is None or done.returncode:
            return Tool("g++", False, f"{version}; it cannot compile: {_first_line(done)}", needed_for, fix)
    return Tool("g++", True, version, needed_for, fix)


def _verilator() -> Tool:
    needed_for = "the RTL simulation (device rtl): run, verify, bench; tests of the RTL"
    try:
        found = find_verilator()
    except UserError as error:
        return Tool("verilator", False, error.why.replace("\n", "; "), needed_for, error.fix)
    return Tool("verilator", True, f"{found.version}, {found.origin}", needed_for, "")


def _call(command: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None


def _first_line(done: subprocess.CompletedProcess[str] | None) -> str:
    text = "" if done is None else (done.stdout or done.stderr)
    return next((line.strip() for line in text.splitlines() if line.strip()), "does not answer")[:120]
