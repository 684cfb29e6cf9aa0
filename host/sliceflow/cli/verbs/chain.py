"""``sliceflow chain``: from training to a verified artifact, with figures at each stage."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sliceflow.cli import options, output
from sliceflow.errors import MismatchError

if TYPE_CHECKING:
    from sliceflow.study.chain import Chain


def chain(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="TOML file; [deploy] names the accelerator.")],
    output_folder: Annotated[Path, typer.Option("--output", help="Folder to write; a killed run goes on in it.")],
    threads: options.TorchThreads = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Train, prune, simplify, quantize, map and verify a torch network.

    Reports accuracy, size, work and predicted cycles at each stage, and writes an artifact for `sliceflow run`.
    Exit code 3 if the device differs from the reference.
    """
    from sliceflow.cli.training_progress import training_progress
    from sliceflow.pruning.recipes.recipe import load_recipe
    from sliceflow.pruning.training.threads import use_threads
    from sliceflow.study.chain import run_chain
    from sliceflow.study.chain_report import write_report

    plan = load_recipe(recipe)
    if threads is not None:
        use_threads(threads)
    with training_progress() as progress:
        result = run_chain(
            plan, output_folder, command=[Path(sys.argv[0]).name, *sys.argv[1:]], training=progress, tell=_tell
        )
    write_report(result, output_folder)
    output.result({"output": str(output_folder), **result.to_json()}, lambda: _print(result, output_folder))
    if not result.verification["match"]:
        raise typer.Exit(MismatchError.exit_code)


def _tell(stage: str) -> None:
    if output.verbose():
        output.note(f"stage {stage}")


def _print(result: Chain, folder: Path) -> None:
    from sliceflow.study.chain_report import table_of, verdict

    output.table(table_of(result))
    for text in verdict(result):
        output.line(text)
    output.line(f"written to {folder}: artifact, pruned, report.html, report.json")
    output.line(f"next: sliceflow bench {folder}/artifact")
