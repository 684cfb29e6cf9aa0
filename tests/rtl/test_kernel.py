"""The whole kernel in cocotb."""

from __future__ import annotations

import pytest

from sliceflow.hardware.kernel import TOP, rtl_parameters
from tests.csim.support import profile_of
from tests.rtl.support.simulation import simulate


@pytest.mark.parametrize("name", ["int8-2x2"])
def test_programs(name):
    simulate(
        TOP,
        "tests.rtl.cocotb_kernel",
        rtl_parameters(profile_of(name)),
        tests=["programs"],
        environment={"KERNEL_PROFILE": name},
        timeout=300,
    )
