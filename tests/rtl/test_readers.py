"""The readers of weights and lane parameters, and upsampling."""

from __future__ import annotations

import pytest

from tests.rtl.support.simulation import simulate


@pytest.mark.parametrize("seed", [1, 2])
def test_read_weights(seed):
    simulate("read_weights", "tests.rtl.cocotb_read_weights", seed=seed)


@pytest.mark.parametrize(("cpo", "seed"), [(2, 1), (4, 2), (8, 3), (32, 4)])
def test_read_lanes(cpo, seed):
    simulate("read_lanes", "tests.rtl.cocotb_read_lanes", {"CPO": cpo}, seed=seed)


def test_upsample():
    simulate("upsample", "tests.rtl.cocotb_upsample", {"WIDTH": 64}, seed=1)
