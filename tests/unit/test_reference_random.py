"""The reference against a second, scalar reading of the contract, over random layers; and what ranges promise."""

import dataclasses

import numpy as np
import pytest

from sliceflow.graph.descriptor import AddMode, Descriptor, Op, PoolMode
from sliceflow.hardware.profile import Profile
from sliceflow.reference.machine import execute
from tests.support.random_program import Case, random_layer, random_program, sub_ranges
from tests.support.scalar_machine import ScalarMachine

SMALL = dataclasses.replace(
    Profile.load("int8-4x4"), name="int8-2x4", cpi=2, cpo=4, bank_words=64, accumulator_pixels=128
)
SQUARE = dataclasses.replace(SMALL, name="int8-2x2", cpo=2)
NARROW = dataclasses.replace(SMALL, name="w4a8-2x4", weight_bits=4)
ODD = dataclasses.replace(SMALL, name="w4a8-1x3", weight_bits=4, cpi=1, cpo=3)  # half a byte left over in a block
WIDE = dataclasses.replace(SMALL, name="w8a16-2x4", activation_bits=16)
MIXED = dataclasses.replace(SMALL, name="w4a16-2x2", activation_bits=16, weight_bits=4, cpo=2)


def run_reference(case: Case) -> np.ndarray:
    memory = case.activations.copy()
    for layer in case.descriptors:
        execute(layer, case.profile, case.program, case.weights, memory)
    return memory


def run_scalar(case: Case) -> np.ndarray:
    memory = bytearray(case.activations.tobytes())
    for layer in case.descriptors:
        ScalarMachine(layer, case.profile, case.program.tobytes(), case.weights.tobytes(), memory).execute()
    return np.frombuffer(memory, np.uint8)


@pytest.mark.parametrize("profile", [SMALL, SQUARE, NARROW, ODD, WIDE, MIXED], ids=lambda profile: profile.name)
@pytest.mark.parametrize("op", Op)
def test_reference_equals_the_scalar_machine(profile, op):
    for seed in range(60 if profile in (SMALL, SQUARE) else 20):
        case = random_layer(seed, profile, op=op)
        assert np.array_equal(run_reference(case), run_scalar(case)), case.describe()


def test_layers_that_share_the_memory_equal_the_scalar_machine():
    for seed in range(30):
        case = random_program(seed, SMALL, layers=3)
        assert np.array_equal(run_reference(case), run_scalar(case)), case.describe()


def test_a_flipped_weight_bit_is_caught():
    """The comparison above must be able to fail: one wrong bit in a used weight shows."""
    caught = 0
    for seed in range(20):
        case = random_layer(seed, SMALL, op=Op.CONV)
        case.weights[case.descriptor.weights_base * 64] ^= 0x40
        good = random_layer(seed, SMALL, op=Op.CONV)
        caught += not np.array_equal(run_reference(case), run_reference(good))
    assert caught > 10


@pytest.mark.parametrize("name", Profile.names())
def test_parts_of_a_layer_add_up_to_the_layer(name):
    profile = Profile.load(name)
    for seed in range(60):
        case = random_layer(seed, profile)
        whole, parts = run_reference(case), case.activations.copy()
        for part in sub_ranges(seed, case.descriptor, profile):
            execute(part, profile, case.program, case.weights, parts)
        if profile.is_float:
            # Matrix products of other sizes sum in another order.
            tolerance = 1e-5 * np.abs(whole.view("<f4")).max() + 1e-6
            assert np.abs(whole.view("<f4") - parts.view("<f4")).max() <= tolerance, case.describe()
        else:
            assert np.array_equal(whole, parts), case.describe()


def test_parts_write_disjoint_words():
    for seed in range(60):
        case = random_layer(seed, SMALL)
        owner = np.zeros(case.activations.size, np.int64)
        for part in sub_ranges(seed, case.descriptor, SMALL):
            runs = []
            for fill in (0x00, 0xFF):
                memory = case.activations.copy()
                layer = part
                words = slice(
                    layer.out_base * 2,
                    (layer.out_base + layer.groups * layer.out_slices * layer.out_height * layer.out_width) * 2,
                )
                memory[words] = fill
                execute(part, SMALL, case.program, case.weights, memory)
                runs.append(memory[words])
            # A byte that does not depend on what was there before was written.
            owner[words] += runs[0] == runs[1]
        assert owner.max() == 1, case.describe()
        assert owner[words].min() == 1, case.describe()


