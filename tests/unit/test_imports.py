"""Imports run one way, and the board's part loads neither torch nor onnx."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sliceflow

ROOT = Path(sliceflow.__file__).parent
HEAVY = ("torch", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "typer", "rich")

ALLOWED = {
    "graph": {"hardware"},
    "hardware": {"graph"},
    "reference": {"graph", "hardware"},
    "alignment": set(),
    "passes": set(),
    "frontend": {"passes", "graph"},
    "quantization": {"passes", "frontend", "graph"},
    "mapping": {"alignment", "frontend", "passes", "graph", "hardware", "reference"},
    "devices": {"graph", "hardware", "reference"},
    "runtime": {"devices", "graph", "hardware", "reference"},
    "bench": {"runtime", "devices", "graph", "hardware", "mapping", "frontend", "report"},
    "pruning": {"alignment", "frontend", "passes"},
    "build": {"frontend", "graph", "hardware", "mapping", "quantization"},
    "study": {
        "build",
        *("alignment", "pruning", "frontend", "passes", "quantization", "mapping"),
        *("graph", "hardware", "runtime", "devices", "report"),
    },
    "report": {"graph", "hardware", "runtime"},
}
"""For each folder (or file), the others that it may import. ``cli`` may import everything, and nothing imports it."""


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms(path: Path) -> set[str]:
    parts = [name.split(".") for name in imported(path)]
    known = {part[1] for part in parts if part[0] == "sliceflow" and len(part) > 1}
    return {name for name in known if name in ALLOWED or (ROOT / name).is_dir()}


def wrong_ways(allowed: dict[str, set[str]]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {room}"
        for folder, targets in allowed.items()
        for path in sorted([*(ROOT / folder).rglob("*.py"), *ROOT.glob(f"{folder}.py")])
        for room in sorted(rooms(path) - targets - {folder})
    ]


def test_imports_run_one_way() -> None:
    assert wrong_ways(ALLOWED) == []


def test_the_rule_finds_a_wrong_import() -> None:
    assert wrong_ways({"runtime": set()}) != []


@pytest.mark.parametrize("module", ["sliceflow.runtime", "sliceflow.devices", "sliceflow.graph.artifact"])
def test_the_boards_part_is_light(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_only_two_folders_import_torch() -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if any(name.split(".")[0] == "torch" for name in imported(path))
    }
    assert all(user == "frontend/torch.py" or user.startswith("pruning/") for user in users), users


def test_one_place_opens_onnx_runtime() -> None:
    """Each session is opened for a purpose: exact, or as a user runs it (``sliceflow.onnx_runtime``)."""
    root = Path(__file__).parents[2]
    openers = {
        path.relative_to(root).as_posix()
        for folder in ("host", "scripts", "tests", "models")
        for path in (root / folder).rglob("*.py")
        if any(
            isinstance(node, ast.Attribute) and node.attr == "InferenceSession"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    }
    assert openers == {"host/sliceflow/onnx_runtime.py"}
