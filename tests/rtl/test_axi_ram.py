"""The read port and the writer against the AXI memory of cocotbext-axi."""

from __future__ import annotations

import pytest

from tests.rtl.support.simulation import simulate


@pytest.mark.parametrize(
    ("top", "parameters"),
    [("read_port", {"DEPTH": 64, "BURST": 16}), ("write", {"CPI": 4, "CPO": 8, "ACTIVATION_BITS": 8})],
)
def test_axi_ram(top, parameters):
    simulate(top, "tests.rtl.cocotb_axi_ram", parameters, tests=[top], seed=3)
