"""What a recipe may ask of a study, and the cells that come of it."""

from collections.abc import Mapping
from typing import Any

import pytest

from sliceflow.errors import UserError
from sliceflow.pruning.options import parse
from sliceflow.study.budget import budgeted
from sliceflow.study.cells import Cell, waves
from sliceflow.study.sections import DeploySection, StudySection


def study(**keys: Any) -> StudySection:
    return parse(StudySection, {"methods": ["l2-filter"], "ratios": [2, 4], **keys}, "[study]")


def test_controls_come_by_themselves() -> None:
    section = study(methods=["taylor", "magnitude"])
    assert section.all_methods == ("taylor", "magnitude", "random", "random-weights")
    assert section.scratch_of == ("taylor",)
    assert study(methods=["taylor", "random"]).all_methods == ("taylor", "random")
    assert study(random=False, scratch=[]).all_methods == ("l2-filter",)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"methods": ["l3"]}, "l3"),
        ({"methods": []}, "at least one"),
        ({"methods": ["taylor", "taylor"]}, "twice"),
        ({"ratios": [1]}, "over 1"),
        ({"ratios": [2], "unit": "share"}, "between 0 and 1"),
        ({"seeds": [-1]}, "negative"),
        ({"budget": 0}, "budget"),
        ({"scratch": ["taylor"]}, "taylor"),
        ({"methods": ["magnitude"], "scratch": ["magnitude"]}, "no smaller network"),
        ({"methods": ["magnitude", "taylor"], "aligned": ["magnitude"]}, "no smaller network"),
        ({"aligned": ["taylor"]}, "taylor"),
        ({"options": {"l2-filter": {"layer": "all"}}}, "layer"),
        ({"seed": [1]}, "seeds"),
    ],
)
def test_mistakes_are_named(keys: Mapping[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        study(**keys)
    assert words in str(caught.value)


def test_deployment_is_checked() -> None:
    with pytest.raises(UserError, match="rounds"):
        parse(DeploySection, {"rounds": 0}, "[deploy]")


def test_waves_have_every_cell_once_and_what_they_need_before_them() -> None:
    section = study(methods=["l2-filter", "taylor"], seeds=[3, 4], aligned=["taylor"])
    first, second, third = waves(section)
    keys = [cell.key for wave in (first, second, third) for cell in wave]
    assert len(set(keys)) == len(keys) == 2 + 3 * 2 * 2 + 2 * 2 * 2
    assert "aligned-taylor-r2-s4" in keys
    assert {cell.pruned for cell in third} <= set(second)
    assert "scratch-l2-filter-r4-s3" in keys
    assert Cell("pruned", "taylor", 2.5, 0).key == "taylor-r2.5-s0"


def test_budgets_are_divided() -> None:
    options = {"taylor": {"schedule": "uniform", "rounds": 3}, "l2-filter": {"rounds": 3}}
    section = study(methods=["l2-filter", "taylor", "serene"], options=options)
    assert budgeted("l2-filter", section, 6)[1] == 6  # one shot, whatever the rounds
    assert budgeted("taylor", section, 6)[1] == 2
    method, epochs = budgeted("serene", section, 8)
    assert (method.budget, epochs) == (8, 2)  # type: ignore[attr-defined]
