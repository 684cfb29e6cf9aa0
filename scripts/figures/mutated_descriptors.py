"""Mutated descriptors on the reference, the C++ and the RTL: the same status, or the same integers, and always an end.

usage: python -m scripts.figures.mutated_descriptors [--seeds 0:100] [--mutants 50] [--rtl] [--write]

A seed makes one small valid layer for each profile and its mutants (tests/support/mutated.py says what is asked of
them). Runs add up: with ``--write`` this one becomes a further row of the page.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import Any

import numpy as np

from scripts.figures import record
from tests.csim.support import library, profile_of
from tests.support.mutated import Run, judge_many
from tests.support.random_program import Case

NAME = "mutated_descriptors"
PROFILES = ("int8-4x4", "small-8x8-4x8")


def run_csim(profile: str) -> Run:
    """The C++ kernel of a profile."""

    def run(case: Case, memory: np.ndarray) -> None:
        library(profile).run(case.program, case.weights, memory, 0, 1)

    return run


def page(data: dict[str, Any]) -> str:
    """The page."""
    rows = [
        [row["profile"], "reference, C++, RTL" if row["rtl"] else "reference, C++", row["seeds"], row["outcomes"]]
        for row in data["runs"]
    ]
    for row in rows:
        counts = row[3]
        row[2] = f"{row[2][0]}..{row[2][1] - 1}"
        row[3] = f"{sum(counts.values()):,}"
        row += [f"{counts.get(name, 0):,}" for name in ("refused", "computed")]
        row.append(f"{sum(n for name, n in counts.items() if name.startswith('outside')):,}")
        row.append(f"{counts.get('outside, status 5', 0):,}")
    header = ["profile", "on", "seeds", "mutants", "refused", "computed", "outside their memories", "aborted"]
    return (
        "# Mutated descriptors\n\nValid random layers with one or two words of the descriptor changed. Refused: the "
        "same status on all that ran it. Computed: the same integers. Outside their memories: the host refuses them; "
        "the RTL, where it took part, executed them and ended, `aborted` of them when the driver gave up after 200,000 "
        "clocks; the C++ never executes them. After the mutants of each layer, the layer itself ran right, on the RTL "
        "without a reset.\n\n"
        f"{record.table(header, rows)}"
    )


def main() -> int:
    """Judge the mutants; stops with an error at the first that differs or does not end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", default="0:100", help="FIRST:END")
    parser.add_argument("--mutants", type=int, default=50, help="of each seed and profile")
    parser.add_argument("--rtl", action="store_true", help="the RTL too")
    parser.add_argument("--profiles", nargs="*", default=PROFILES)
    parser.add_argument("--write", action="store_true", help="add the result to docs/benchmarks")
    options = parser.parse_args()
    first, end = map(int, options.seeds.split(":"))
    path = record.FOLDER / f"{NAME}.json"
    runs = json.loads(path.read_text())["data"]["runs"] if path.exists() else []
    for profile in options.profiles:
        rtl: Run | None = None
        if options.rtl:
            from tests.rtl.test_mutated_descriptors import Kernel  # compiles the RTL

            rtl = Kernel(profile, watchdog=20_000).run
        outcomes: Counter[str] = judge_many(
            range(first, end), profile_of(profile), options.mutants, run_csim(profile), rtl
        )
        runs.append({"profile": profile, "rtl": options.rtl, "seeds": [first, end], "outcomes": dict(outcomes)})
        print(f"{profile}, seeds {first}..{end - 1}: {dict(outcomes)}", flush=True)
    if options.write:
        record.write(NAME, page, {"runs": runs})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
