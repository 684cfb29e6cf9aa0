"""A whole study: every cell that is not finished yet, then the results together."""

from __future__ import annotations

import dataclasses
import json
import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sliceflow.errors import SliceflowError, UserError
from sliceflow.hardware.cycles import caveat
from sliceflow.pruning.recipes.recipe import Recipe
from sliceflow.pruning.recipes.sources import build_model, build_task, check_fit
from sliceflow.pruning.training.threads import use_threads
from sliceflow.study.cautions import cautions
from sliceflow.study.cells import Cell, waves
from sliceflow.study.manifest import identity, run_facts
from sliceflow.study.sections import DeploySection, StudySection, deploy_section, profile_of, study_section
from sliceflow.study.store import Store, write_json
from sliceflow.study.summary import Row, fronts, plain, summarize
from sliceflow.study.worker import Worker, make_worker

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
    profile = profile_of(recipe, deploy)
    store = Store(folder, identity(recipe, study, deploy, profile, task))
    facts = run_facts(command)
    store.begin(facts)
    with _makers(_Job(recipe, study, deploy, store), workers, training) as make:
        documents, failed = _collect(list(waves(study)), make, store, progress)
    rows = summarize(documents)
    plain_recipe = recipe.to_json()
    warnings = cautions(study, plain_recipe, rows, documents[0]["measurement"]["accuracy"]["examples"])
    warnings += filter(None, [caveat(profile)])
    manifest = {"checksum": store.checksum, "identity": store.identity, "run": facts}
    results = Results(plain_recipe, study, deploy, manifest, rows, fronts(rows), warnings, failed)
    write_json(folder / "results.json", results.to_json())
    return results


Found = dict[str, Any] | SliceflowError
Make = Callable[[Sequence[Cell]], Iterator[tuple[Cell, Found]]]


def _collect(
    groups: Sequence[Sequence[Cell]], make: Make, store: Store, progress: Progress | None
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Make all cells, wave by wave; returns their results in order, and why others failed."""
    results: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    total = sum(map(len, groups))
    for wave in groups:
        for cell, found in make(wave):
            if isinstance(found, SliceflowError):
                failed[cell.key] = str(found)
                store.log("failed", {"key": cell.key, **found.to_json()})
                logger.warning("cell %s failed: %s", cell.key, found.what)
            else:
                results[cell.key] = found
            if progress is not None:
                progress(len(results) + len(failed), total)
        if not results:
            key, why = next(iter(failed.items()))
            raise UserError("no network could be measured before pruning", where=key, why=why)
    return [results[cell.key] for wave in groups for cell in wave if cell.key in results], failed


@dataclasses.dataclass(frozen=True)
class _Job:
    recipe: Recipe
    study: StudySection
    deploy: DeploySection
    store: Store

    def worker(self, training: Any = None) -> Worker:
        return make_worker(self.recipe, self.study, self.deploy, self.store, training)


@contextmanager
def _makers(job: _Job, workers: int, training: Any) -> Iterator[Make]:
    """What makes cells, in whatever order they are finished: this process, or some beside each other."""
    if workers == 1:
        worker = job.worker(training)
        yield lambda cells: ((cell, _guarded(worker, cell)) for cell in cells)
        return
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(job,)) as pool:

        def make(cells: Sequence[Cell]) -> Iterator[tuple[Cell, Found]]:
            futures = {pool.submit(_in_worker, cell): cell for cell in cells}
            for future in as_completed(futures):
                try:
                    yield futures[future], future.result()
                except BrokenProcessPool as error:
                    fix = "run the same command again, with fewer --workers if memory is short"
                    raise UserError("a worker died", where=futures[future].key, why=str(error), fix=fix) from error

        yield make


_worker: list[Worker] = []
"""The worker of a process that was started for one study."""


def _begin(job: _Job) -> None:
    use_threads(1)
    _worker.append(job.worker())


def _in_worker(cell: Cell) -> Found:
    return _guarded(_worker[0], cell)


def _guarded(worker: Worker, cell: Cell) -> Found:
    try:
        return worker.run(cell)
    except SliceflowError as error:
        return error