def test_memories_that_are_only_read_stay_as_they_are():
    for seed in range(20):
        case = random_layer(seed, SMALL)
        program, weights = case.program.copy(), case.weights.copy()
        run_reference(case)
        assert np.array_equal(case.program, program)
        assert np.array_equal(case.weights, weights)


def test_float_layers_equal_a_sum_in_extended_precision():
    """The float profile: dense layers against a plain float sum over the taps."""
    profile = dataclasses.replace(Profile.load("fp32-4x4"), bank_words=256)
    for seed in range(15):
        case = random_layer(seed, profile, op=Op.CONV)
        layer = dataclasses.replace(
            case.descriptor, requantize=0, add_mode=0, pool_mode=0, upsample_y=1, upsample_x=1, strip_rows=1, groups=1,
            group_count=1, windows_y=1, windows_x=1, weight_planes=1, conv_height=1, conv_width=1, pool_height=1,
            pool_width=1, strip_count=1, in_slices=1, out_slices=1, out_count=1,
        )  # fmt: skip
        memory = case.activations.copy()
        execute(layer, profile, case.program, case.weights, memory)
        values = case.activations.view("<f4").reshape(-1, 4)
        weights = case.weights.view("<f4")[layer.weights_base * 16 :][:144].reshape(9, 4, 4)
        expected = case.program.view("<f4")[layer.lanes_base * 16 :][:16].reshape(4, 4)[:, 0].astype(np.longdouble)
        for ky in range(layer.taps_y):
            for kx in range(layer.taps_x):
                y, x = ky * layer.dilation_y - layer.pad_top, kx * layer.dilation_x - layer.pad_left
                inside = 0 <= y < layer.in_height and 0 <= x < layer.in_width
                word = values[layer.in_base + y * layer.in_width + x] if inside else np.full(4, layer.pad_value)
                expected = expected + word.astype(np.longdouble) @ weights[3 * ky + kx].astype(np.longdouble)
        result = memory.view("<f4").reshape(-1, 4)[layer.out_base]
        assert np.abs(result - expected).max() <= 1e-5 * np.abs(expected).max() + 1e-6, case.describe()


def test_float_stages_follow_the_contract():
    """Bias, leaky slope, clamp, add, clamp and average of a PASS layer, written out in NumPy."""
    profile = Profile.load("fp32-4x4")
    rng = np.random.default_rng(4)
    x, b = rng.normal(size=(2, 6, 8, 4)).astype(np.float32)
    bias, scale = rng.normal(size=4).astype(np.float32), np.float32(1 / 5)
    layer = Descriptor(
        op=Op.PASS, in_height=6, in_width=8, conv_height=6, conv_width=8, lanes_base=8, leaky_slope=0.25, out_low=-0.3,
        out_high=2.0, add_mode=AddMode.REQUANTIZED, add_base=48, add_low=-2.0, add_high=1.5, pool_mode=PoolMode.AVERAGE,
        pool_window_y=2, pool_window_x=2, pool_stride_y=2, pool_stride_x=2, pool_height=3, pool_width=4,
        pool_scales_base=9, pool_low=-0.5, pool_high=0.5, out_base=96, strip_rows=3,
    )  # fmt: skip
    program = np.zeros(10 * 64, np.uint8)
    program[8 * 64 : 9 * 64].view("<f4").reshape(4, 4)[:, 0] = bias
    program[9 * 64 : 9 * 64 + 40].view("<f4")[8] = scale
    memory = np.concatenate([x.ravel(), b.ravel(), np.zeros(3 * 4 * 4, np.float32)]).view(np.uint8)
    statistics = execute(layer, profile, program, np.zeros(0, np.uint8), memory)
    v = x + bias
    q = np.clip(np.where(v < 0, v * 0.25, v), -0.3, 2.0)
    total = np.clip(q + b, -2.0, 1.5)
    sums = total.reshape(3, 2, 4, 2, 4).sum(axis=(1, 3))
    expected = np.clip(sums * scale, -0.5, 0.5)
    result = memory.view("<f4").reshape(-1, 4)[96:].reshape(3, 4, 4)
    assert np.abs(result - expected).max() <= 1e-6
    assert statistics.saturation["add"].above == (q + b > 1.5).sum() > 0
    assert len(np.unique(result)) > 20
