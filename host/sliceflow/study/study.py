"""A whole study: every cell that is not finished yet, then the results together."""

from __future__ import annotations

import dataclasses
import json
import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from sliceflow.errors import SliceflowError, UserError
from sliceflow.hardware.profile import Profile
from sliceflow.pruning.recipe import Recipe
from sliceflow.pruning.sources import build_model, build_task, check_fit
from sliceflow.pruning.threads import use_threads
from sliceflow.study.cautions import cautions
from sliceflow.study.cells import Cell, waves
from sliceflow.study.manifest import identity, run_facts
from sliceflow.study.sections import DeploySection, StudySection, deploy_section, study_section
from sliceflow.study.store import Store, write_json
from sliceflow.study.summary import Row, fronts, plain, summarize
from sliceflow.study.worker import make_worker

logger = logging.getLogger(__name__)
Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Results:
    """What a study found.

    Attributes:
        recipe: its plain data.
        study: what was compared.
        deploy: how it was measured.
        manifest: see ``manifest``.
        rows: the results, a row for all seeds.
        fronts: see ``summary.fronts``.
        cautions: warnings for readers.
        failed: cells that could not be made, and why.
    """

    recipe: dict[str, Any]
    study: StudySection
    deploy: DeploySection
    manifest: dict[str, Any]
    rows: list[Row]
    fronts: dict[str, list[int]]
    cautions: list[str]
    failed: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        document = {
            "manifest": self.manifest,
            "rows": [plain(row) for row in self.rows],
            "pareto": self.fronts,
            "cautions": self.cautions,
            "failed": self.failed,
        }
        return dict(json.loads(json.dumps(document, allow_nan=False)))


def run_study(
    recipe: Recipe,
    folder: Path,
    *,
    command: Sequence[str] = (),
    workers: int = 1,
    progress: Progress | None = None,
    training: Any = None,
) -> Results:
    """Run a study, or the rest of it, and write ``results.json`` into its folder.

    Everything computes with one thread, so that results depend neither on the machine's cores nor on ``workers``.

    Args:
        recipe: with a section ``[study]``.
        folder: of the study. If it holds a part of the same study, only the rest is run.
        command: what the user typed, for the manifest.
        workers: processes that make cells beside each other.
        progress: called with cells done and cells in all.
        training: see ``Run.progress``; only with one worker.

    Returns:
        The results, with the cells that failed.

    Raises:
        UserError: the recipe is wrong, the folder belongs to another study, or no network at all could be measured.
    """
    study, deploy = study_section(recipe), deploy_section(recipe)
    use_threads(1)
    task = build_task(recipe)
    check_fit(build_model(recipe, seed=study.seeds[0]), task)
    profile = Profile.load(deploy.profile)
    store = Store(folder, identity(recipe, study, deploy, profile, task))
    facts = run_facts(command)
    store.begin(facts)
    job = _Job(recipe, study, deploy, store)
    total, done = sum(map(len, waves(study))), 0
    documents: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    for wave in waves(study):
        for cell, found in job.run(wave, workers, training):
            done += 1
            if isinstance(found, SliceflowError):
                failed[cell.key] = str(found)
                store.log("failed", {"key": cell.key, **found.to_json()})
                logger.warning("cell %s failed: %s", cell.key, found.what)
            else:
                documents.append(found)
            if progress is not None:
                progress(done, total)
        _go_on(wave, failed)
    order = {cell.key: number for number, cell in enumerate(cell for wave in waves(study) for cell in wave)}
    documents.sort(key=lambda document: order[Cell(**document["cell"]).key])
    rows = summarize(documents)
    examples = documents[0]["measurement"]["accuracy"]["examples"]
    plain_recipe = recipe.to_json()
    manifest = {"checksum": store.checksum, "identity": store.identity, "run": facts}
    warnings = cautions(study, plain_recipe, rows, examples)
    results = Results(plain_recipe, study, deploy, manifest, rows, fronts(rows), warnings, failed)
    write_json(folder / "results.json", results.to_json())
    return results


def _go_on(wave: Sequence[Cell], failed: dict[str, str]) -> None:
    """Stop if nothing of a first wave can be used."""
    unpruned = [cell.key for cell in wave if cell.kind == "unpruned"]
    if unpruned and all(key in failed for key in unpruned):
        raise UserError("no network could be measured before pruning", where=unpruned[0], why=failed[unpruned[0]])


@dataclasses.dataclass(frozen=True)
class _Job:
    recipe: Recipe
    study: StudySection
    deploy: DeploySection
    store: Store

    def run(
        self, cells: Sequence[Cell], workers: int, training: Any
    ) -> Iterator[tuple[Cell, dict[str, Any] | SliceflowError]]:
        """Make cells, in whatever order they are finished."""
        if workers == 1:
            worker = make_worker(self.recipe, self.study, self.deploy, self.store, training)
            for cell in cells:
                yield cell, _guarded(worker.run, cell)
            return
        context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            futures = {pool.submit(_in_worker, self, cell): cell for cell in cells}
            for future in as_completed(futures):
                yield futures[future], future.result()


def _in_worker(job: _Job, cell: Cell) -> dict[str, Any] | SliceflowError:
    use_threads(1)
    return _guarded(make_worker(job.recipe, job.study, job.deploy, job.store).run, cell)


def _guarded(call: Callable[[Cell], dict[str, Any]], cell: Cell) -> dict[str, Any] | SliceflowError:
    try:
        return call(cell)
    except SliceflowError as error:
        return error
