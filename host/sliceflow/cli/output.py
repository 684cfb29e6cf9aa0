"""stdout and stderr: data on the one, everything else on the other."""

from __future__ import annotations

import io
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sliceflow.errors import SliceflowError
from sliceflow.report.tables import Table, write_table
from sliceflow.text import encodable, printable

_PREFIXES = {logging.WARNING: "warning: ", logging.ERROR: "error: ", logging.CRITICAL: "error: "}
_LONGEST = 2000
"""Characters of a log message that are shown: names in a model may be megabytes long."""
_state = {"json": False, "verbose": False}


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        text = text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."
        return _PREFIXES.get(record.levelno, "") + printable(text.replace("\n", "\n  "))


class _Handler(logging.StreamHandler[Any]):
    """Writes to whatever stderr is when the message comes."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def set_up(*, as_json: bool, verbose: bool) -> None:
    """Set the form of output, and send log messages to stderr."""
    _state.update(json=as_json, verbose=verbose)
    for stream in (sys.stdout, sys.stderr):  # a terminal may have fewer characters than a name
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")
    logger = logging.getLogger("sliceflow")
    handler = _Handler()
    handler.setFormatter(_Formatter())
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    # Compiling a simulated kernel takes long enough that silence would puzzle.
    logging.getLogger("sliceflow.devices.rtl").setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    others = logging.getLogger()  # of the packages below: their warnings are not about what the user did
    if not others.handlers:
        others.addHandler(logging.NullHandler())
    if not verbose:
        warnings.simplefilter("ignore")  # those of the packages below; ours are log messages


def as_json() -> bool:
    """Whether ``--json`` was given."""
    return _state["json"]


def verbose() -> bool:
    """Whether ``--verbose`` was given."""
    return _state["verbose"]


def write_json(document: Any) -> None:
    """Write the one document of this run."""
    sys.stdout.write(json.dumps(encodable(document), indent=2, allow_nan=False) + "\n")
    sys.stdout.flush()


def result(document: dict[str, Any], human: Callable[[], None]) -> None:
    """Write a result: the document with ``--json``, else what ``human`` writes."""
    if as_json():
        write_json(document)
    else:
        human()
        sys.stdout.flush()


def line(text: str = "") -> None:
    """Write a line of the result for humans."""
    sys.stdout.write(printable(text) + "\n")


def table(content: Table) -> None:
    """Write a table of the result for humans."""
    content.title = printable(content.title)
    content.rows = [[printable(cell[:_LONGEST]).replace("\n", "\\n") for cell in row] for row in content.rows]
    write_table(content, sys.stdout)


def note(text: str) -> None:
    """Tell something on stderr that is not data."""
    sys.stderr.write(printable(text) + "\n")


def error(failure: SliceflowError) -> None:
    """Write an error: one block on stderr, and with ``--json`` the same as the document."""
    note(f"error: {failure}")
    if as_json():
        write_json({"error": {**failure.to_json(), "exit_code": failure.exit_code}})


def on_terminal() -> bool:
    """Whether somebody looks on: stderr is a terminal, and the output is not for programs."""
    return sys.stderr.isatty() and not as_json()


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A callback (done, total) that draws a bar on a terminal and writes a few lines elsewhere."""
    if on_terminal():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    tenths = 0

    def plain(done: int, total: int) -> None:
        nonlocal tenths
        if total and (reached := 4 * done // total) > tenths:
            tenths = reached
            logging.getLogger("sliceflow.cli").info("%s: %d of %d", title, done, total)

    yield plain
