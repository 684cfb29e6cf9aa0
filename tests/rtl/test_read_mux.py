"""Two read ports on one AXI port."""

from __future__ import annotations

import pytest

from tests.rtl.support.simulation import simulate


@pytest.mark.parametrize("seed", [1, 2])
def test_read_mux(seed):
    simulate("read_mux", "tests.rtl.cocotb_read_mux", seed=seed)
