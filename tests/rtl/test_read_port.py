"""The read port, on both simulators."""

from __future__ import annotations

import pytest

from tests.rtl.support.simulation import simulate


@pytest.mark.parametrize(
    ("simulator", "depth", "burst", "seed"),
    [
        ("verilator", 256, 64, 1),
        ("verilator", 256, 64, 2),
        ("verilator", 64, 16, 3),
        ("verilator", 32, 2, 4),
        ("icarus", 64, 16, 5),
    ],
)
def test_read_port(simulator, depth, burst, seed):
    parameters = {"DEPTH": depth, "BURST": burst}
    simulate("read_port", "tests.rtl.cocotb_read_port", parameters, simulator=simulator, seed=seed)
