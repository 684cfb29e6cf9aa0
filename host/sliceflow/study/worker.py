"""One cell of a study, from training to its result."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from sliceflow.frontend import load_model
from sliceflow.hardware.profile import Profile
from sliceflow.pruning.recipes.recipe import Recipe
from sliceflow.pruning.recipes.sources import build_task
from sliceflow.study import judge
from sliceflow.study.build import input_name
from sliceflow.study.cells import Cell
from sliceflow.study.export import exported
from sliceflow.study.latency import median_ratio, side_by_side
from sliceflow.study.measure import Exam, Measured, measure, predict
from sliceflow.study.naming import named
from sliceflow.study.network import Network, Trainer
from sliceflow.study.sections import UNPRUNED, DeploySection, StudySection, profile_of
from sliceflow.study.store import Store

_SHOWN = 50
"""Most examples on which two networks disagree that are listed."""


@dataclasses.dataclass(frozen=True)
class Worker:
    """Makes, measures and stores cells.

    Attributes:
        trainer: makes the networks.
        deploy: how they are measured.
        profile: the accelerator.
        exam: the examples.
        store: where results go.
        progress: see ``Run.progress``.
    """

    trainer: Trainer
    deploy: DeploySection
    profile: Profile
    exam: Exam
    store: Store
    progress: Any = None

    def run(self, cell: Cell) -> dict[str, Any]:
        """Make a cell's result and store it; if it is there, return it.

        Raises:
            SliceflowError: the cell cannot be made; the message names it.
        """
        found = self.store.result(cell.key)
        if found is not None:
            return found
        begin = time.perf_counter()
        with named(f"cell {cell.key}"):
            dense = None if cell.kind == UNPRUNED else self.store.model(Cell(UNPRUNED, "", 0, cell.seed).key)
            network = self.trainer.make(cell, self.progress)
            graph = exported(network.model, self.trainer.task.example())
            measured = measure(graph, self.exam, self.profile, name=cell.key, device=self.deploy.device)
            document = self._document(cell, network, measured, dense)
        document["seconds"] = round(time.perf_counter() - begin, 2)
        self.store.put_model(cell.key, measured.model)
        self.store.put(cell.key, document)
        return document

    def _document(self, cell: Cell, network: Network, measured: Measured, dense: bytes | None) -> dict[str, Any]:
        document = {
            "cell": dataclasses.asdict(cell),
            "share": network.share,
            "epochs": network.epochs,
            "measurement": measured.result.to_json(),
            "notes": list(network.notes),
            "log": network.log,
        }
        if dense is not None:
            document["against_unpruned"] = self._against(dense, measured)
        return document

    def _against(self, dense: bytes, measured: Measured) -> dict[str, Any]:
        """Latency beside the unpruned network of the same seed, and where the two disagree."""
        name = input_name(load_model(dense))
        models = {"unpruned": dense, "this": measured.model}
        times = side_by_side(models, {name: self.exam.images[:1]}, self.deploy.rounds)
        outputs = predict(dense, name, self.exam.images, UNPRUNED)
        examples = judge.disagreements(outputs, measured.outputs)
        return {
            "speed_up_onnx_runtime": median_ratio(times, "unpruned", "this"),
            "milliseconds": {key: sorted(values)[len(values) // 2] for key, values in times.items()},
            "disagreements": len(examples),
            "examples": examples[:_SHOWN],
        }


def make_worker(
    recipe: Recipe,
    study: StudySection,
    deploy: DeploySection,
    store: Store,
    progress: Any = None,
) -> Worker:
    """The worker of a recipe, with its data loaded."""
    task, profile = build_task(recipe), profile_of(recipe, deploy)
    return Worker(
        trainer=Trainer(recipe, study, deploy, profile, task, store.folder / "work"),
        deploy=deploy,
        profile=profile,
        exam=Exam.of(task, recipe.export.calibration, recipe.export.evaluation),
        store=store,
        progress=progress,
    )
