"""The units behind the accumulators together, over profiles."""

from __future__ import annotations

import pytest

from tests.csim.support import profile_of
from tests.rtl.support.simulation import simulate


@pytest.mark.parametrize(
    ("name", "multipliers"),
    [("small-8x8-2x2", 0), ("small-8x8-2x4", 1), ("small-8x8-4x8", 0), ("small-16x8-2x4", 0)],
)
def test_post(name, multipliers):
    profile = profile_of(name)
    parameters = {
        "CPI": profile.cpi,
        "CPO": profile.cpo,
        "ACTIVATION_BITS": profile.activation_bits,
        "POOL_WINDOW": profile.pool_window,
        "POOL_WIDTH": profile.pool_width,
        "LANE_MULTIPLIERS": multipliers,
    }
    simulate("post", "tests.rtl.cocotb_post", parameters, environment={"POST_PROFILE": name}, timeout=300)
