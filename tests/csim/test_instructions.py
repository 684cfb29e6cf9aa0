"""The kernel compiled for each instruction set that this processor has: the same integers, in files of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from sliceflow.devices import instructions
from sliceflow.devices.build import find_compiler
from sliceflow.devices.csim import BuildOptions
from sliceflow.devices.instructions import INSTRUCTION_SETS, VARIABLE, available_instructions, choose_instructions
from sliceflow.errors import UserError
from sliceflow.graph.descriptor import Op
from tests.csim.support import CACHE, assert_equal, library, profile_of
from tests.support.random_program import random_layer, random_program

AVAILABLE = available_instructions(find_compiler(), CACHE)


@pytest.mark.parametrize("profile", ["int8-8x8", "int8-16x16", "small-8x8-2x6", "small-8x4-4x8", "small-16x8-16x16"])
@pytest.mark.parametrize("name", AVAILABLE)
def test_every_instruction_set_gives_the_reference_s_integers(name: str, profile: str) -> None:
    simulator = library(profile, BuildOptions(optimize=("-O1",), instructions=name))
    assert name in simulator.path.name
    for seed in range(400, 408):
        assert_equal(simulator, random_program(seed, profile_of(profile)))
    for seed in range(408, 416):
        assert_equal(simulator, random_layer(seed, profile_of(profile), op=(Op.CONV, Op.POINTWISE)[seed % 2]))


def test_the_best_set_is_chosen_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    compiler = find_compiler()
    assert AVAILABLE[0] == "generic"
    assert choose_instructions(None, compiler, CACHE) == AVAILABLE[-1]
    monkeypatch.setenv(VARIABLE, "generic")
    assert choose_instructions(None, compiler, CACHE) == "generic"
    assert choose_instructions(AVAILABLE[-1], compiler, CACHE) == AVAILABLE[-1]


def test_an_unknown_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "avx3")
    with pytest.raises(UserError, match="no instruction set 'avx3'") as caught:
        choose_instructions(None, find_compiler(), CACHE)
    assert VARIABLE in caught.value.where
    assert all(name in caught.value.fix for name in INSTRUCTION_SETS)


def test_a_set_that_the_processor_lacks_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rather than ended by an illegal instruction. No processor has these two together."""
    monkeypatch.setattr(
        instructions, "INSTRUCTION_SETS", {**INSTRUCTION_SETS, "none": ("avx5124fmaps", "avx512vnni", "sse4a")}
    )
    with pytest.raises(UserError, match="cannot run instruction set 'none'") as caught:
        choose_instructions("none", find_compiler(), tmp_path)
    assert "generic" in caught.value.why
