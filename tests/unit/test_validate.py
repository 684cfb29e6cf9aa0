"""The guard: what it accepts runs, what it refuses it names, and it counts every byte that a layer can touch."""

import dataclasses

import numpy as np
import pytest

from sliceflow.errors import UserError
from sliceflow.graph import geometry
from sliceflow.graph.descriptor import AddMode, Descriptor, Op, PoolMode, TableMode
from sliceflow.graph.rules import MAX_SIDE
from sliceflow.graph.validate import validate_parameters, validate_program
from sliceflow.hardware.profile import Profile
from sliceflow.reference.machine import execute
from tests.support.random_program import Case, random_layer, random_program

INT = Profile.load("int8-8x8")
FLOAT = Profile.load("fp32-4x4")
TINY = dataclasses.replace(INT, name="tiny", cpi=2, cpo=4, bank_words=64, accumulator_pixels=128)
FIELDS = [field.name for field in dataclasses.fields(Descriptor)]


def conv(**changes) -> Descriptor:
    """A 3x3 convolution of an 8x8 map; input at word 0, output at word 64, lanes in beat 16."""
    plain = Descriptor(
        op=Op.CONV, in_height=8, in_width=8, taps_y=3, taps_x=3, pad_top=1, pad_left=1, conv_height=8, conv_width=8,
        lanes_base=16, out_high=127, pool_height=8, pool_width=8, out_base=64, strip_rows=8,
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)


def check(*layers: Descriptor, profile: Profile = INT, program=4096, weights=1 << 16, words=4096) -> None:
    validate_program(layers, profile, program, weights, words)


def pooled(**changes) -> Descriptor:
    return conv(
        pool_mode=PoolMode.MAX, pool_window_y=2, pool_window_x=2, pool_stride_y=2, pool_stride_x=2, pool_height=4,
        pool_width=4, strip_rows=4,
    ) if not changes else dataclasses.replace(pooled(), **changes)  # fmt: skip


def test_plain_layers_pass():
    check(conv())
    check(pooled())
    check()


