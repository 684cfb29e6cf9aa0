"""A recipe carried out: the network is built, trained, pruned and judged."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels.groups import check_layers, find_groups
from sliceflow.pruning.channels.size import Size, size_of_module
from sliceflow.pruning.equilibrium.freezing import BackwardCost
from sliceflow.pruning.equilibrium.neq import Equilibrium
from sliceflow.pruning.method import Outcome
from sliceflow.pruning.recipes.recipe import Recipe
from sliceflow.pruning.recipes.references import blamed
from sliceflow.pruning.recipes.sources import build_model, build_task, check_fit
from sliceflow.pruning.training.fit import History, Training
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import Quality, Task, evaluate


@dataclasses.dataclass(frozen=True)
class Pruned:
    """What became of a recipe.

    Attributes:
        model: the pruned network; what is masked is zero, and the layers have kept their sizes.
        task: its examples.
        outcome: what the method did.
        dense: tensors of the network before pruning.
        dense_size: its size.
        dense_quality: on the test examples, before pruning.
        quality: on the test examples, pruned and trained.
        pretrained: how the network was trained; None if its weights were given.
        aligned: what was done to fill an accelerator's lanes, in words.
        backward: what back-propagation cost in each epoch of that training, if neurons at equilibrium were left out.
    """

    model: nn.Module
    task: Task
    outcome: Outcome
    dense: dict[str, Tensor]
    dense_size: Size
    dense_quality: Quality
    quality: Quality
    pretrained: History | None
    aligned: str = "not asked for"
    backward: tuple[BackwardCost, ...] = ()


def prune_recipe(recipe: Recipe, run: Run) -> Pruned:
    """Train (where no weights are given), prune, and judge.

    Stages that the run's folder has are not repeated: those of training as long as network, data and training are the
    same, those of pruning as long as the whole recipe is.

    Args:
        recipe: the recipe.
        run: where checkpoints are kept, and who looks on.

    Raises:
        UserError: something in the recipe does not work. All that can be found out before training is.
    """
    with blamed((recipe.model.build, recipe.data.load or "", recipe.task.loss, recipe.task.metric)):
        return _carry_out(recipe, run)


def _carry_out(recipe: Recipe, run: Run) -> Pruned:
    method = recipe.prune.make_method()
    request = recipe.prune.request(recipe.finetune)
    model, task = build_model(recipe), build_task(recipe)
    if recipe.equilibrium is not None and recipe.pretrain is None:
        raise UserError(
            "[equilibrium] is about training before pruning, and there is none", where="recipe", fix="add [pretrain]"
        )
    if recipe.pretrain is None and recipe.model.weights is None:
        raise UserError(
            "there is nothing to prune: the network is not trained",
            where="recipe",
            fix="add a section [pretrain], or `weights` to [model]",
        )
    check_fit(model, task)
    check_layers(model, request.protect)
    if method.structured:
        find_groups(model, task.example(), request.protect)
    size = size_of_module(model, task.example())
    trained, whole = _keys(recipe)
    pretrained: History | None = None
    costs: tuple[BackwardCost, ...] = ()
    if recipe.pretrain is not None:
        pretrained, costs = pretrain(recipe, recipe.pretrain, model, task, run.under(f"train-{trained}"))
    dense = {name: value.detach().clone() for name, value in model.state_dict().items()}
    dense_quality = evaluate(model, task.test, task)
    outcome = method.prune(model, task, request, run.under(f"prune-{whole}"))
    quality = evaluate(model, task.test, task)
    return Pruned(model, task, outcome, dense, size, dense_quality, quality, pretrained, backward=costs)


def pretrain(
    recipe: Recipe, training: Training, model: nn.Module, task: Task, run: Run
) -> tuple[History, tuple[BackwardCost, ...]]:
    """Train the network that is pruned then, with the recipe's ``[equilibrium]`` if it has one.

    Returns:
        What happened, and what back-propagation would have cost in each epoch; nothing without that section.
    """
    options = recipe.equilibrium
    if options is None:
        return run.fit("pretrain", model, task, training), ()
    batches: list[Tensor] = []
    for inputs, _ in task.validation:
        batches.append(inputs)
        if sum(map(len, batches)) >= options.images:
            break
    images = torch.cat(batches)[: options.images]
    freezing = Equilibrium(model, images.split(recipe.data.batch), options)
    return run.fit("pretrain", model, task, training, [freezing]), tuple(freezing.costs)


def _keys(recipe: Recipe) -> tuple[str, str]:
    """Checksums of all that the trained network depends on, and of all that the pruned one does."""
    document = recipe.to_json()
    names = (recipe.model.weights, recipe.data.train, recipe.data.validation, recipe.data.test)
    codes = (recipe.model.build, recipe.data.load or "", recipe.task.loss, recipe.task.metric)
    files = [name for name in names if name] + [
        place for code in codes if (place := code.partition(":")[0])[-3:] == ".py"
    ]
    contents = {name: hashlib.sha256(recipe.file(name).read_bytes()).hexdigest() for name in files}
    sections = ("model", "data", "task", "pretrain", "equilibrium")
    base: dict[str, Any] = {key: document[key] for key in sections} | {"files": contents}
    whole = base | {key: document[key] for key in ("finetune", "prune")}
    first, second = (hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest() for facts in (base, whole))
    return first[:16], second[:16]
