"""A pruned network brought to sizes that fill the accelerator's lanes, and trained on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from sliceflow.alignment import Options
from sliceflow.hardware.profile import Profile
from sliceflow.mapping.layer_cycles import lanes, layer_cycles
from sliceflow.pruning.channels.align import align
from sliceflow.pruning.recipes.pipeline import Pruned
from sliceflow.pruning.recipes.recipe import Recipe
from sliceflow.pruning.training import fingerprint
from sliceflow.pruning.training.fit import Training
from sliceflow.pruning.training.masks import Masks
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import Task, evaluate
from sliceflow.study.sections import DeploySection
from sliceflow.study.store import checksum


@dataclasses.dataclass(frozen=True)
class Aligner:
    """Aligns masked networks to one accelerator.

    Attributes:
        recipe: names the layers that stay.
        deploy: how it is done.
        profile: the accelerator.
    """

    recipe: Recipe
    deploy: DeploySection
    profile: Profile

    def align(
        self, model: Any, masks: Masks, dense: Mapping[str, Any], task: Task, training: Training, run: Run
    ) -> str:
        """Align a network, in place, and train it if anything changed.

        Args:
            model: a torch network.
            masks: what is pruned in it.
            dense: its state before pruning.
            task: its data.
            training: how it is trained; ``[deploy] align_epochs`` says how long, if it is there.
            run: where checkpoints are kept, and who looks on.

        Returns:
            What was done, in words.

        Raises:
            UserError: the network cannot be traced.
        """
        deploy = self.deploy
        if deploy.align == "none":
            return "left as it is"
        facts = [fingerprint.of_model(model), dataclasses.asdict(deploy), dataclasses.asdict(self.profile)]
        options = Options(mode=deploy.align, multiples=lanes(self.profile), price=deploy.price)
        cycles_of = functools.partial(layer_cycles, profile=self.profile)
        report = align(model, task.example(), masks, dense, cycles_of, options, protect=self.recipe.prune.protect)
        changed = [group for group in report.groups if group.before != group.after]
        if not changed:
            return f"{deploy.align}: nothing to gain"
        if deploy.align_epochs is not None:
            training = dataclasses.replace(training, epochs=deploy.align_epochs)
        part = run.under(f"align-{checksum([*facts, dataclasses.asdict(training)])[:16]}")
        part.fit("align", model, task, training, [masks])
        changes = ", ".join(f"{group.name} {group.before} to {group.after}" for group in changed)
        return f"{deploy.align}: channels of {changes}"


def align_pruned(pruned: Pruned, aligner: Aligner, run: Run) -> Pruned:
    """Align what became of a recipe, in place.

    Args:
        pruned: the network.
        aligner: how.
        run: where checkpoints are kept, and who looks on.

    Returns:
        The network, judged anew; ``aligned`` says what was done to it.
    """
    model, task = pruned.model, pruned.task
    says = aligner.align(model, pruned.outcome.masks, pruned.dense, task, aligner.recipe.finetune, run)
    return dataclasses.replace(pruned, quality=evaluate(model, task.test, task), aligned=says)
