"""Functional coverage of the kernel: random layers until every combination has been compared with the reference."""

from __future__ import annotations

import numpy as np
import pytest

from sliceflow.devices.cache import default_cache
from sliceflow.devices.registers import KernelDriver, Pointers
from sliceflow.devices.rtl.build import build_library
from sliceflow.devices.rtl.simulation import MemoryModel, Simulation
from tests.csim.support import expected, profile_of
from tests.rtl.support.coverage import Coverage
from tests.rtl.support.coverage_layers import directed, layer_coverage, random_covering
from tests.support.random_program import Case

PROFILE = "small-8x8-4x8"
"""More lanes out than in, and buffers so small that layers have many strips."""
LAYERS = 300
LIMIT = 2_000_000


class _Kernel:
    """One kernel that is never reset."""

    def __init__(self, seed: int) -> None:
        library = build_library(profile_of(PROFILE), cache=default_cache())
        model = MemoryModel(read_latency=20, write_latency=10, stall=200, seed=seed)
        self._simulation = Simulation(library, model)
        self._driver = KernelDriver(self._simulation)
        self._runs = 0

    def run(self, case: Case) -> np.ndarray:
        """Execute a layer; returns its activation memory."""
        self._runs += 1
        base, memory = self._runs << 40, case.activations.copy()
        pointers = Pointers(program=base, weights=base + (1 << 36), activations=base + (1 << 37))
        self._simulation.map(pointers.program, case.program)
        self._simulation.map(pointers.weights, case.weights)
        self._simulation.map(pointers.activations, memory, writable=True)
        self._driver.launch(pointers, 0, len(case.descriptors), LIMIT)
        self._simulation.check()
        return memory


def test_no_holes(capsys):
    """Every operator x stride x padding x channels x strips, each compared byte by byte."""
    seed = 20_001
    rng, profile = np.random.default_rng(seed), profile_of(PROFILE)
    kernel, coverage = _Kernel(seed), layer_coverage()

    def compare(case, bins):
        assert np.array_equal(kernel.run(case), expected(case)), f"{bins}\n{case.describe()}"
        coverage.sample(**bins)

    for _ in range(LAYERS):
        compare(*random_covering(rng, profile, coverage))
    undirected = len(coverage.holes)
    for hole in coverage.holes:
        compare(*directed(rng, profile, hole))
    with capsys.disabled():
        print(f"\n{coverage.table()}\n{undirected} of them by directed layers; seed {seed}, profile {PROFILE}")
    assert coverage.holes == []


def _axes() -> Coverage:
    return Coverage(
        {"kind": ["a", "b"], "size": ["1", "2"]},
        lambda kind, size: "b is never 2" if (kind, size) == ("b", "2") else "",
    )


def test_holes_are_found():
    coverage = _axes()
    assert coverage.holes == [("a", "1"), ("a", "2"), ("b", "1")]
    coverage.sample(kind="a", size="2")
    coverage.sample(kind="a", size="2")
    assert coverage.holes == [("a", "1"), ("b", "1")]
    assert coverage.table().splitlines() == [
        "kind  size 1  size 2",
        "a     HOLE    2",
        "b     HOLE    -",
        "1 of 3 bins covered by 2 samples",
        "not possible: b is never 2",
    ]


@pytest.mark.parametrize(("bins", "why"), [(("b", "2"), "b is never 2"), (("c", "1"), "no such bin")])
def test_samples_that_do_not_exist_are_refused(bins, why):
    with pytest.raises(ValueError, match=why):
        _axes().sample(kind=bins[0], size=bins[1])
