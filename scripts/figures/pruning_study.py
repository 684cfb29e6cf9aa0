"""A study of pruning methods on LeNet-5, beside controls: accuracy, sizes, and three kinds of speed-up.

usage: python -m scripts.figures.pruning_study [--folder DIR] [--workers N]

About a quarter of an hour on one core; a killed one goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from scripts.figures.record import write
from sliceflow.pruning.recipes.recipe import load_recipe
from sliceflow.study.report import DEFINITIONS, write_report
from sliceflow.study.study import Results, run_study
from sliceflow.study.summary import Row, Spread
from sliceflow.study.tables import hardware_table, main_table, markdown

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "models" / "recipes" / "study_mnist.toml"


def main() -> int:
    """Run what is left of the study, print, record. Returns 1 if a cell failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "pruning_study", help="of the study")
    parser.add_argument("--workers", type=int, default=1, help="cells that are made beside each other")
    arguments = parser.parse_args()
    results = run_study(
        load_recipe(RECIPE),
        arguments.folder,
        workers=arguments.workers,
        progress=lambda done, total: print(f"{done} of {total} cells", file=sys.stderr),
    )
    write_report(results, arguments.folder)
    print(page(data(results)))
    if results.failed:
        print(results.failed, file=sys.stderr)
        return 1
    write("pruning_study", page, data(results))
    return 0


def page(found: dict[str, Any]) -> str:
    """The tables, what they mean, and what to be careful with."""
    recipe, rows = found["identity"]["recipe"], [_row(row) for row in found["rows"]]
    study = recipe["study"]
    fronts = [
        f"- {cost}: {', '.join(f'{row.label} at {row.ratio:g}' if row.ratio else row.label for row in front)}"
        for cost, front in ((cost, [rows[i] for i in front]) for cost, front in found["pareto"].items())
    ]
    parts = [
        "# A study of pruning methods: LeNet-5 on handwritten digits",
        f"`sliceflow study models/recipes/study_mnist.toml`: {', '.join(study['methods'])} and controls, "
        f"{len(study['ratios'])} ratios, seeds {', '.join(map(str, study['seeds']))}; profile "
        f"`{recipe['deploy']['profile']}`.",
        markdown(main_table(rows, "")),
        "\n".join(f"- {text}" for text in DEFINITIONS),
        "## On the accelerator",
        markdown(hardware_table(rows)),
        "## What nothing in the table beats (Pareto fronts of the means, controls included)",
        "\n".join(fronts),
        "## Read this before you conclude anything",
        "\n".join(f"- {text}" for text in found["cautions"]),
    ]
    return "\n\n".join(parts)


def _row(plain: dict[str, Any]) -> Row:
    """A row of the study from its plain data."""

    def spread(values: dict[str, Any]) -> Spread:
        return Spread(values["mean"], values["deviation"], tuple(values["values"]))

    return Row(
        kind=plain["kind"],
        method=plain["method"],
        ratio=plain["ratio"],
        seeds=tuple(plain["seeds"]),
        figures={name: spread(values) for name, values in plain["figures"].items()},
        recall=tuple(None if values is None else spread(values) for values in plain["recall"]),
        widths=tuple(map(tuple, plain["widths"])),
        notes=tuple(plain["notes"]),
    )


def data(results: Results) -> dict[str, Any]:
    """Rows, fronts and what the results depend on; not where it ran."""
    document = results.to_json()
    return {key: document[key] for key in ("rows", "pareto", "cautions")} | {
        "identity": document["manifest"]["identity"]
    }


if __name__ == "__main__":
    sys.exit(main())
