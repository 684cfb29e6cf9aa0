"""The addend reader, over ratios of lanes and word sizes."""

from __future__ import annotations

import pytest

from tests.rtl.support.simulation import simulate


@pytest.mark.parametrize(
    ("cpi", "cpo", "bits", "seed"),
    [(8, 8, 8, 1), (4, 8, 8, 2), (4, 8, 8, 3), (2, 2, 8, 4), (2, 32, 8, 5), (8, 32, 16, 6), (32, 32, 16, 7)],
)
def test_read_addend(cpi, cpo, bits, seed):
    parameters = {"CPI": cpi, "CPO": cpo, "ACTIVATION_BITS": bits}
    simulate("read_addend", "tests.rtl.cocotb_read_addend", parameters, seed=seed)
