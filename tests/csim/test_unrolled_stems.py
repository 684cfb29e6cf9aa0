"""Stems that the host unrolls, on the compiled kernel: equal to the reference, layer by layer and end to end."""

from __future__ import annotations

import dataclasses

import pytest

from sliceflow.devices import open_device
from sliceflow.graph.program import TransformStep
from sliceflow.runtime.verify import verify
from tests.support.random_stem import random_stem, stem_model
from tests.unit.mapping.test_unroll import compiled


@pytest.mark.parametrize("profile", ["int8-4x4", "int8-8x8", "int8-16x16", "w8a16-8x8", "fp32-4x4"])
def test_csim_equals_the_reference(profile: str) -> None:
    unrolled = 0
    for seed in range(300, 312):
        model, images = stem_model(random_stem(seed), seed, quantized=profile != "fp32-4x4")
        program = compiled(model, profile)
        unrolled += any(isinstance(step, TransformStep) and step.unrolling is not None for step in program.steps)
        report = verify(program, open_device("csim", program), {"x": images})
        assert report.match, f"seed {seed}: {report.first_mismatch}"
    assert unrolled >= 3


def test_a_flipped_weight_bit_is_caught() -> None:
    model, images = stem_model(random_stem(300), 300, quantized=True)
    program = compiled(model, "int8-8x8")
    weights = program.weights.copy()
    weights[int(weights.nonzero()[0][0])] ^= 0x40
    device = open_device("csim", dataclasses.replace(program, weights=weights))
    assert not verify(program, device, {"x": images}).match
