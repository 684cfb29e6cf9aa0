"""Counts and tables of a fuzzing run."""

from __future__ import annotations

import platform
import re
from collections import Counter, defaultdict
from typing import Any

from scripts.fuzzing.case import Case, Run
from scripts.fuzzing.judge import error_block

_LIMITS = (
    "## What is bounded, and what is not",
    "",
    "Refused by size: activation tensors over 2^28 values, constants that folding would make over 512 MiB (fills:",
    "1 GiB), calibration arrays over 768 MiB and inputs over 1 GiB in one `.npz`, graphs over 200,000 nodes, loops",
    "over 2^20 rounds, programs over 2^34 steps. Commands run with 8 GiB of address space, so that larger allocations",
    "fail here as they would on a small machine.",
    "",
    "Below these limits time and memory grow with what the model states: verifying a float model with an output of",
    "10^8 values takes about half a minute. A Loop whose number of rounds is computed from data is not bounded, and",
    "ONNX Runtime runs the CPU sub-models of an artifact as they are: treat an artifact from strangers as a program.",
    "",
)
_OUTCOMES = ("0", "1", "2", "3", "4", "signal", "hang")


class Tally:
    """What came of the cases."""

    def __init__(self) -> None:
        self._outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self._verbs: dict[str, Counter[str]] = defaultdict(Counter)
        self._broken: list[dict[str, Any]] = []
        self._messages: Counter[str] = Counter()
        self._samples: dict[str, str] = {}
        self._slowest = self._largest = 0.0
        self._commands = self._processes = 0

    def add(self, case: Case, runs: list[Run]) -> None:
        """Count a case."""
        last = runs[-1]
        self._outcomes[case.kind][_outcome(last)] += 1
        for run in runs:
            self._verbs[run.arguments[0]][_outcome(run)] += 1
            self._slowest, self._largest = max(self._slowest, run.seconds), max(self._largest, run.peak_mb)
        self._commands += len(runs)
        self._processes += len(runs) * case.as_process
        if last.problems:
            self._outcomes[case.kind]["broken"] += 1
            self._broken.append({"case": case.number, "what": case.what[:200], "problems": list(last.problems)})
        block = error_block(last.stderr)
        if block:
            headline = _general(block.splitlines()[0])
            self._messages[headline] += 1
            self._samples.setdefault(headline, block)

    def figures(self, command: str, seconds: float, limit_seconds: float, limit_mb: float) -> dict[str, Any]:
        """All counts as plain data."""
        return {
            "command": command,
            "cases": sum(sum(row[key] for key in _OUTCOMES) for row in self._outcomes.values()),
            "commands": self._commands,
            "commands_as_processes": self._processes,
            "broken": len(self._broken),
            "broken_cases": self._broken,
            "kinds": {kind: dict(row) for kind, row in sorted(self._outcomes.items())},
            "verbs": {verb: dict(row) for verb, row in sorted(self._verbs.items())},
            "different_messages": len(self._messages),
            "messages": dict(self._messages.most_common()),
            "samples": [self._samples[key] for key, _ in self._messages.most_common(12)],
            "slowest_seconds": round(self._slowest, 2),
            "largest_mb": round(self._largest),
            "limits": {"seconds": limit_seconds, "resident_mb": limit_mb},
            "seconds": round(seconds),
            "python": platform.python_version(),
        }


def _outcome(run: Run) -> str:
    if run.code < 0:
        return "hang" if any(problem.startswith("hang") for problem in run.problems) else "signal"
    return str(run.code)


def _general(line: str) -> str:
    """A headline without what stands for the case: names and numbers."""
    line = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", line)
    line = re.sub(r"\[[^\]]*\]|\([^)]*\)", "[...]", line)
    return re.sub(r"-?\d[\d.e+x]*", "N", line)[:120]


def _table(title: str, rows: dict[str, dict[str, int]]) -> list[str]:
    columns = [
        key for key in (*_OUTCOMES, "broken") if key in ("0", "1", "broken") or any(key in row for row in rows.values())
    ]
    heads = [f"exit {key}" if key.isdigit() else key for key in columns]
    lines = [f"| {title} | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(columns)]
    lines += [f"| {name} | " + " | ".join(str(row.get(key, 0)) for key in columns) + " |" for name, row in rows.items()]
    return lines


def page(figures: dict[str, Any]) -> str:
    """The figures as a page."""
    limits = figures["limits"]
    lines = [
        "# Fuzzing",
        "",
        f"`{figures['command']}`",
        "",
        f"{figures['cases']} cases, {figures['commands']} commands ({figures['commands_as_processes']} as processes of",
        f"their own) in {figures['seconds']} s: **{figures['broken']} broke a rule**. The slowest command took",
        f"{figures['slowest_seconds']} s of processor time (bound {limits['seconds']:.0f} s), the largest",
        f"{figures['largest_mb']} MiB of resident memory (bound {limits['resident_mb']:.0f} MiB). Failing",
        f"commands gave {figures['different_messages']} different messages, not counting names and numbers.",
        "",
        "Rules, for each command: exit code 0 or 1; on failure exactly one error block with what, and where, why or",
        "fix; no traceback, no crash, no stray output of a library, no control characters, a bounded length; no output",
        "left behind; with `--json` one document that agrees with the exit code; the two bounds above.",
        "",
        *_table("kind of mutation (cases, by their last command)", figures["kinds"]),
        "",
        *_table("verb (commands; broken: see above)", figures["verbs"]),
        "",
        *_LIMITS,
        "## Messages",
        "",
        "The first of each of the most frequent kinds:",
        "",
        "```",
        *(line for block in figures["samples"] for line in (*_short(block), "")),
        "```",
    ]
    for entry in figures["broken_cases"]:
        lines.append(f"- case {entry['case']}: {entry['problems']} ({entry['what']!a})")
    return "\n".join(lines) + "\n"


def _short(block: str) -> list[str]:
    return [line if len(line) <= 160 else line[:157] + "..." for line in block.splitlines()]
