"""The multiplier array: what Verilator simulates, what is synthesized, and NumPy's matrix product are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rtl.support.simulation import simulate

PAIR = Path(__file__).with_name("mul_pair.sv")


@pytest.mark.parametrize(
    ("cpi", "cpo", "activation_bits", "weight_bits", "pack", "lut_taps"),
    [
        (2, 2, 8, 8, 1, 0),
        (4, 4, 8, 8, 0, 0),
        (2, 4, 8, 8, 1, 3),
        (2, 2, 8, 4, 1, 9),
        (4, 2, 16, 8, 0, 0),
        (2, 2, 16, 4, 0, 9),
        (8, 2, 8, 8, 1, 0),
    ],
)
def test_mul(cpi, cpo, activation_bits, weight_bits, pack, lut_taps):
    parameters = {
        "CPI": cpi,
        "CPO": cpo,
        "ACTIVATION_BITS": activation_bits,
        "WEIGHT_BITS": weight_bits,
        "PACK": pack,
        "LUT_TAPS": lut_taps,
    }
    simulate("mul_pair", "tests.rtl.cocotb_mul", parameters, sources=[PAIR], seed=cpi + cpo + pack + lut_taps)
