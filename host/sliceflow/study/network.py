"""Networks of a study: trained, pruned, or trained from scratch at the size of a pruned one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sliceflow.errors import UserError
from sliceflow.hardware.profile import Profile
from sliceflow.pruning.channels.groups import find_groups
from sliceflow.pruning.channels.shrink import shrink
from sliceflow.pruning.method import Method, Request
from sliceflow.pruning.recipes.pipeline import pretrain
from sliceflow.pruning.recipes.recipe import Recipe
from sliceflow.pruning.recipes.sources import build_model
from sliceflow.pruning.training.callback import Callback
from sliceflow.pruning.training.fit import History, Training
from sliceflow.pruning.training.fresh import fresh_copy
from sliceflow.pruning.training.masks import Masks
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import Task
from sliceflow.study.align import Aligner
from sliceflow.study.budget import budgeted
from sliceflow.study.cells import Cell
from sliceflow.study.sections import ALIGNED, SCRATCH, UNPRUNED, DeploySection, StudySection
from sliceflow.study.shares import channel_share, weight_share


@dataclasses.dataclass(frozen=True)
class CountedRun(Run):
    """A run that counts epochs, those of stages that were resumed or loaded too.

    Attributes:
        spent: stage by stage, its folder and name, and how many epochs it ran.
    """

    spent: list[tuple[str, int]] = dataclasses.field(default_factory=list)

    def fit(
        self, stage: str, model: Any, task: Task, training: Training, callbacks: Sequence[Callback] = ()
    ) -> History:
        """See ``Run.fit``."""
        history = super().fit(stage, model, task, training, callbacks)
        self.spent.append((stage, len(history.epochs) - 1))
        return history

    @property
    def epochs(self) -> int:
        """Epochs of all stages."""
        return sum(count for _, count in self.spent)


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of a study.

    Attributes:
        model: the torch network; what is pruned is zero, or gone.
        share: what the method was asked for, see ``Request.ratio``; 0 without a method.
        epochs: of training since the network that all methods start from; from scratch, since the beginning.
        log: the method's.
        notes: what a reader should know.
        masks: what is pruned; None if nothing is, or if it is gone.
    """

    model: Any
    share: float
    epochs: int
    log: list[dict[str, Any]]
    notes: tuple[str, ...] = ()
    masks: Masks | None = None


@dataclasses.dataclass(frozen=True)
class Trainer:
    """Makes the networks of a study's cells.

    Attributes:
        recipe: where network, data and training come from.
        study: what is compared.
        deploy: how networks are aligned.
        profile: the accelerator.
        task: the data.
        work: folder of checkpoints.
    """

    recipe: Recipe
    study: StudySection
    deploy: DeploySection
    profile: Profile
    task: Task
    work: Path

    def make(self, cell: Cell, progress: Any = None) -> Network:
        """Train the network of a cell, going on where an earlier run was stopped.

        Args:
            cell: which one.
            progress: see ``Run.progress``.

        Raises:
            UserError: the network does not suit the method.
        """
        if cell.kind == UNPRUNED:
            return self._unpruned(cell, progress)
        if cell.kind == SCRATCH:
            return self._scratch(cell, progress)
        if cell.kind == ALIGNED:
            return self._aligned(cell, progress)
        return self._pruned(cell, progress)

    @property
    def budget(self) -> int:
        """Epochs of fine-tuning that a cell gets."""
        return self.recipe.finetune.epochs if self.study.budget is None else self.study.budget

    def trained(self, seed: int, progress: Any) -> Any:
        """The network that all methods of a seed start from."""
        model = build_model(self.recipe, seed=seed)
        if self.recipe.pretrain is not None:
            training = dataclasses.replace(self.recipe.pretrain, seed=seed)
            pretrain(self.recipe, training, model, self.task, Run(self.work / f"trained-s{seed}", progress))
        elif self.recipe.model.weights is None:
            raise UserError(
                "there is no trained network to prune",
                where=self.recipe.folder,
                fix="add a section [pretrain] to the recipe, or name [model] weights",
            )
        return model

    def _unpruned(self, cell: Cell, progress: Any) -> Network:
        model = self.trained(cell.seed, progress)
        run = CountedRun(self.work / cell.key, progress)
        training = dataclasses.replace(self.recipe.finetune, epochs=self.budget, seed=cell.seed)
        run.fit("finetune", model, self.task, training)
        return Network(model, 0.0, run.epochs, [])

    def _pruned(self, cell: Cell, progress: Any) -> Network:
        model = self.trained(cell.seed, progress)
        method, epochs = budgeted(cell.method, self.study, self.budget)
        share = self._share(method, cell, model)
        training = dataclasses.replace(self.recipe.finetune, epochs=epochs, seed=cell.seed)
        request = Request(ratio=share, training=training, protect=self.recipe.prune.protect, seed=cell.seed)
        run = CountedRun(self.work / cell.key, progress)
        outcome = method.prune(model, self.task, request, run)
        notes = []
        if run.epochs != self.budget:
            notes.append(f"trained for {run.epochs} epochs, not for the budget of {self.budget}")
        return Network(model, share, run.epochs, outcome.log, tuple(notes), outcome.masks)

    def _share(self, method: Method, cell: Cell, model: Any) -> float:
        if self.study.unit == "share":
            return cell.ratio
        if not method.structured:
            return weight_share(cell.ratio)
        groups = find_groups(model, self.task.example(), self.recipe.prune.protect)
        chosen = getattr(method, "layers", "all")
        groups = [group for group in groups if _is_of(group, chosen)]
        share = channel_share(model, groups, cell.ratio)
        return math.floor(share * 1e6) / 1e6  # the search's last digits depend on the order of sums

    def _aligned(self, cell: Cell, progress: Any) -> Network:
        dense = self.trained(cell.seed, None).state_dict()
        found = self._pruned(cell.pruned, progress)  # read from its checkpoints
        run = CountedRun(self.work / cell.key, progress)
        training = dataclasses.replace(self.recipe.finetune, seed=cell.seed)
        masks = found.masks or Masks(found.model)
        aligner = Aligner(self.recipe, self.deploy, self.profile)
        says = aligner.align(found.model, masks, dense, self.task, training, run)
        notes = (f"{run.epochs} of its epochs followed alignment",) if run.epochs else ()
        log = [*found.log, {"aligned": says}]
        return Network(found.model, found.share, found.epochs + run.epochs, log, notes, masks)

    def _scratch(self, cell: Cell, progress: Any) -> Network:
        pruned = self._pruned(cell.pruned, progress)  # read from its checkpoints
        shrink(pruned.model, self.task.example(), masks=pruned.masks)
        model = fresh_copy(pruned.model, cell.seed)
        # What could not be cut, as where the network's code has a size in it, is never alive: it leaves with export.
        masks = Masks(model, dict(pruned.masks.items()) if pruned.masks is not None else None)
        run = CountedRun(self.work / cell.key, progress)
        base = self.recipe.pretrain or self.recipe.finetune
        first = self.recipe.pretrain.epochs if self.recipe.pretrain is not None else 0
        training = dataclasses.replace(base, epochs=first + pruned.epochs, seed=cell.seed)
        run.fit("scratch", model, self.task, training, [masks])
        return Network(model, pruned.share, run.epochs, [])


def _is_of(group: Any, chosen: str) -> bool:
    """Whether a method that is limited to ``conv`` or ``linear`` layers may prune a group."""
    if chosen == "all":
        return True
    return all(hasattr(maker.module, "out_features") == (chosen == "linear") for maker in group.makers)
