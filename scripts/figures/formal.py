"""What is proven of the SystemVerilog kernel: properties, method, time, and the mistakes that are found.

usage: python -m scripts.figures.formal [SUITE ...] [--write]

Every suite of tests/formal is proven, also in its larger sizes, and its mutants are refuted. Needs the extra
'synthesis'. Returns 1 if a proof fails or a mutant survives.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from scripts.figures import record
from tests.formal.prover import Suite, prove, refute
from tests.formal.suites import LARGER, SUITES

_METHODS = {"pdr": "IC3", "cones": "IC3 for each assertion", "induction": "induction", "bounded": "bounded"}


def measure(suite: Suite) -> dict[str, Any]:
    """Everything about one suite, for the JSON file."""
    verdict = prove(suite, seconds=1200)
    mutants = [
        {"file": mutant.file, "new": mutant.new, "breaks": mutant.breaks, "clock": refute(suite, mutant)}
        for mutant in suite.mutants
    ]
    return {
        "suite": suite.name,
        "module": suite.module,
        "parameters": dict(suite.parameters),
        "method": suite.method,
        "clocks": suite.clocks,
        "holds": verdict.holds,
        "properties": list(verdict.properties),
        "registers": verdict.registers,
        "seconds": round(verdict.seconds, 1),
        "mutants": mutants,
    }


def page(data: Mapping[str, Any]) -> str:
    """The text of the page."""
    header = ["suite", "parameters", "assertions", "state bits", "method", "clocks", "seconds", "mutants"]
    rows = [
        [
            result["suite"],
            ", ".join(f"{name} {value}" for name, value in result["parameters"].items()),
            len(result["properties"]),
            f"{result['registers']:,}",
            _METHODS[result["method"]],
            result["clocks"] if result["method"] == "bounded" else "all",
            result["seconds"] if result["holds"] else "**does not hold**",
            f"{sum(mutant['clock'] >= 0 for mutant in result['mutants'])} of {len(result['mutants'])}",
        ]
        for result in data["results"]
    ]
    lists = [f"- {result['suite']}: {', '.join(result['properties'])}" for result in data["results"]]
    return "\n".join(
        [
            "# What is proven of the kernel\n",
            f"`tests/formal` with pyosys {data['pyosys']} (Yosys, its slang front end, ABC; package index).",
            "Registers begin with any value, the first clock is one of reset. IC3 and induction prove for every number",
            "of clocks; induction rests on what its suite says of the module's registers (assertions `of_...`). Sizes",
            "and the widths of addresses and counts are as stated. Mutants are mistakes that a suite must find.\n",
            record.table(header, rows),
            "\n## Assertions\n",
            *lists,
        ]
    )


def main() -> int:
    """Prove the suites; returns 1 if something does not hold or is not found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    suites = (*SUITES, *LARGER)
    names = [suite.name for suite in suites]
    parser.add_argument("suites", nargs="*", default=names, metavar="SUITE", help=f"of {', '.join(names)}")
    parser.add_argument("--write", action="store_true", help="record the result in docs/benchmarks")
    options = parser.parse_args()
    results = []
    for suite in suites:
        if suite.name in options.suites:
            results.append(measure(suite))
            print(json.dumps(results[-1]), flush=True)
    data = {"pyosys": metadata.version("pyosys"), "results": results}
    print(page(data))
    if options.write:
        record.write("formal", page, data)
    good = all(result["holds"] and all(mutant["clock"] >= 0 for mutant in result["mutants"]) for result in results)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
