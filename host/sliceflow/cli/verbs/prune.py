"""``sliceflow prune``: a torch network is trained, pruned and exported, as a recipe says."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from sliceflow.cli import options, output
from sliceflow.report.tables import Table, count


def prune(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="TOML file; docs/guide.md describes it.")],
    output_folder: Annotated[Path, typer.Option("--output", help="Folder to write; checkpoints are kept in it.")],
    method: Annotated[str | None, typer.Option("--method", help="Instead of the recipe's.")] = None,
    ratio: Annotated[float | None, typer.Option("--ratio", help="Share to prune, instead of the recipe's.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on from the checkpoints in the folder, or remove them first.")
    ] = True,
    threads: options.TorchThreads = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Train, prune, fine-tune and export a torch network.

    What pruning made useless is removed exactly. If the recipe has a section [deploy], channels are aligned to that
    accelerator's lanes before. `sliceflow deploy` takes the files that are written.
    """
    from sliceflow.cli.training_progress import training_progress
    from sliceflow.pruning.recipes.delivery import deliver
    from sliceflow.pruning.recipes.pipeline import prune_recipe
    from sliceflow.pruning.recipes.recipe import load_recipe
    from sliceflow.pruning.training.run import Run
    from sliceflow.pruning.training.threads import use_threads
    from sliceflow.study.align import Aligner, align_pruned
    from sliceflow.study.sections import deploy_section, profile_of

    if not output.verbose():
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that nobody needs here
    changes = {key: value for key, value in (("method", method), ("ratio", ratio)) if value is not None}
    plan = load_recipe(recipe, {"prune": changes})
    deploy = deploy_section(plan)
    aligner = Aligner(plan, deploy, profile_of(plan, deploy)) if plan.deploy is not None else None
    if threads is not None:
        use_threads(threads)
    checkpoints = output_folder / "checkpoints"
    if not resume and checkpoints.exists():
        shutil.rmtree(checkpoints)
    checkpoints.mkdir(parents=True, exist_ok=True)
    with training_progress() as progress:
        run = Run(checkpoints, progress)
        pruned = prune_recipe(plan, run)
        if aligner is not None:
            pruned = align_pruned(pruned, aligner, run)
    report = deliver(pruned, plan, output_folder)
    output.result({"output": str(output_folder), **report}, lambda: _print(report, output_folder))


def _print(report: dict[str, Any], folder: Path) -> None:
    content = Table("What was pruned", ("layer", "before", "after"))
    content.right = frozenset(content.columns[1:])
    last = report["steps"][-1] if report["steps"] else {}
    for name, size in last.get("of", {}).items():
        content.add(name, count(size), count(size - last["gone"][name]))
    if content.rows:
        output.table(content)
    for label, key in (("before pruning", "dense"), ("behind it", "pruned"), ("as pruned.onnx", "exported")):
        quality = report[key]
        loss = "not finite" if quality["loss"] is None else f"{quality['loss']:.4f}"
        output.line(f"test metric {label}: {quality['metric']:.4f}, loss {loss}")
    output.line(f"channels aligned to lanes: {report['aligned']}")
    sizes = f"{count(report['parameters_before'])} -> {count(report['parameters_after'])}"
    output.line(f"parameters: {sizes}, of which {count(report['nonzero_after'])} are not zero")
    if report["macs_before"] is not None and report["macs_after"] is not None:
        output.line(f"MACs: {count(report['macs_before'])} -> {count(report['macs_after'])}")
    output.line(f"written to {folder}: pruned.onnx, weights, masks, calibration.npz, evaluation.npz, report.json")
    output.line(f"next: sliceflow deploy {folder}/pruned.onnx --calibration {folder}/calibration.npz --output ARTIFACT")
