"""The whole kernel in cocotb."""

from __future__ import annotations

import pytest

from sliceflow.hardware.kernel import TOP, rtl_parameters
from tests.csim.support import profile_of
from tests.rtl.support.simulation import simulate


def _simulate(name, module, *, seed=1, tests=()):
    simulate(
        TOP,
        f"tests.rtl.{module}",
        rtl_parameters(profile_of(name)),
        tests=tests,
        environment={"KERNEL_PROFILE": name},
        timeout=300,
        seed=seed,
    )


@pytest.mark.parametrize("name", ["small-8x8-4x8"])
@pytest.mark.parametrize("test", ["programs", "parts_of_a_list", "parts_of_layers", "auto_restart"])
def test_programs(name, test):
    _simulate(name, "cocotb_kernel", tests=[test])


@pytest.mark.parametrize("name", ["small-8x8-4x8"])
@pytest.mark.parametrize(
    "test",
    [
        "reset_while_running",
        "memory_errors",
        "memory_error_names_the_layer",
        "wrong_descriptors",
        "later_strip_too_big",
        "flipped_bits",
    ],
)
def test_faults(name, test):
    _simulate(name, "cocotb_kernel_faults", tests=[test])
