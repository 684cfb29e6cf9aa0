"""Writes a published figure: a Markdown page and a JSON file beside it, with the command that made them.

A figure script has a function ``page(data)`` at its top level that makes the whole text of its page from the data
alone: what it says beside the table (images, repeats, profile) is part of the data too. It records with
``write(NAME, page, data)``, which adds the processor and the versions. ``tests/unit/test_figures.py`` makes every page
of docs/benchmarks again from its JSON, by the ``page`` of the module that the recorded command names.
"""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from sliceflow.files import atomic_file
from sliceflow.machine import cpu_model
from sliceflow.version import version

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"
PACKAGES = ("numpy", "onnx", "onnxruntime", "torch", "torch-pruning")
"""Whose versions are recorded."""


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; every cell is shown with ``str``."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def made_with(command: str) -> dict[str, Any]:
    """What a figure depends on besides its script: command, processor, versions; plain data."""
    return {
        "command": command,
        "sliceflow": version(),
        "python": platform.python_version(),
        "cpu": cpu_model(),
        "versions": {name: found for name in PACKAGES if (found := _installed(name))},
    }


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def command_line() -> str:
    """The command that runs, as a user types it in the project's folder."""
    module = Path(sys.argv[0]).resolve().relative_to(FOLDER.parents[1]).with_suffix("")
    return " ".join(["python -m", ".".join(module.parts), *map(shlex.quote, sys.argv[1:])])


def render(name: str, document: Mapping[str, Any], page: Callable[[Any], str]) -> str:
    """The whole file of a page, from its JSON alone."""
    data = json.loads(json.dumps(document["data"]))  # as it will be read
    return f"{page(data).rstrip()}\n\n{_footer(name, document['made'])}\n"


def _footer(name: str, made: Mapping[str, Any]) -> str:
    versions = {"Sliceflow": made.get("sliceflow"), "Python": made.get("python"), **made.get("versions", {})}
    known = [f"{package} {found}" for package, found in versions.items() if found]
    text = f"Made by `{made['command']}`"
    text += f" with {', '.join(known)}" if known else ""
    text += f" on {made['cpu']}" if "cpu" in made else ""
    missing = ["processor"] * ("cpu" not in made) + ["versions of packages"] * ("versions" not in made)
    if missing:
        text += f"; {' and '.join(missing)} {'was' if missing == ['processor'] else 'were'} not recorded"
    return f"{text}. Data: `{name}.json`."


def write(name: str, page: Callable[[Any], str], data: Any) -> None:
    """Write ``docs/benchmarks/NAME.md`` and ``NAME.json`` from one run.

    Args:
        name: of both files.
        page: makes the page's text from the data.
        data: plain data.
    """
    document = {"made": made_with(command_line()), "data": data}
    FOLDER.mkdir(parents=True, exist_ok=True)
    with atomic_file(FOLDER / f"{name}.json") as stream:
        stream.write((json.dumps(document, indent=1) + "\n").encode())
    with atomic_file(FOLDER / f"{name}.md") as stream:
        stream.write(render(name, document, page).encode())