def averaged(side: int) -> Descriptor:
    """A global average over a map of so many rows and columns."""
    return conv(
        op=Op.PASS, taps_y=1, taps_x=1, in_height=side, in_width=side, conv_height=side, conv_width=side, strip_rows=16,
        pool_mode=PoolMode.GLOBAL_AVERAGE, pool_height=1, pool_width=1, strip_count=-(-side // 16), pool_scales_base=30,
        out_base=1 << 16,
    )  # fmt: skip


def test_profiles_of_sixteen_bits_have_wider_values_and_no_tables():
    wide = Profile.load("w8a16-8x8")
    check(conv(pad_value=-(1 << 15), out_zero=(1 << 15) - 1, out_low=-129, out_high=128), profile=wide)
    for layer, named in (
        (conv(out_high=1 << 15), "out_high"),
        (conv(table_mode=TableMode.AFTER_ADD, table_base=60), "table_mode"),
        (averaged(182), "an average must not take 33124 values"),
    ):
        with pytest.raises(UserError, match=named):
            check(layer, profile=wide, words=1 << 20)
    check(averaged(181), profile=wide, words=1 << 20)


REFUSED = [
    *[(conv(**{name: 0}), name) for name in (
        "in_height", "in_width", "groups", "in_slices", "windows_y", "windows_x", "window_step_y", "window_step_x",
        "taps_y", "taps_x", "dilation_y", "dilation_x", "stride_y", "stride_x", "conv_height", "conv_width",
        "weight_planes", "pool_window_y", "pool_stride_x", "pool_height", "pool_width", "upsample_y", "upsample_x",
        "out_slices", "strip_rows", "group_count", "strip_count", "out_count",
    )],
    *[(conv(**{name: MAX_SIDE + 1}), name) for name in ("in_height", "groups", "windows_x", "pad_top", "upsample_y")],
    (conv(op=4), "op"),
    (conv(table_mode=3), "table_mode"),
    (conv(add_mode=3), "add_mode"),
    (conv(pool_mode=5), "pool_mode"),
    (conv(requantize=2), "requantize"),
    (conv(taps_y=4), "taps_y"),
    (conv(weight_planes=4), "weight_planes"),
    (conv(dilation_y=3), "dilation_y"),
    (conv(taps_x=2, dilation_x=6), "dilation_x"),
    (conv(pad_value=-129), "pad_value"),
    (conv(out_zero=128), "out_zero"),
    (conv(out_low=5, out_high=4), "out_low"),
    (conv(out_high=128), "out_high"),
    (conv(add_shift=63), "add_shift"),
    (conv(op=Op.DEPTHWISE, in_slices=2), "in_slices"),
    (conv(op=Op.DEPTHWISE, out_slices=2), "out_slices"),
    (conv(op=Op.POINTWISE), "taps_y"),
    (conv(op=Op.PASS, taps_y=1, taps_x=1, windows_x=2), "windows_x"),
    (conv(op=Op.PASS, taps_y=1, taps_x=1, weight_planes=2), "weight_planes"),
    (conv(pool_height=7), "pool_height"),
    (conv(pool_mode=PoolMode.GLOBAL_MAX, pool_width=1), "pool_height"),
    (conv(table_mode=TableMode.BEFORE_ADD, add_mode=AddMode.ACCUMULATOR, table_base=60, add_base=200), "table_mode"),
    (conv(add_mode=AddMode.REQUANTIZED, add_base=200, add_main_multiplier=1 << 23, add_main_shift=40), "products"),
    (pooled(pool_window_y=9), "pool_window_y"),
    (pooled(pool_pad_top=2), "pool_pad_top"),
    (pooled(pool_height=5), "pool_height"),
    (pooled(pool_width=5), "pool_width"),
    (conv(in_width=2000, conv_width=2000, pool_mode=PoolMode.MAX), "conv_width"),
    (conv(group_first=1), "group_first"),
    (conv(strip_count=2), "strip_first"),
    (conv(out_first=1), "out_first"),
    (conv(pool_mode=PoolMode.GLOBAL_MAX, pool_height=1, pool_width=1, strip_rows=4), "strip_count"),
    (conv(pool_mode=PoolMode.GLOBAL_MAX, pool_height=1, pool_width=1, strip_rows=4, strip_count=2, out_slices=2,
          out_count=2), "global pool"),
    (conv(in_base=4096 - 63), "in_base"),
    (conv(in_base=2**32 - 1), "in_base"),
    (conv(out_base=4096 - 63), "out_base"),
    (conv(out_base=63), "out_base"),
    (conv(in_base=127), "out_base"),
    (conv(add_mode=AddMode.REQUANTIZED, add_base=4096 - 63), "add_base"),
    (conv(add_mode=AddMode.REQUANTIZED, add_base=64), "out_base"),
    (conv(weights_base=1024 - 8), "weights_base"),
    (conv(lanes_base=63), "lanes_base"),
    (conv(lanes_base=15), "lanes_base"),
    (conv(table_mode=TableMode.AFTER_ADD, table_base=61), "table_base"),
    (pooled(pool_mode=PoolMode.AVERAGE, pool_scales_base=64), "pool_scales_base"),
    (conv(in_height=400, in_width=110, stride_y=50, out_base=44_000), "bank_words"),
    (conv(in_height=100, in_width=100, conv_height=100, conv_width=100, pool_height=100, pool_width=100, out_base=20000,
          strip_rows=100), "accumulator_pixels"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "named"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_the_message_names_layer_and_field(layer, named):
    with pytest.raises(UserError) as caught:
        check(conv(), layer, words=4096 if "base" in named else 1 << 20)
    assert named in caught.value.what
    assert caught.value.where == "layer 1"
    assert caught.value.fix


@pytest.mark.parametrize("field", ["pad_value", "leaky_slope", "out_low", "add_high", "pool_low"])
def test_float_layers_refuse_not_a_number(field):
    check(conv(), profile=FLOAT)
    with pytest.raises(UserError, match=field):
        check(conv(**{field: float("nan")}), profile=FLOAT)


def test_float_layers_refuse_tables():
    with pytest.raises(UserError, match="table_mode"):
        check(conv(table_mode=TableMode.AFTER_ADD, table_base=32), profile=FLOAT)


def test_descriptors_must_fit_the_program_memory():
    with pytest.raises(UserError, match="program_bytes"):
        validate_program([conv()] * 9, INT, 8 * 512, 1 << 16, 4096)


def test_endless_work_is_refused():
    huge = conv(in_height=100, in_width=4, conv_height=60_000, conv_width=1000, pool_height=60_000, pool_width=1000,
                strip_rows=8, strip_count=7500, windows_y=1000, windows_x=1, out_base=400)  # fmt: skip
    with pytest.raises(UserError, match="work of the program"):
        check(huge, weights=1 << 40, words=1 << 27)
    many = conv(in_height=65_535, in_width=1, conv_height=65_535, conv_width=1, pool_height=65_535, pool_width=1,
                strip_rows=1, strip_count=65_535, out_base=65_535, lanes_base=200)  # fmt: skip
    with pytest.raises(UserError, match="strips of the program"):
        check(*[many] * 17, weights=1 << 40, words=1 << 24, program=1 << 20)


def sizes(case: Case) -> list[int]:
    return [case.program.size, case.weights.size, case.activation_words]


def last_byte_used(case: Case) -> list[int]:
    """Bytes of program and weights and words of activations that a single layer needs, found without the guard."""
    layer, profile = case.descriptor, case.profile
    fields = ["in_base", "out_base", *(["add_base"] if layer.add_mode else [])]
    words = {"in_base": geometry.input_words, "out_base": geometry.output_words, "add_base": geometry.addend_words}
    program = [layer.lanes_base * 64 + geometry.lane_bytes(layer, profile)]
    if layer.table_mode:
        program.append(layer.table_base * 64 + 256)
    if geometry.scale_records(layer):
        program.append(layer.pool_scales_base * 64 + -(-8 * geometry.scale_records(layer) // 64) * 64)
    weights = layer.weights_base * 64 + geometry.weight_bytes(layer, profile)
    return [max(program), weights, max(getattr(layer, name) + words[name](layer) for name in fields)]


def test_memories_may_be_as_small_as_the_layer_needs_and_no_smaller():
    for seed in range(100):
        case = random_layer(seed, TINY)
        least = last_byte_used(case)
        validate_program(case.descriptors, TINY, *least)
        for which in range(3):
            smaller = list(least)
            smaller[which] -= 1
            if which == 1 and case.descriptor.op == Op.PASS:
                continue
            with pytest.raises(UserError):
                validate_program(case.descriptors, TINY, *smaller)


@pytest.mark.parametrize("profile", [TINY, dataclasses.replace(FLOAT, bank_words=64, accumulator_pixels=128)])
def test_whatever_passes_runs(profile):
    """Mutated programs are refused with a message, or run without an error and change nothing but their output."""
    rng = np.random.default_rng(11)
    passed = 0
    for seed in range(1500):
        case = random_program(seed % 100, profile, layers=2)
        layers = [mutated(rng, layer) for layer in case.descriptors]
        try:
            validate_program(layers, profile, *sizes(case))
            validate_parameters(layers, profile, case.program)
        except UserError:
            continue
        passed += 1
        memory = case.activations.copy()
        for layer in layers:
            before = memory.copy()
            with np.errstate(all="ignore"):
                execute(layer, profile, case.program, case.weights, memory)
            first = layer.out_base * profile.word_bytes
            last = first + geometry.output_words(layer) * profile.word_bytes
            assert np.array_equal(before[:first], memory[:first]), layer
            assert np.array_equal(before[last:], memory[last:]), layer
    assert passed > 150


def mutated(rng: np.random.Generator, layer: Descriptor) -> Descriptor:
    """The layer with up to three fields changed: a little, or to something extreme."""
    changes = {}
    for field in rng.choice(FIELDS, int(rng.integers(0, 4)), replace=False):
        value = getattr(layer, field)
        if isinstance(value, float):
            changes[field] = float(rng.choice([0.0, -1.0, 1e38, np.inf, -np.inf, np.nan]))
        else:
            extreme = int(rng.choice([0, 1, 2, 3, 127, 65_535, 2**31 - 1, 2**32 - 1]))
            changes[field] = extreme if rng.random() < 0.3 else value + int(rng.integers(-3, 4))
    return dataclasses.replace(layer, **changes)


def test_flipped_bits_of_descriptors_are_refused_or_run():
    rng = np.random.default_rng(12)
    for seed in range(600):
        case = random_layer(seed % 60, TINY)
        data = bytearray(case.descriptor.encode())
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        try:
            layer = Descriptor.decode(bytes(data))
            validate_program([layer], TINY, *sizes(case))
            validate_parameters([layer], TINY, case.program)
        except UserError:
            continue
        execute(layer, TINY, case.program, case.weights, case.activations)


def test_shifts_in_memory_are_checked():
    case = random_layer(3, TINY, op=Op.CONV)
    lane = case.descriptor.lanes_base * 64 + 8
    for offset in range(4):
        program = case.program.copy()
        program[lane + offset] = 63
        with pytest.raises(UserError, match="lane parameters"):
            validate_parameters(case.descriptors, TINY, program)
    seed = next(s for s in range(100) if random_layer(s, TINY).descriptor.pool_mode == PoolMode.AVERAGE)
    case = random_layer(seed, TINY)
    case.program[case.descriptor.pool_scales_base * 64 + 8 + 7] = 1
    with pytest.raises(UserError, match="averaging scales"):
        validate_parameters(case.descriptors, TINY, case.program)
