"""Recipes: one TOML file that says which network is pruned, with which data, and how.

A section is a frozen dataclass, and a field of ``Recipe``; to add one, write the dataclass of its keys beside the code
that uses it and add a field of that type, or of that type and None. Unknown keys, missing keys and wrong types are
refused for all of them. Paths are relative to the recipe's folder.

    [model]
    build = "models.zoo:network"            # or "file.py:function"
    arguments = { name = "vgg-mnist" }
    weights = "trained.safetensors"         # without weights the network is trained first

    [data]
    load = "models.data:mnist5k_datasets"   # or train = "train.npz", test = "test.npz"
    batch = 64

    [pretrain]
    epochs = 10

    [equilibrium]                           # if it is there, [pretrain] leaves out neurons that have settled
    observe = "outputs"

    [finetune]
    epochs = 5
    learning_rate = 0.01

    [prune]
    method = "l1-filter"
    ratio = 0.5
    options = { rounds = 3, schedule = "uniform" }
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sliceflow.errors import UserError
from sliceflow.pruning.equilibrium.neq import EquilibriumSection
from sliceflow.pruning.method import Method, Request
from sliceflow.pruning.methods import make_method
from sliceflow.pruning.options import parse
from sliceflow.pruning.training.fit import Training


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSection:
    """The network.

    Attributes:
        build: ``package.module:function`` or ``file.py:function``; returns a ``torch.nn.Module``.
        arguments: keyword arguments of that function.
        weights: ``.safetensors``, or a ``.pt`` file of tensors; None starts from what ``build`` returns.
        seed: of weights that ``build`` draws at random.
    """

    build: str
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    weights: str | None = None
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSection:
    """The examples: either ``load``, or the files ``train`` and ``test``.

    Attributes:
        load: ``package.module:function`` or ``file.py:function``; returns the data sets for training, validation and
            test, each a sequence of pairs of input and target; None for validation takes a share of training.
        arguments: keyword arguments of that function.
        train, validation, test: ``.npz`` files with arrays ``input`` and ``label``.
        batch: examples of a step.
        validation_share: part of the training examples that validates if there is no set for it, drawn at random.
        seed: of that draw.
    """

    load: str | None = None
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    batch: int = 64
    validation_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        files = (self.train, self.validation, self.test)
        if (self.load is None) == all(name is None for name in files):
            raise UserError("give either `load` or the files `train` and `test`", where="[data]")
        if self.load is None and (self.train is None or self.test is None):
            raise UserError("both files, `train` and `test`, are needed", where="[data]")
        if self.batch < 1 or not 0 < self.validation_share < 1:
            raise UserError("`batch` must be at least 1, and `validation_share` between 0 and 1", where="[data]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskSection:
    """What is learnt.

    Attributes:
        loss: ``cross-entropy``, or a function of outputs and targets as ``package.module:function``.
        metric: ``accuracy`` (of pixels for maps), or a function that returns one number for each example.
    """

    loss: str = "cross-entropy"
    metric: str = "accuracy"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PruneSection:
    """What is pruned.

    Attributes:
        method: a name of ``methods.METHODS``.
        ratio: see ``Request.ratio``.
        options: of the method.
        protect: layers that stay whole.
        seed: of what is random in the method.
    """

    method: str = "l1-filter"
    ratio: float = 0.5
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    protect: tuple[str, ...] = ()
    seed: int = 0

    def make_method(self) -> Method:
        """The method with its options."""
        return make_method(self.method, **self.options)

    def request(self, training: Training) -> Request:
        """What the method is asked for, with its training."""
        return Request(ratio=self.ratio, training=training, protect=self.protect, seed=self.seed)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportSection:
    """What is written beside the pruned network.

    Attributes:
        calibration: training examples to quantize with.
        evaluation: most test examples to judge with.
    """

    calibration: int = 256
    evaluation: int = 10_000

    def __post_init__(self) -> None:
        if self.calibration < 1 or self.evaluation < 1:
            raise UserError("there must be 1 example at least", where="[export]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """All sections. ``folder`` is where the file lies; files named in it are relative to that.

    ``deploy`` and ``study`` are left as they stand in the file: ``sliceflow.study`` parses and checks them.
    """

    model: ModelSection
    data: DataSection
    finetune: Training
    pretrain: Training | None = None
    equilibrium: EquilibriumSection | None = None
    task: TaskSection = TaskSection()
    prune: PruneSection = PruneSection()
    export: ExportSection = ExportSection()
    deploy: dict[str, Any] | None = None
    study: dict[str, Any] | None = None
    folder: str = "."

    def file(self, name: str) -> Path:
        """A file that the recipe names."""
        return Path(self.folder) / name

    def to_json(self) -> dict[str, Any]:
        """The recipe as plain data, with all defaults, without the folder."""
        document = dataclasses.asdict(self)
        del document["folder"]
        return document


def load_recipe(path: Path, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: a TOML file.
        changes: keys of sections that replace those of the file.

    Raises:
        UserError: the file cannot be read, is no TOML, or a key is unknown, missing or of a wrong type.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        document = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError("the recipe cannot be read", where=str(path), why=str(error)) from error
    if "folder" in document:
        raise UserError("an option is wrong", where=str(path), why="folder: there is no such key", fix="leave it out")
    for section, values in (changes or {}).items():
        own = document.setdefault(section, {})
        if isinstance(own, dict):
            own.update(values)
    try:
        return dataclasses.replace(parse(Recipe, document, str(path)), folder=str(path.parent))
    except UserError as error:
        where = error.where if str(path) in error.where else f"{path}, {error.where}"
        raise UserError(error.what, where=where, why=error.why, fix=error.fix) from error
