"""From input rows in memory to frames: the loader, the banks, padding and the window, as a group."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.csim.support import profile_of
from tests.rtl.support.simulation import simulate

FRAMES = Path(__file__).with_name("frames.sv")


@pytest.mark.parametrize("profile", ["small-8x8-4x8", "small-16x4-2x2", "int8-16x16", "small-16x8-32x32"])
def test_frames(profile):
    made = profile_of(profile)
    parameters = {"CPI": made.cpi, "ACTIVATION_BITS": made.activation_bits, "BANK_WORDS": made.bank_words}
    environment = {"FRAMES_PROFILE": profile}
    simulate("frames", "tests.rtl.cocotb_frames", parameters, sources=[FRAMES], environment=environment, timeout=300)
