"""A pruned network brought to sizes that fill the accelerator's lanes, and trained on."""

from __future__ import annotations

import dataclasses
import functools

from sliceflow.alignment import Options
from sliceflow.hardware.profile import Profile
from sliceflow.mapping.layer_cycles import lanes, layer_cycles
from sliceflow.pruning import fingerprint
from sliceflow.pruning.align import align
from sliceflow.pruning.pipeline import Pruned
from sliceflow.pruning.recipe import Recipe
from sliceflow.pruning.run import Run
from sliceflow.pruning.task import evaluate
from sliceflow.study.sections import DeploySection
from sliceflow.study.store import checksum


def align_pruned(
    pruned: Pruned, recipe: Recipe, deploy: DeploySection, profile: Profile, run: Run
) -> tuple[Pruned, str]:
    """Align a masked network, in place, and train it if anything changed.

    Args:
        pruned: the network.
        recipe: how it is trained.
        deploy: how it is aligned.
        profile: the accelerator.
        run: where checkpoints are kept, and who looks on.

    Returns:
        The network, and what was done to it, in words.

    Raises:
        UserError: the network cannot be traced.
    """
    masks, task = pruned.outcome.masks, pruned.task
    facts = [fingerprint.of_model(pruned.model), dataclasses.asdict(deploy), dataclasses.asdict(profile)]
    if deploy.align == "none":
        return pruned, "left as it is"
    options = Options(mode=deploy.align, multiples=lanes(profile), price=deploy.price)
    cycles_of = functools.partial(layer_cycles, profile=profile)
    report = align(pruned.model, task.example(), masks, pruned.dense, cycles_of, options, protect=recipe.prune.protect)
    changed = [group for group in report.groups if group.before != group.after]
    if not changed:
        return pruned, f"{deploy.align}: nothing to gain"
    epochs = recipe.finetune.epochs if deploy.align_epochs is None else deploy.align_epochs
    training = dataclasses.replace(recipe.finetune, epochs=epochs)
    part = run.under(f"align-{checksum([*facts, dataclasses.asdict(training)])[:16]}")
    part.fit("align", pruned.model, task, training, [masks])
    quality = evaluate(pruned.model, task.test, task)
    changes = ", ".join(f"{group.name} {group.before} to {group.after}" for group in changed)
    return dataclasses.replace(pruned, quality=quality), f"{deploy.align}: channels of {changes}"
