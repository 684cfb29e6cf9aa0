"""The control registers, on both simulators."""

from __future__ import annotations

import pytest

from tests.rtl.support.simulation import simulate


@pytest.mark.parametrize(("simulator", "seed"), [("verilator", 1), ("verilator", 2), ("icarus", 3)])
def test_s_axi_control(simulator, seed):
    simulate("s_axi_control", "tests.rtl.cocotb_s_axi_control", simulator=simulator, seed=seed)
