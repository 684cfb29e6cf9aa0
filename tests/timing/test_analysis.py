"""The delay model's arithmetic against path enumeration, and known slow and fast modules."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from scripts.figures.timing import netlist_quietly
from scripts.timing.analysis import Analysis
from scripts.timing.cells import kind_of
from scripts.timing.delays import DEVICES, ULTRASCALE_PLUS
from scripts.timing.netlist import flatten

SLOW = [Path(__file__).with_name("slow.sv")]
D = ULTRASCALE_PLUS


def cell(kind, inputs, outputs):
    pins = {**inputs, **outputs}
    directions = {port: "output" if port in outputs else "input" for port in pins}
    return {"type": kind, "port_directions": directions, "connections": pins, "parameters": {}}


def random_logic(rng, layers=5, width=4):
    """LUTs between two rows of flip-flops; the first half of them lies in a module of its own."""
    cells, child, nets = {}, {}, iter(range(10, 10_000))
    level = []
    for n in range(width):
        level.append(next(nets))
        cells[f"begin{n}"] = cell("FDRE", {"D": ["0"], "C": [2]}, {"Q": [level[-1]]})
    edges, begin = {}, list(level)
    inside, outside = [], []
    for depth in range(layers):
        found = []
        for n in range(width):
            sources, net = rng.sample(level, rng.randint(1, 3)), next(nets)
            lut = cell(f"LUT{len(sources)}", {f"I{k}": [source] for k, source in enumerate(sources)}, {"O": [net]})
            (child if depth < 2 else cells)[f"lut{depth}_{n}"] = lut
            edges[net] = sources
            found.append(net)
        if depth == 0:
            inside = list(level)
        if depth == 1:
            outside = list(found)
        level = found
    for n, net in enumerate(level):
        cells[f"end{n}"] = cell("FDRE", {"D": [net], "C": [2]}, {"Q": [next(nets)]})
    cells["part"] = cell("half", {"a": inside}, {"z": outside})
    ports = {"a": {"direction": "input", "bits": inside}, "z": {"direction": "output", "bits": outside}}
    modules = {
        "top": {"ports": {"clk": {"direction": "input", "bits": [2]}}, "cells": cells, "netnames": {}},
        "half": {"ports": ports, "cells": child, "netnames": {}},
    }
    return {"modules": modules}, edges, begin, level


@pytest.mark.parametrize("seed", range(8))
def test_the_longest_path_is_that_of_enumeration(seed):
    rng = random.Random(seed)
    document, edges, begin, ends = random_logic(rng)
    fanout = {net: 0 for net in [*edges, *begin]}
    for net in [*(source for sources in edges.values() for source in sources), *ends]:
        fanout[net] += 1

    def wire(net):
        return D.net + D.slope * np.log2(fanout[net])

    def longest(net):
        if net in begin:
            return D.clock_to_q
        return max(longest(source) + wire(source) + D.lut for source in edges[net])

    found = Analysis(flatten(document, "top"), D)
    assert found.worst() == pytest.approx(max(longest(net) + wire(net) + D.setup for net in ends))
    path = found.paths(1)[0]
    assert path.time == pytest.approx(found.worst())
    assert path.levels == 5
    assert path.end_module == "top"


def test_a_loop_and_an_unmapped_cell_are_refused():
    loop = {"a": cell("LUT1", {"I0": [3]}, {"O": [4]}), "b": cell("LUT1", {"I0": [4]}, {"O": [3]})}
    with pytest.raises(ValueError, match="loop"):
        Analysis(flatten({"modules": {"top": {"ports": {}, "cells": loop, "netnames": {}}}}, "top"), D)
    with pytest.raises(ValueError, match="mapped"):
        kind_of("SB_LUT4")


@pytest.fixture(scope="module")
def synthesized():
    pytest.importorskip("pyosys", reason="needs the extra 'synthesis'")
    return {top: netlist_quietly(SLOW, top, {}) for top in ("slow_remainder", "quick_sum", "products")}


def test_a_slow_path_is_caught(synthesized):
    slow, quick = (Analysis(synthesized[top], D) for top in ("slow_remainder", "quick_sum"))
    assert slow.worst() > 4.0 > 2.0 > quick.worst()
    assert slow.late(3.33)
    assert not quick.late(3.33)
    path = slow.paths(1)[0]
    assert "value_q" in path.start
    assert "rest_o" in path.end
    assert Analysis(synthesized["slow_remainder"], DEVICES["zynq"]).worst() > slow.worst()


def test_registers_beside_a_multiplier_are_its_own(synthesized):
    found = Analysis(synthesized["products"], D, ports=True)
    times = {path.end.split("[")[0]: path.time for path in found.paths(200, apart=False)}
    inside = D.clock_to_q + D.dsp_in_registered + D.dsp_setup[1]
    assert times["bare_o"] > D.dsp_in + D.dsp_through
    assert np.any(np.isclose(found.times, inside))
    assert not any("m_q" in end for end in times)
