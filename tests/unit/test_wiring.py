"""Descriptors and tensors of an artifact must tell the same story."""

import dataclasses

import numpy as np
import pytest

from sliceflow.errors import UserError
from sliceflow.frontend import load_model
from sliceflow.graph.program import Program
from sliceflow.graph.wiring import _Words, check_wiring
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model
from tests.support.random_network import random_network


def compiled(seed: int) -> Program:
    model = load_model(random_network(np.random.default_rng(seed), operators=10))
    return compile_model(model, Profile.load("fp32-4x4"), name="n", source_sha256="0" * 64, keep_islands=True)


def changed(program: Program, index: int, **values: int) -> Program:
    descriptors = list(program.descriptors)
    descriptors[index] = dataclasses.replace(descriptors[index], **values)
    return dataclasses.replace(program, descriptors=tuple(descriptors))


@pytest.mark.parametrize("seed", range(20))
def test_what_the_mapper_makes_passes(seed):
    check_wiring(compiled(seed))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("field", "by"), [("in_base", 1), ("in_height", 1), ("in_height", -1), ("out_base", 1), ("in_slices", 1)]
)
def test_a_layer_that_reads_or_writes_elsewhere_is_refused(seed, field, by):
    program = compiled(seed)
    for index, descriptor in enumerate(program.descriptors):
        with pytest.raises(UserError, match="none of its tensors"):
            check_wiring(changed(program, index, **{field: getattr(descriptor, field) + by}))


@pytest.mark.parametrize("field", ["group_count", "strip_count", "out_count"])
def test_a_part_of_a_layer_is_refused(field):
    program = compiled(0)
    with pytest.raises(UserError, match="parts"):
        check_wiring(changed(program, 0, **{field: getattr(program.descriptors[0], field) + 1}))


def test_reading_what_nothing_has_written_is_refused():
    program = compiled(1)
    with pytest.raises(UserError, match="nothing has written them"):
        check_wiring(dataclasses.replace(program, steps=program.steps[1:]))


@pytest.mark.parametrize("seed", range(30))
def test_words_are_a_set(seed):
    rng = np.random.default_rng(seed)
    words, oracle = _Words(), np.zeros(200, bool)
    for _ in range(rng.integers(1, 15)):
        first = int(rng.integers(0, 190))
        last = first + int(rng.integers(1, 30))
        words.add((first, last))
        oracle[first:last] = True
        low = int(rng.integers(0, 190))
        high = low + int(rng.integers(1, 10))
        if oracle[low:high].all() and high <= 200:
            words.require((low, high), "x")
        else:
            with pytest.raises(UserError):
                words.require((low, high), "x")
