"""Modules of the kernel keep the time that they have: ns between registers, with registers outside the ports."""

from __future__ import annotations

import pytest

from scripts.figures.timing import netlist_quietly
from scripts.timing.analysis import Analysis
from scripts.timing.delays import ULTRASCALE_PLUS
from sliceflow.hardware.kernel import rtl_sources

BOUNDS = {"fifo": 1.1, "read_runs": 2.9, "read_port": 4.5}
"""A little above what the delay model finds. Raise one only for a reason that the commit states."""


@pytest.mark.parametrize("module", BOUNDS)
def test_no_path_is_longer_than_it_was(module):
    pytest.importorskip("pyosys", reason="needs the extra 'synthesis'")
    found = Analysis(netlist_quietly(rtl_sources(), module, {}), ULTRASCALE_PLUS, ports=True)
    assert 0 < found.worst() <= BOUNDS[module], found.paths(3)
