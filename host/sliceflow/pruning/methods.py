"""Pruning methods by name."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any, cast

from sliceflow.errors import UserError
from sliceflow.pruning.method import Method
from sliceflow.pruning.options import parse

_GRADUAL = "sliceflow.pruning.scored.gradual:Gradual"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A method that can be made.

    Attributes:
        summary: one line for users.
        place: ``package.module:Class``, imported when the method is made. The class is a frozen dataclass that is a
            ``Method``; its fields are the method's options: plain data, all with defaults.
        fixed: options that the name stands for; users cannot change them.
        defaults: options with other defaults than the class has.
        presets: named sets of options, chosen by the option ``preset``; what is given besides replaces theirs.
    """

    summary: str
    place: str
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def load(self) -> type[Any]:
        """The class."""
        module, _, name = self.place.partition(":")
        return cast("type[Any]", getattr(importlib.import_module(module), name))


METHODS: Mapping[str, Entry] = {
    "magnitude": Entry(
        "single weights of least magnitude, over all layers together",
        _GRADUAL,
        {"criterion": "magnitude", "scope": "global"},
    ),
    "magnitude-layer": Entry(
        "single weights of least magnitude, in each layer the same share",
        _GRADUAL,
        {"criterion": "magnitude", "scope": "layer"},
    ),
    "random-weights": Entry("single weights at random: a control", _GRADUAL, {"criterion": "random-weights"}),
    "l1-filter": Entry("filters of least L1 norm", _GRADUAL, {"criterion": "l1"}, {"layers": "conv"}),
    "l2-filter": Entry("filters of least L2 norm", _GRADUAL, {"criterion": "l2"}, {"layers": "conv"}),
    "neuron": Entry("neurons of least L2 norm", _GRADUAL, {"criterion": "l2"}, {"layers": "linear"}),
    "random": Entry("channels at random: a control", _GRADUAL, {"criterion": "random"}),
    "apoz": Entry("channels whose activations are most often zero", _GRADUAL, {"criterion": "apoz"}),
    "taylor": Entry(
        "channels whose removal changes the loss least, to first order",
        _GRADUAL,
        {"criterion": "taylor"},
        {"scope": "global"},
    ),
    "serene": Entry(
        "SeReNe: weights of neurons that the outputs hardly feel decay, then go below a threshold",
        "sliceflow.pruning.regularized.serene:Serene",
        presets={"thesis": {"initial": True, "drop": 0.0, "resplit": True}},  # algorithms 2 and 3
    ),
    "lobster": Entry(
        "LOBSTER: weights that the loss hardly feels decay, then go below a threshold",
        "sliceflow.pruning.regularized.lobster:Lobster",
    ),
    "l2-threshold": Entry(
        "all weights decay, then go below a threshold: a control for serene and lobster",
        "sliceflow.pruning.regularized.plateau:PlateauMethod",
    ),
    "structure-selection": Entry(
        "channels, groups or residual blocks whose factor training drives to zero",
        "sliceflow.pruning.structures.selection:StructureSelection",
    ),
    "blocks": Entry("residual blocks, one by one, the least salient first", "sliceflow.pruning.blocks.method:Blocks"),
}
"""Name to entry. Names are lower case, words joined by hyphens."""


def make_method(name: str, **options: Any) -> Method:
    """A method by its name.

    Args:
        name: a key of ``METHODS``.
        options: fields of the method's class that differ from their defaults, and ``preset``.

    Raises:
        UserError: no such method, no such option or preset, or an option of another type.
    """
    if name not in METHODS:
        raise UserError(f"there is no pruning method {name!r}", fix=f"the methods are {', '.join(METHODS)}")
    entry = METHODS[name]
    where = f"options of the pruning method {name!r}"
    contradicted = [key for key, value in entry.fixed.items() if options.get(key, value) != value]
    if contradicted:
        key = contradicted[0]
        raise UserError(f"{key!r} is {entry.fixed[key]!r} for this method", where=where, fix=f"leave {key!r} out")
    preset = options.pop("preset", None) if entry.presets else None
    if preset is not None and preset not in entry.presets:
        raise UserError(
            f"there is no preset {preset!r} of this method", where=where, fix=f"there is {', '.join(entry.presets)}"
        )
    chosen = entry.presets[preset] if preset is not None else {}
    return cast("Method", parse(entry.load(), {**entry.defaults, **chosen, **options, **entry.fixed}, where))


def options_of(name: str) -> dict[str, Any]:
    """The options that a method takes, with their defaults.

    Raises:
        UserError: no such method.
    """
    method = make_method(name)
    return dataclasses.asdict(cast("Any", method))
