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
    text = page(results)
    print(text)
    if results.failed:
        print(results.failed, file=sys.stderr)
        return 1
    write("pruning_study", text, data(results))
    return 0


def page(results: Results) -> str:
    """The tables, what they mean, and what to be careful with."""
    study = results.study
    fronts = [
        f"- {cost}: {', '.join(f'{row.label} at {row.ratio:g}' if row.ratio else row.label for row in rows)}"
        for cost, rows in ((cost, [results.rows[i] for i in front]) for cost, front in results.fronts.items())
    ]
    table = main_table(results.rows, "")
    parts = [
        "# A study of pruning methods: LeNet-5 on handwritten digits",
        f"`sliceflow study models/recipes/study_mnist.toml`: {', '.join(study.methods)} and controls, "
        f"{len(study.ratios)} ratios, seeds {', '.join(map(str, study.seeds))}; profile `{results.deploy.profile}`.",
        markdown(table),
        "\n".join(f"- {text}" for text in DEFINITIONS),
        "## On the accelerator",
        markdown(hardware_table(results.rows)),
        "## What nothing in the table beats (Pareto fronts of the means, controls included)",
        "\n".join(fronts),
        "## Read this before you conclude anything",
        "\n".join(f"- {text}" for text in results.cautions),
    ]
    return "\n\n".join(parts)


def data(results: Results) -> dict[str, Any]:
    """Rows, fronts and what the results depend on; not where it ran."""
    document = results.to_json()
    return {key: document[key] for key in ("rows", "pareto", "cautions")} | {
        "identity": document["manifest"]["identity"]
    }


if __name__ == "__main__":
    sys.exit(main())
