"""The formal properties of hls/rtl hold, and each suite of them finds the mistakes that were made for it."""

from __future__ import annotations

import pytest

from tests.formal.prover import RTL, Mutant, ProofError, prove, refute, sources
from tests.formal.suites import SUITES

CASES = [(suite, mutant) for suite in SUITES for mutant in suite.mutants]


def title(suite):
    return f"{suite.name} for {suite.clocks} clocks" if suite.method == "bounded" else suite.name


@pytest.mark.parametrize("suite", SUITES, ids=title)
def test_holds(suite):
    verdict = prove(suite)
    assert verdict.holds, f"{verdict.broken} is broken in clock {verdict.clocks}"
    assert {mutant.breaks for mutant in suite.mutants} <= set(verdict.properties)


@pytest.mark.parametrize(("suite", "mutant"), CASES, ids=[f"{suite.name}: {mutant.breaks}" for suite, mutant in CASES])
def test_finds_a_mistake(suite, mutant):
    assert refute(suite, mutant) >= 0, f"{mutant.new!r} for {mutant.old!r} in {mutant.file} breaks nothing"


def test_every_suite_has_a_mutant():
    assert all(suite.mutants for suite in SUITES)


def test_a_mutant_follows_its_module(tmp_path):
    with pytest.raises(ProofError, match=r"fifo\.sv holds 'no such text' 0 times"):
        sources(SUITES[0], Mutant(file="fifo.sv", old="no such text", new="", breaks="level"), tmp_path)
    assert not list(tmp_path.iterdir())
    assert (RTL / "fifo.sv").exists()
