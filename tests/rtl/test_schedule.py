"""The scheduler alone: every command that it gives, against the geometry that the mapper uses."""

from __future__ import annotations

import pytest

from sliceflow.hardware.kernel import rtl_parameters
from tests.csim.support import profile_of
from tests.rtl.support.simulation import simulate


@pytest.mark.parametrize("profile", ["int8-4x8", "int8-16x16", "small-16x4-2x2"])
def test_schedule(profile):
    parameters = rtl_parameters(profile_of(profile))
    simulate("schedule", "tests.rtl.cocotb_schedule", parameters, environment={"SCHEDULE_PROFILE": profile})
