"""The sections of a recipe that studies and the chain read, besides those of ``sliceflow.pruning.recipes.recipe``.

    [deploy]
    profile = "int8-8x8"

    [study]
    methods = ["l2-filter", "taylor"]      # "random" is added as a control
    ratios = [2, 4, 8, 16, 32]             # original size divided by the remaining one
    seeds = [0, 1, 2]
    budget = 6                             # epochs of fine-tuning that each cell gets

    [study.options.l2-filter]
    layers = "all"

All keys but ``methods`` and ``ratios`` have defaults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

from sliceflow.errors import UserError
from sliceflow.hardware.profile import Profile
from sliceflow.pruning.methods import METHODS, make_method
from sliceflow.pruning.options import parse
from sliceflow.pruning.recipes.recipe import Recipe

UNPRUNED, PRUNED, SCRATCH, ALIGNED = "unpruned", "pruned", "scratch", "aligned"
RANDOM: Mapping[bool, str] = {True: "random", False: "random-weights"}
"""The random control of structured methods, and of others."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeploySection:
    """The accelerator, and how networks are measured for it.

    Attributes:
        profile: name or path of the profile.
        device: runs the quantized networks: ``csim``, ``reference`` or ``rtl``.
        verify: images on which device and reference are compared, value by value.
        rounds: rounds in which latency on the CPU is measured.
        align: how the chain brings channels to sizes that fill the accelerator's lanes, see
            ``sliceflow.alignment.Options``; ``none`` leaves them as pruning did.
        align_epochs: of training behind that; None takes those of ``[finetune]``.
        price: see ``sliceflow.alignment.Options``.
    """

    profile: str = "int8-8x8"
    device: str = "csim"
    verify: int = 2
    rounds: int = 15
    align: Literal["none", "up", "down", "auto"] = "auto"
    align_epochs: int | None = None
    price: float = 1.0

    def __post_init__(self) -> None:
        if self.price < 0 or (self.align_epochs is not None and self.align_epochs < 0):
            raise UserError("`price` and `align_epochs` must not be negative", where="[deploy]")
        for name in ("verify", "rounds"):
            value = getattr(self, name)
            if value < 1:
                raise UserError(f"`{name}` must be at least 1, not {value}", where="[deploy]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudySection:
    """What is compared.

    Attributes:
        methods: names of ``sliceflow.pruning.methods.METHODS``.
        ratios: how far each is asked to prune: sizes as compression ratios, or shares as ``Request.ratio`` takes them.
        unit: what ``ratios`` are.
        seeds: of initialization, training and pruning; each makes one unpruned network, which all methods start from.
        budget: epochs of fine-tuning that each cell gets, the unpruned control too; None takes those of ``[finetune]``.
        options: for methods that need other ones than their defaults.
        random: add the random control of the methods' kind.
        scratch: methods whose pruned networks are also trained from scratch, as a control; None takes the first
            structured one.
        aligned: methods whose pruned networks are also brought to sizes that fill the accelerator's lanes, as
            ``[deploy] align`` says, and trained on for ``align_epochs``.
    """

    methods: tuple[str, ...]
    ratios: tuple[float, ...]
    unit: Literal["compression", "share"] = "compression"
    seeds: tuple[int, ...] = (0, 1, 2)
    budget: int | None = None
    options: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    random: bool = True
    scratch: tuple[str, ...] | None = None
    aligned: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("methods", "ratios", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise UserError(f"`{name}` must name at least one, and none twice", where="[study]")
        low, high = (1, float("inf")) if self.unit == "compression" else (0, 1)
        for ratio in self.ratios:
            if not low < ratio < high:
                words = "over 1" if self.unit == "compression" else "between 0 and 1"
                raise UserError(f"a ratio must be {words}, not {ratio:g}", where="[study]", why=f"unit is {self.unit}")
        if self.budget is not None and self.budget < 1:
            raise UserError(f"`budget` must be at least 1, not {self.budget}", where="[study]")
        if any(seed < 0 for seed in self.seeds):
            raise UserError("a seed must not be negative", where="[study]")
        self._check_names("methods", self.methods, METHODS)
        self._check_names("options", self.options, self.all_methods)
        self._check_names("scratch", self.scratch or (), self.all_methods)
        self._check_names("aligned", self.aligned, self.all_methods)
        for name in (*(self.scratch or ()), *self.aligned):
            if not structured(name, self):
                why = "it prunes single weights, and leaves the network's size as it is"
                raise UserError(f"{name!r} makes no smaller network to align or train", where="[study]", why=why)

    def _check_names(self, key: str, names: Iterable[str], known: Collection[str]) -> None:
        for name in names:
            if name not in known:
                fix = f"name one of {', '.join(known)}"
                raise UserError(f"`{key}` names no method of this study: {name!r}", where="[study]", fix=fix)

    @property
    def all_methods(self) -> tuple[str, ...]:
        """The methods, and the random controls of their kinds behind them."""
        if not self.random:
            return self.methods
        kinds = dict.fromkeys(RANDOM[structured(name, self)] for name in self.methods)
        return (*self.methods, *(name for name in kinds if name not in self.methods))

    @property
    def scratch_of(self) -> tuple[str, ...]:
        """The methods whose networks are trained from scratch."""
        if self.scratch is not None:
            return self.scratch
        return tuple(name for name in self.methods if structured(name, self))[:1]


def structured(name: str, section: StudySection) -> bool:
    """Whether a method of a study prunes whole channels."""
    return make_method(name, **section.options.get(name, {})).structured


def deploy_section(recipe: Recipe) -> DeploySection:
    """The section ``[deploy]``, with defaults if the recipe has none.

    Raises:
        UserError: a key is unknown, or a value wrong.
    """
    return parse(DeploySection, recipe.deploy or {}, "[deploy]")


def profile_of(recipe: Recipe, deploy: DeploySection) -> Profile:
    """The accelerator; the path of a profile is relative to the recipe's folder, as all paths in it.

    Raises:
        UserError: there is no such profile, or it is wrong.
    """
    name = deploy.profile
    return Profile.load(str(recipe.file(name)) if name.endswith(".toml") else name)


def study_section(recipe: Recipe) -> StudySection:
    """The section ``[study]``.

    Raises:
        UserError: there is none, a key is unknown, or a value wrong.
    """
    if recipe.study is None:
        raise UserError("the recipe describes no study", where=recipe.folder, fix="add a section [study]")
    return parse(StudySection, recipe.study, "[study]")
