"""Products and roundings of the lanes.

Multiplier blocks and logic pass the same test at the same latency, so that either may stand for the other.
"""

from __future__ import annotations

import pytest

from tests.rtl.support.simulation import simulate


@pytest.mark.parametrize("blocks", [0, 1])
@pytest.mark.parametrize(("b_bits", "shared", "latency"), [(32, 0, 5), (9, 1, 4), (17, 1, 5), (23, 0, 6)])
def test_multiply(blocks, b_bits, shared, latency):
    parameters = {"LANES": 3, "B_BITS": b_bits, "SHARED_A": shared, "USE_DSP": blocks, "LATENCY": latency}
    simulate("multiply", "tests.rtl.cocotb_multiply", parameters, seed=b_bits)


@pytest.mark.parametrize("bits", [8, 16])
def test_round_shift(bits):
    simulate("round_shift", "tests.rtl.cocotb_round_shift", {"LANES": 2, "BITS": bits}, seed=bits)
