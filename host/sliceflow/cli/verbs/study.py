"""``sliceflow study``: pruning methods beside each other and beside controls."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sliceflow.cli import options, output
from sliceflow.errors import UserError

if TYPE_CHECKING:
    from sliceflow.study.study import Results


def study(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="TOML file with a section [study].")],
    output_folder: Annotated[Path, typer.Option("--output", help="Folder of the study; a killed one goes on in it.")],
    workers: Annotated[int, typer.Option("--workers", min=1, help="Cells that are made beside each other.")] = 1,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare pruning methods over ratios and seeds, with controls and equal budgets of training.

    Writes results.json, table.md and report.html, a page that needs no network. Sizes, accuracy, predicted cycles and
    three kinds of speed-up are kept apart; every network is measured from its exported graph.
    """
    from sliceflow.pruning.recipes.recipe import load_recipe
    from sliceflow.study.report import write_report
    from sliceflow.study.study import run_study

    plan = load_recipe(recipe)
    with _training(workers) as training, output.progress("study") as progress:
        results = run_study(
            plan,
            output_folder,
            command=[Path(sys.argv[0]).name, *sys.argv[1:]],
            workers=workers,
            progress=progress,
            training=training,
        )
    write_report(results, output_folder)
    output.result({"output": str(output_folder), **results.to_json()}, lambda: _print(results, output_folder))
    if results.failed:
        if not output.as_json():
            output.error(_failure(results.failed))
        raise typer.Exit(UserError.exit_code)


def _failure(failed: dict[str, str]) -> UserError:
    return UserError(
        f"{len(failed)} cells could not be made",
        where=", ".join(failed),
        why=next(iter(failed.values())),
        fix="the other results are written; run the same command again to try these once more",
    )


def _training(workers: int) -> AbstractContextManager[Any]:
    """Bars and lines of training; processes beside each other would write over each other's."""
    from sliceflow.cli.training_progress import training_progress

    return training_progress() if workers == 1 and not output.on_terminal() else nullcontext()


def _print(results: Results, folder: Path) -> None:
    from sliceflow.study.report import table_of

    output.table(table_of(results))
    for text in results.cautions:
        output.line(f"- {text}")
    output.line(f"written to {folder}: report.html, table.md, results.json, manifest.json, models/, cells/")
