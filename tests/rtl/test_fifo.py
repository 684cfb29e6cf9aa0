"""The queue, on both simulators."""

from __future__ import annotations

import pytest

from tests.rtl.support.simulation import simulate


@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
@pytest.mark.parametrize(("width", "depth"), [(5, 2), (512, 16), (70, 64)])
def test_fifo(simulator, width, depth):
    simulate("fifo", "tests.rtl.cocotb_fifo", {"WIDTH": width, "DEPTH": depth}, simulator=simulator, seed=width)
