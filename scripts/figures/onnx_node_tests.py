"""onnx's own generated node tests on the accelerator, counted and listed.

usage: python -m scripts.figures.onnx_node_tests [--only OPERATOR] [--device csim ...]
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from scripts.figures.record import table, write
from tests.support.onnx_nodes import OPERATORS, cases
from tests.support.onnx_nodes_run import DEVICES, FORMS, Outcome, run_case

STATUSES = ("passed", "failed", "not applicable")


def main() -> int:
    """Run all cases in both forms, print and record. Returns 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=OPERATORS, help="cases of one operator; nothing is recorded then")
    parser.add_argument("--device", nargs="+", choices=DEVICES, default=DEVICES, help="where to run")
    arguments = parser.parse_args()
    chosen = [case for case in cases() if arguments.only in (None, case.op)]
    outcomes = [run_case(case, form, arguments.device) for case in chosen for form in FORMS]
    data = {
        "operators": list(OPERATORS),
        "devices": list(arguments.device),
        "outcomes": [dataclasses.asdict(outcome) for outcome in outcomes],
    }
    print(page(data))
    if arguments.only is None and tuple(arguments.device) == DEVICES:
        write("onnx_node_tests", page, data)
    return 1 if any(outcome.status == "failed" for outcome in outcomes) else 0


def page(data: dict[str, Any]) -> str:
    """The page."""
    operators, devices, outcomes = data["operators"], data["devices"], [Outcome(**found) for found in data["outcomes"]]
    passed = [outcome for outcome in outcomes if outcome.status == "passed"]
    parts = [
        "# Generated node tests of the onnx package",
        f"Every case of the {len(operators)} operators that the accelerator's layers come from, on\n"
        f"{' and '.join(devices)}. *float*: the case's own model on `{FORMS['float']}` against the case's own output,\n"
        "within the tolerance of `docs/numerics.md`. *qdq*: the case quantized with scales that are powers of two, on\n"
        f"`{FORMS['qdq']}`, equal to ONNX Runtime's run of the same model; operators on integers are written with Q\n"
        "and DQ, and equal the case's own output. A case passes only if all its operators ran on the accelerator.\n"
        "Names with `expanded` are function bodies.",
        f"{len({outcome.name for outcome in outcomes})} cases, {len(passed)} passed runs, "
        f"{sum(outcome.values for outcome in passed)} values compared, "
        f"{sum(outcome.ties for outcome in passed)} of them one step off at a rounding tie.",
        table(["form", *STATUSES], [[form, *_counts(outcomes, form)] for form in FORMS]),
        "## By operator",
        table(
            ["operator", *(f"{form}: {status}" for form in FORMS for status in STATUSES)],
            [
                [op, *(count for form in FORMS for count in _counts([o for o in outcomes if o.op == op], form))]
                for op in operators
                if any(outcome.op == op for outcome in outcomes)
            ],
        ),
    ]
    for status in ("failed", "not applicable"):
        rows = _grouped([outcome for outcome in outcomes if outcome.status == status])
        if rows:
            parts += [f"## {status.capitalize()}", table(["operator", "form", "reason", "cases"], rows)]
    return "\n\n".join(parts)


def _counts(outcomes: Sequence[Outcome], form: str) -> list[int]:
    found = Counter(outcome.status for outcome in outcomes if outcome.form == form)
    return [found[status] for status in STATUSES]


def _grouped(outcomes: Sequence[Outcome]) -> list[list[str]]:
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.op, outcome.form, outcome.reason.replace("|", "/")].append(outcome.name)
    return [[*key, ", ".join(names)] for key, names in groups.items()]


if __name__ == "__main__":
    sys.exit(main())
