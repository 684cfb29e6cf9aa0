"""Writes a published figure: a Markdown page and a JSON file beside it, with the command that made them."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sliceflow.files import atomic_file
from sliceflow.machine import cpu_model
from sliceflow.version import version

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; every cell is shown with ``str``."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def write(name: str, text: str, data: Any) -> None:
    """Write ``docs/benchmarks/NAME.md`` and ``NAME.json`` from one run."""
    module = Path(sys.argv[0]).resolve().relative_to(FOLDER.parents[1]).with_suffix("")
    command = " ".join(["python -m", ".".join(module.parts), *sys.argv[1:]])
    made = {
        "command": command,
        "sliceflow": version(),
        "python": platform.python_version(),
        "cpu": cpu_model(),
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    with atomic_file(FOLDER / f"{name}.json") as stream:
        stream.write((json.dumps({"made": made, "data": data}, indent=1) + "\n").encode())
    page = f"{text}\n\nMade by `{command}` with Sliceflow {version()} on {made['cpu']}. Data: `{name}.json`.\n"
    with atomic_file(FOLDER / f"{name}.md") as stream:
        stream.write(page.encode())
