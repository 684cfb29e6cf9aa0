"""The recorded pages of docs/benchmarks, made again from their JSON: after the text of a figure script has changed.

usage: python -m scripts.figures.pages [--write]
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.figures.record import FOLDER, render
from sliceflow.files import write_file


def pages() -> Iterator[tuple[Path, str]]:
    """Each page's file, and its text as its JSON has it."""
    for path in sorted(FOLDER.glob("*.json")):
        document = json.loads(path.read_text())
        page = importlib.import_module(_module(document["made"]["command"])).page
        yield path.with_suffix(".md"), render(path.stem, document, page)


def _module(command: str) -> str:
    """The module that a recorded command runs: ``python -m MODULE`` or ``python FILE``."""
    found = re.match(r"python (?:-m (?P<module>\S+)|(?P<file>\S+)\.py)", command)
    if found is None:
        raise ValueError(f"a recorded command names no script: {command}")
    return found["module"] or found["file"].replace("/", ".")


def main() -> int:
    """Compare all pages with their JSON, or write them; returns 1 if one differs and is not written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace the pages")
    options = parser.parse_args()
    different = [(path, text) for path, text in pages() if not path.exists() or path.read_text() != text]
    for path, text in different:
        print(f"{path.name} is not what its data say" + "; written" * options.write)
        if options.write:
            write_file(path, text.encode())
    return 1 if different and not options.write else 0


if __name__ == "__main__":
    sys.exit(main())
