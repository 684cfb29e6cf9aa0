"""The compiled kernel against the reference, on random programs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sliceflow.errors import UserError
from sliceflow.graph import geometry
from sliceflow.graph.descriptor import BYTES, Op, TableMode
from sliceflow.graph.program import encode_descriptors
from tests.csim.support import PROFILES, agree, assert_equal, expected, library, profile_of, simulate
from tests.support.random_program import Case, random_layer, random_program, sub_ranges

PROGRAMS = 40


@pytest.mark.parametrize("profile", PROFILES)
def test_random_programs_equal_the_reference(profile: str) -> None:
    """Each program has three different layers, and all run on one library: nothing may stay from one to the next."""
    simulator = library(profile)
    for seed in range(PROGRAMS):
        assert_equal(simulator, random_program(seed, profile_of(profile)))


@pytest.mark.parametrize("op", list(Op))
@pytest.mark.parametrize("profile", ["int8-8x8", "small-8x8-4x8", "w4a8-8x8", "w8a16-8x8", "fp32-4x4"])
def test_every_operation_equals_the_reference(profile: str, op: Op) -> None:
    for seed in range(1000, 1015):
        assert_equal(library(profile), random_layer(seed, profile_of(profile), op=op))


@pytest.mark.parametrize("profile", ["int8-8x8", "small-8x8-8x16", "small-8x4-4x8", "small-16x8-4x8", "fp32-4x4"])
def test_shares_of_threads_give_the_same_memory(profile: str) -> None:
    simulator = library(profile)
    for seed in range(2000, 2015):
        case = random_program(seed, profile_of(profile))
        alone = simulate(simulator, case)
        for threads in (2, 3):
            assert agree(case.profile, simulate(simulator, case, threads), alone), case.describe()


@pytest.mark.parametrize("profile", ["int8-4x4", "small-8x8-4x8"])
def test_parts_of_a_layer_make_the_whole(profile: str) -> None:
    """Ranges cut anywhere, run in any order."""
    simulator = library(profile)
    for seed in range(3000, 3015):
        case = random_layer(seed, profile_of(profile))
        memory = case.activations.copy()
        for part in sub_ranges(seed, case.descriptor, case.profile):
            program = case.program.copy()
            program[:BYTES] = np.frombuffer(encode_descriptors([part], case.profile), np.uint8)
            simulator.run(program, case.weights, memory, 0, 1)
        assert np.array_equal(memory, expected(case)), case.describe()


def test_images_run_beside_each_other() -> None:
    """The library keeps no state between calls on several threads."""
    simulator = library("small-8x8-4x8")
    cases = [random_program(seed, profile_of("small-8x8-4x8")) for seed in range(4000, 4016)]
    with ThreadPoolExecutor(4) as pool:
        memories = list(pool.map(lambda case: simulate(simulator, case), cases))
    for case, memory in zip(cases, memories, strict=True):
        assert np.array_equal(memory, expected(case)), case.describe()


def _plain_convolution(seed: int, profile: str = "int8-8x8") -> Case:
    """A 3x3 convolution whose output still shows single steps."""
    while True:
        case = random_layer(seed, profile_of(profile), op=Op.CONV)
        layer = case.descriptor
        stages = layer.add_mode or layer.table_mode or layer.pool_mode
        sizes = layer.taps_y, layer.taps_x, layer.conv_height, layer.conv_width
        span = (1 << case.profile.activation_bits) - 1
        if layer.out_high - layer.out_low == span and not stages and min(sizes) >= 3:
            return case
        seed += 1


@pytest.mark.parametrize("memory", ["weights", "activations"])
@pytest.mark.parametrize("profile", ["int8-8x8", "w4a8-8x8", "w8a16-8x8"])
def test_a_flipped_bit_is_seen(profile: str, memory: str) -> None:
    case = _plain_convolution(5000, profile)
    layer, word_bytes = case.descriptor, case.profile.word_bytes
    reference = expected(case)
    assert np.array_equal(simulate(library(profile), case), reference)
    output = slice(layer.out_base * word_bytes, (layer.out_base + geometry.output_words(layer)) * word_bytes)
    if memory == "weights":
        first, size = layer.weights_base * 64, geometry.weight_bytes(layer, case.profile)
    else:
        first, size = layer.in_base * word_bytes, geometry.input_words(layer) * word_bytes
    target = getattr(case, memory)
    offsets = np.random.default_rng(0).choice(size, 20, replace=False)
    changed = 0
    for offset in first + offsets:
        target[offset] ^= 0x40
        changed += not np.array_equal(simulate(library(profile), case)[output], reference[output])
        target[offset] ^= 0x40
    assert changed > 0, case.describe()


@pytest.mark.parametrize(
    ("word", "value", "message"),
    [
        (0, 0x5F1C0002, "version"),
        (1, 9, "op must be in 0..3"),
        (12, 0, "taps_y"),
        (16, 0, "stride_y"),
        (7, 60_000, "on-chip"),
        (4, 2**31, "in_height"),
        (67, 2**31, "strip_rows"),
        (62, 0, "pool_width"),
        (69, 0, "group_count"),
    ],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_foreign_descriptor_is_refused(word: int, value: int, message: str, threads: int) -> None:
    """Without the validator in front, the kernel itself still stops with a status, and touches nothing."""
    case = _plain_convolution(6000)
    before = case.activations.copy()
    words = case.program[:BYTES].view("<u4")
    words[word] = value
    with pytest.raises(UserError, match="refuses descriptor 0") as caught:
        simulate(library("int8-8x8"), case, threads)
    assert message in caught.value.why
    assert np.array_equal(case.activations, before)


@pytest.mark.parametrize("profile", ["w8a16-8x8", "fp32-4x4"])
def test_a_table_is_refused_where_the_profile_has_none(profile: str) -> None:
    case = random_layer(6100, profile_of(profile), op=Op.CONV)
    before = case.activations.copy()
    case.program[:BYTES].view("<u4")[31] = TableMode.AFTER_ADD if case.descriptor.add_mode else TableMode.BEFORE_ADD
    with pytest.raises(UserError, match="refuses descriptor 0") as caught:
        simulate(library(profile), case)
    assert "table_mode" in caught.value.why
    assert np.array_equal(case.activations, before)


def test_arguments_are_checked() -> None:
    case = random_layer(1, profile_of("int8-8x8"))
    simulator = library("int8-8x8")
    memory = case.activations.copy()
    with pytest.raises(UserError, match="descriptors"):
        simulator.run(case.program[:BYTES], case.weights, memory, 1, 1)
    with pytest.raises(UserError, match="threads"):
        simulator.run(case.program, case.weights, memory, 0, 1, 0)
    with pytest.raises(UserError, match="uint8"):
        simulator.run(case.program, case.weights.view(np.int8), memory, 0, 1)  # type: ignore[arg-type]
    memory.flags.writeable = False
    with pytest.raises(UserError, match="writable"):
        simulator.run(case.program, case.weights, memory, 0, 1)
