"""The rules that every run must keep."""

from __future__ import annotations

import json
import re
from pathlib import Path

from scripts.fuzzing.case import Command, Run

SECONDS = 20.0
"""Processor time that a command may take: what it waits for other processes is not its fault."""
HANG = 180.0
"""Seconds after which a command hangs."""
PEAK_MB = 2048.0
"""Resident memory that a command may take."""
MAX_MESSAGE = 5200
"""Characters of an error block."""
MAX_NOISE = 20_000
"""Characters on stderr beside it."""
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_OURS = "this is our fault"


def judge(command: Command, run: Run, folder: Path) -> tuple[str, ...]:
    """The rules that a run broke."""
    found: list[str] = []
    if run.code < 0:
        return (f"ended by signal {-run.code}",) if run.seconds < HANG else (f"hang: over {HANG:.0f} s",)
    if run.seconds > SECONDS:
        found.append(f"slow: {run.seconds:.1f} s")
    if run.peak_mb > PEAK_MB:
        found.append(f"memory: {run.peak_mb:.0f} MiB")
    if run.code not in (0, 1):
        found.append(f"exit code {run.code}")
    if "Traceback (most recent call last)" in run.stderr + run.stdout:
        found.append("traceback")
    if _CONTROL.search(run.stderr) or _CONTROL.search(run.stdout):
        found.append("control characters in the output")
    if len(run.stderr) > MAX_NOISE + MAX_MESSAGE:
        found.append(f"{len(run.stderr)} characters on stderr")
    found += _stray_lines(run)
    if run.code:
        found += _message(run) + _leftovers(command, folder)
    if "--json" in command.arguments:
        found += _document(run)
    return tuple(found)


def error_block(stderr: str) -> str:
    """The error block of a failed run: the line that begins with ``error:`` and the indented ones behind it."""
    found = re.search(r"^error: .*(?:\n  .*)*", stderr, re.MULTILINE)
    return found[0] if found else ""


def _message(run: Run) -> list[str]:
    block = error_block(run.stderr)
    if not block:
        return ["failed without a message"]
    found = []
    if len(re.findall(r"^error: ", run.stderr, re.MULTILINE)) != 1:
        found.append("more than one error block")
    if _OURS in block:
        found.append("internal error: " + " | ".join(line.strip() for line in block.splitlines()[1:3])[:200])
    if len(block) > MAX_MESSAGE:
        found.append(f"a message of {len(block)} characters")
    if "\n" not in block:
        found.append("a message without where, why or fix")
    return found


def _stray_lines(run: Run) -> list[str]:
    """Lines on stderr that are neither the error block nor a warning or note of ours."""
    block = error_block(run.stderr) if run.code else ""
    rest = run.stderr.replace(block, "", 1) if block else run.stderr
    stray = [line for line in rest.splitlines() if line and not line.startswith(("warning: ", "note: ", "  "))]
    return [f"stray output: {stray[0][:160]!a}"] if stray else []


def _leftovers(command: Command, folder: Path) -> list[str]:
    found = []
    if command.output and (folder / command.output).exists():
        found.append("a failed command left its output behind")
    litter = next((path for path in folder.rglob("*.part")), None)
    if litter is not None:
        found.append(f"litter: {litter.name}")
    return found


def _document(run: Run) -> list[str]:
    try:
        document = json.loads(run.stdout, parse_constant=lambda name: 1 / 0)
    except (ValueError, ZeroDivisionError, RecursionError):
        return ["stdout is not one JSON document"]
    failed = isinstance(document, dict) and "error" in document
    return [] if failed == (run.code == 1) else ["the JSON document contradicts the exit code"]
