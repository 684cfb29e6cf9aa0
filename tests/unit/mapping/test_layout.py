"""Lanes: cuts spread until every layer can work, and pieces of a concatenation lie where they should."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sliceflow.graph.program import contiguous_runs, lane_index
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model
from tests.unit.mapping.graphs import Graph


@given(st.integers(1, 100), st.sampled_from([1, 3, 4, 8, 16]), st.sets(st.integers(0, 100)))
def test_every_channel_has_a_lane_of_its_own(channels: int, cpi: int, cuts: set[int]) -> None:
    runs, slices = contiguous_runs(channels, cpi, sorted(cuts))
    lanes = lane_index(runs, cpi)
    assert len(lanes) == len(set(lanes.tolist())) == channels
    assert lanes.max() < slices * cpi
    assert all(lanes[cut] % cpi == 0 for cut in cuts if cut < channels)


def test_parts_of_a_concatenation_share_its_buffer() -> None:
    g = Graph()
    x = g.quant("x")
    a, b = g.quant(g.conv(x, 8, 5, seed=1)), g.quant(g.conv(x, 8, 7, seed=2))
    joined = g.quant(g.op("Concat", a, b, axis=1))
    program = compile_model(
        g.model(g.quant(g.conv(joined, 12, 4, seed=3))), Profile.load("int8-4x4"), name="g", source_sha256="0" * 64
    )
    whole = next(t for t in program.tensors.values() if t.channels == 12)
    first = next(t for t in program.tensors.values() if t.channels == 5)
    second = next(t for t in program.tensors.values() if t.channels == 7)
    assert first.base == whole.base
    assert second.base == whole.base + first.slices * 64
    assert [(run.channel, run.slice) for run in whole.runs] == [(0, 0), (5, 2)]


def test_tensors_alive_together_do_not_share_words() -> None:
    g = Graph()
    x = g.quant("x")
    y = g.quant(g.conv(x, 8, 8, seed=1))
    z = g.quant(g.op("Add", g.conv(y, 8, 8, seed=2), x))
    program = compile_model(g.model(z), Profile.load("int8-8x8"), name="g", source_sha256="0" * 64)
    spans = [set(np.arange(t.base, t.base + t.words)) for t in program.tensors.values()]
    layer = program.descriptors[1]
    in_use = {layer.in_base, layer.add_base, layer.out_base}
    living = [span for span in spans if min(span) in in_use]
    assert sum(map(len, living)) == len(set().union(*living))
