"""The modules before and behind the multiplier array: weight blocks and accumulators."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rtl.support.simulation import simulate

STREAMS = Path(__file__).with_name("add_streams.sv")


@pytest.mark.parametrize(("cpi", "cpo", "bits"), [(2, 2, 8), (4, 8, 8), (8, 8, 4), (2, 4, 4), (16, 16, 8)])
def test_weight_block(cpi, cpo, bits):
    parameters = {"CPI": cpi, "CPO": cpo, "WEIGHT_BITS": bits}
    simulate("weight_block", "tests.rtl.cocotb_weight_block", parameters, seed=cpi + cpo + bits)


@pytest.mark.parametrize(("cpo", "partial", "pixels"), [(4, 23, 64), (2, 32, 256)])
def test_add(cpo, partial, pixels):
    parameters = {"CPO": cpo, "PARTIAL": partial, "ACCUMULATOR_PIXELS": pixels}
    simulate("add_streams", "tests.rtl.cocotb_add", parameters, sources=[STREAMS], seed=cpo)
