"""A wrong descriptor ends on the RTL as elsewhere, and the next launch needs no reset; so do aborted launches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sliceflow.devices.registers import KernelDriver, Pointers
from sliceflow.devices.rtl.simulation import MemoryModel, Simulation
from sliceflow.devices.status import ABORTED, STUCK
from sliceflow.errors import UserError
from sliceflow.hardware import register_map
from tests.csim.support import expected, profile_of
from tests.csim.support import library as csim_library
from tests.rtl.test_device import library
from tests.support.mutated import base, judge_many, status
from tests.support.random_program import Case

LIMIT = 200_000
QUICK = MemoryModel(read_latency=5, write_latency=5)


class Kernel:
    """A simulated kernel that is never reset."""

    def __init__(self, profile: str, limit: int = LIMIT, watchdog: int = 0) -> None:
        self.simulation = Simulation(library(profile), QUICK)
        self._limit, self._watchdog = limit, watchdog
        self._numbers = itertools.count(1)

    def place(self, case: Case, memory: np.ndarray) -> Pointers:
        first = next(self._numbers) << 40
        pointers = Pointers(program=first, weights=first + (1 << 38), activations=first + (1 << 39))
        self.simulation.map(pointers.program, case.program)
        self.simulation.map(pointers.weights, case.weights)
        self.simulation.map(pointers.activations, memory, writable=True)
        return pointers

    def run(self, case: Case, memory: np.ndarray) -> None:
        try:
            driver = KernelDriver(self.simulation)
            driver.launch(self.place(case, memory), 0, 1, self._limit, watchdog=self._watchdog)
        finally:
            self.simulation.forget()


@pytest.mark.parametrize("profile", ["int8-4x4", "small-8x8-4x8"])
def test_mutated_descriptors(profile: str) -> None:
    def csim(case: Case, memory: np.ndarray) -> None:
        csim_library(profile).run(case.program, case.weights, memory, 0, 1)

    outcomes = judge_many(range(100, 106), profile_of(profile), 40, csim, Kernel(profile, watchdog=20_000).run)
    assert outcomes["refused"] > 60, outcomes
    assert outcomes["computed"] > 20, outcomes


def test_a_launch_can_be_given_up_at_any_moment() -> None:
    """The driver's limit passes somewhere in the layer; the next launch, without a reset, is right."""
    profile = profile_of("int8-4x4")
    kernel = Kernel("int8-4x4")
    codes = set()
    for seed, limit in enumerate((1, 60, 200, 330, 400, 500, 700)):
        case = base(seed, profile)
        kernel._limit = limit
        codes.add(status(kernel.run, case, case.activations.copy()))
        kernel._limit = LIMIT
        memory = case.activations.copy()
        kernel.run(case, memory)
        assert np.array_equal(memory, expected(case)), case.describe()
    assert codes >= {ABORTED}


def test_the_abort_register_ends_a_launch_with_its_status() -> None:
    case = base(3, profile_of("int8-4x4"))
    kernel = Kernel("int8-4x4")
    bus = kernel.simulation
    driver = KernelDriver(bus)
    driver._start(kernel.place(case, case.activations.copy()), 0, 1, 0)
    bus.write(register_map.ABORT, 1)
    with pytest.raises(UserError, match="stopped at descriptor 0") as caught:
        driver._finish(0, 1, LIMIT)
    assert "given the launch up" in caught.value.why
    assert bus.read(register_map.STATUS) == ABORTED
    assert bus.read(register_map.ABORT) == 0
    bus.write(register_map.ABORT, 1)  # between launches it means nothing
    memory = case.activations.copy()
    kernel.run(case, memory)
    assert np.array_equal(memory, expected(case))


def test_the_watchdog_ends_a_launch_without_progress() -> None:
    """Fewer clocks than the memory's latency: nothing moves for so long."""
    case = base(4, profile_of("int8-4x4"))
    slow = Kernel("int8-4x4", watchdog=40)
    slow.simulation.close()
    slow.simulation = Simulation(library("int8-4x4"), MemoryModel(read_latency=300, write_latency=5))
    assert status(slow.run, case, case.activations.copy()) == STUCK
    slow._watchdog = 2000
    memory = case.activations.copy()
    slow.run(case, memory)
    assert np.array_equal(memory, expected(case))
