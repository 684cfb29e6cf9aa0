"""From a recipe to a network and a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from sliceflow.errors import UserError
from sliceflow.pruning.recipes.recipe import DataSection, Recipe
from sliceflow.pruning.recipes.references import call, reason_of, resolve
from sliceflow.pruning.training.task import Task, correct, evaluating


def build_model(recipe: Recipe, *, seed: int | None = None) -> nn.Module:
    """The network of a recipe, with its weights if it names any.

    Args:
        recipe: the recipe.
        seed: of the weights that are drawn at random; ``model.seed`` of the recipe if omitted.

    Raises:
        UserError: it cannot be built, or the weights do not fit.
    """
    section = recipe.model
    function = resolve(section.build, Path(recipe.folder), "[model] build")
    torch.manual_seed(section.seed if seed is None else seed)
    model = call(function, section.arguments, "[model] build")
    if not isinstance(model, nn.Module):
        raise UserError(f"this returned {type(model).__name__}, not a torch.nn.Module", where="[model] build")
    if section.weights is not None:
        load_weights(model, recipe.file(section.weights))
    return model


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill a network from a file of tensors.

    Args:
        model: changed in place.
        path: ``.safetensors``, or ``.pt`` and ``.pth``: a mapping of names to tensors; nothing in it is executed.

    Raises:
        UserError: the file cannot be read, is damaged, holds something else, or belongs to another network.
    """
    state = _read_tensors(path)
    own = model.state_dict()
    missing, other = own.keys() - state.keys(), state.keys() - own.keys()
    shapes = [name for name in own.keys() & state.keys() if own[name].shape != state[name].shape]
    if missing or other or shapes:
        name = min(shapes or missing or other)
        facts = f"{len(missing)} tensors are missing, {len(other)} unknown, {len(shapes)} of another shape"
        raise UserError("the weights belong to another network", where=str(path), why=f"{facts}; one is {name!r}")
    if bad := [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]:
        raise UserError("the weights are not finite", where=f"{path}, {min(bad)}")
    model.load_state_dict(state)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise UserError("weights are read from .safetensors and .pt files", where=str(path))
    try:
        if path.suffix == ".safetensors":
            import safetensors.torch

            state = dict(safetensors.torch.load(path.read_bytes()))
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file leads to errors of a dozen kinds
        raise UserError(
            "the weights cannot be read",
            where=str(path),
            why=_said(error),
            fix="save model.state_dict() with safetensors.torch.save_file",
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(
            "the weights are not a mapping of names to tensors",
            where=str(path),
            fix="save model.state_dict(), best with safetensors.torch.save_file",
        )
    return state


def build_task(recipe: Recipe) -> Task:
    """The task of a recipe: its data in batches, its loss and metric.

    Training examples are shuffled by torch's global generator, as ``training.fit`` wants it.

    Raises:
        UserError: the data cannot be loaded, or a function is not found.
    """
    train, validation, test = load_datasets(recipe.data, Path(recipe.folder))
    if validation is None:
        train, validation = _split(train, recipe.data)
    batch = recipe.data.batch
    single = len(train) % batch == 1 and len(train) > batch  # batch normalization cannot be trained with one example
    return Task(
        train=DataLoader(train, batch, shuffle=True, drop_last=single),
        validation=DataLoader(validation, batch),
        test=DataLoader(test, batch),
        loss=_function(recipe, recipe.task.loss, {"cross-entropy": _cross_entropy}, "[task] loss"),
        metric=_function(recipe, recipe.task.metric, {"accuracy": correct}, "[task] metric"),
    )


def load_datasets(section: DataSection, folder: Path) -> tuple[Any, Any, Any]:
    """The data sets for training, validation (or None) and test.

    Raises:
        UserError: they cannot be loaded, or one is empty.
    """
    if section.load is not None:
        found = call(resolve(section.load, folder, "[data] load"), section.arguments, "[data] load")
        if not isinstance(found, Sequence) or len(found) != 3:
            raise UserError("this must return three data sets: training, validation, test", where="[data] load")
        sets = tuple(found)
    else:
        names = (section.train, section.validation, section.test)
        sets = tuple(None if name is None else read_examples(folder / name) for name in names)
    for name, found in zip(("training", "validation", "test"), sets, strict=True):
        if found is None and name == "validation":
            continue
        if not hasattr(found, "__len__") or not hasattr(found, "__getitem__"):
            raise UserError(f"the set for {name} has no length, or no items", where="[data]")
        if not len(found):
            raise UserError(f"the set for {name} is empty", where="[data]")
    return sets[0], sets[1], sets[2]


def read_examples(path: Path) -> TensorDataset:
    """Examples of a file.

    Args:
        path: ``.npz`` with ``input``, ``[N, ...]`` of numbers, which become float32, and ``label``, ``[N]`` or
            ``[N, H, W]`` of integers.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            inputs, labels = np.asarray(arrays["input"]), np.asarray(arrays["label"])
    except KeyError as error:
        raise UserError("the file needs the arrays `input` and `label`", where=str(path), why=str(error)) from error
    except Exception as error:  # a damaged archive leads to errors of a dozen kinds
        raise UserError("the examples cannot be read", where=str(path), why=_said(error)) from error
    if not np.issubdtype(labels.dtype, np.integer) or inputs.dtype.kind not in "fiub":
        why = f"`input` holds {inputs.dtype}, `label` {labels.dtype}"
        raise UserError("inputs must be numbers, and labels integers", where=str(path), why=why)
    if inputs.ndim < 2 or len(inputs) != len(labels):
        why = f"`input` is {list(inputs.shape)}, `label` {list(labels.shape)}"
        raise UserError("there must be one label for each input", where=str(path), why=why)
    values = np.ascontiguousarray(inputs, dtype=np.float32)
    if not np.isfinite(values).all():
        raise UserError("the inputs are not finite", where=str(path))
    return TensorDataset(torch.from_numpy(values), torch.from_numpy(labels.astype(np.int64)))


def _split(train: Any, section: DataSection) -> tuple[Dataset[Any], Dataset[Any]]:
    count = round(len(train) * section.validation_share)
    if not 0 < count < len(train):
        why = f"{section.validation_share:g} of {len(train)} examples are {count}"
        raise UserError("the examples do not suffice for training and validation", where="[data]", why=why)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(section.seed)).tolist()
    return Subset(train, sorted(order[count:])), Subset(train, sorted(order[:count]))


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    try:
        return functional.cross_entropy(outputs, targets)
    except (IndexError, RuntimeError, ValueError, TypeError) as error:
        facts = f"outputs {list(outputs.shape)}, labels {int(targets.min())} to {int(targets.max())}"
        raise UserError("the labels do not fit the outputs", where=facts, why=reason_of(error)) from error


def _function(
    recipe: Recipe, name: str, known: dict[str, Callable[..., Any]], where: str
) -> Callable[[Tensor, Tensor], Tensor]:
    if name in known:
        return known[name]
    if ":" not in name:
        fix = f"write {', '.join(known)}, or package.module:function"
        raise UserError(f"this is not known: {name!r}", where=where, fix=fix)
    return resolve(name, Path(recipe.folder), where)


def check_fit(model: nn.Module, task: Task) -> None:
    """Make sure that network, examples, loss and metric belong together, before anything long begins.

    Raises:
        UserError: they do not.
    """
    for name, loader in (("training", task.train), ("validation", task.validation), ("test", task.test)):
        try:
            with evaluating(model), torch.no_grad():
                inputs, targets = next(iter(loader))
                outputs = model(inputs)
                loss, metric = task.loss(outputs, targets), task.metric(outputs, targets)
        except UserError:
            raise
        except Exception as error:  # network, data, loss and metric are the user's code
            raise UserError(
                "network, examples, loss and metric do not fit together",
                where=f"first batch of {name}",
                why=reason_of(error),
            ) from error
        if (
            not isinstance(loss, Tensor)
            or loss.ndim
            or not isinstance(metric, Tensor)
            or metric.shape != inputs.shape[:1]
        ):
            why = f"the loss is {_form(loss)}, the metric {_form(metric)}, for inputs {_form(inputs)}"
            raise UserError("the loss must be one number, the metric one number for each example", where=name, why=why)


def _said(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or reason_of(error)


def _form(value: Any) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else type(value).__name__
