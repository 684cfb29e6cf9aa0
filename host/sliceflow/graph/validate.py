"""The guard in front of every device: a program that passes touches no memory out of range, and ends.

The checks are those of docs/program.md section 3, plus every address of every memory, the meaning of every mode, and a
bound on the total work. They hold for any implementation of the contract: a kernel that follows it needs no check of
its own to be safe. They do not say that the program computes what its model does.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.graph import geometry
from sliceflow.graph.descriptor import BYTES, AddMode, Descriptor, Op, PoolMode, TableMode
from sliceflow.hardware.profile import Profile

MAX_SIDE = (1 << 16) - 1
"""Largest size, count, step or padding of a descriptor."""
MAX_SHIFT = 62
"""Largest shift of a product in 64 bits."""
MAX_PLANES = 3
"""Most sets of weights over one input."""
MAX_STRIPS = 1 << 20
"""Most strips of a program."""
MAX_WORK = 1 << 34
"""Most array clocks, words moved and pooled cells of a program together: minutes of an accelerator.
VGG16 at 224x224 needs less than a hundredth of it with 8x8 channels a clock."""
_TABLE_BYTES = 256
_RECORD_BYTES = 16
_PRODUCT_LIMIT = 1 << 62

_SIZES = (
    "in_height",
    "in_width",
    "groups",
    "in_slices",
    "windows_y",
    "windows_x",
    "window_step_y",
    "window_step_x",
    "dilation_y",
    "dilation_x",
    "stride_y",
    "stride_x",
    "conv_height",
    "conv_width",
    "pool_window_y",
    "pool_window_x",
    "pool_stride_y",
    "pool_stride_x",
    "pool_height",
    "pool_width",
    "upsample_y",
    "upsample_x",
    "out_slices",
    "strip_rows",
    "group_count",
    "strip_count",
    "out_count",
)
_PADDINGS = (
    "pad_top",
    "pad_left",
    "pool_pad_top",
    "pool_pad_left",
    "pool_count_top",
    "pool_count_left",
    "pool_count_bottom",
    "pool_count_right",
)
_ZEROS = (
    "out_zero",
    "add_main_zero",
    "add_other_zero",
    "add_zero",
    "pool_in_zero",
    "pool_out_zero",
)
_RANGES: dict[str, tuple[int, int]] = {
    "op": (0, max(Op)),
    "table_mode": (0, max(TableMode)),
    "add_mode": (0, max(AddMode)),
    "pool_mode": (0, max(PoolMode)),
    "requantize": (0, 1),
    "taps_y": (1, 3),
    "taps_x": (1, 3),
    "weight_planes": (1, MAX_PLANES),
    "add_main_shift": (0, MAX_SHIFT),
    "add_other_shift": (0, MAX_SHIFT),
    "add_shift": (0, MAX_SHIFT),
    **dict.fromkeys(_SIZES, (1, MAX_SIDE)),
    **dict.fromkeys(_PADDINGS, (0, MAX_SIDE)),
}
_CLAMPS = (("out_low", "out_high"), ("add_low", "add_high"), ("pool_low", "pool_high"))


@dataclasses.dataclass(frozen=True)
class _Memories:
    """Sizes of the three memories, and the end of the descriptor list in the first."""

    program_bytes: int
    weight_bytes: int
    activation_words: int
    descriptor_bytes: int


def validate_program(
    descriptors: Sequence[Descriptor], profile: Profile, program_bytes: int, weight_bytes: int, activation_words: int
) -> None:
    """Refuse a program that does not fit its profile or its memories.

    A program that passes reads and writes only inside the three memories and inside the profile's on-chip buffers, and
    ends after at most ``MAX_WORK`` elementary steps, on every implementation of docs/program.md. Shifts that lie in the
    program memory are checked by ``validate_parameters``.

    Args:
        descriptors: the layers, in order.
        profile: the accelerator.
        program_bytes: size of the program memory, descriptors included.
        weight_bytes: size of the weight memory.
        activation_words: size of the activation memory in words of CPI activations.

    Raises:
        UserError: names the layer's number and the field.
    """
    memories = _Memories(program_bytes, weight_bytes, activation_words, BYTES * len(descriptors))
    if memories.descriptor_bytes > program_bytes:
        _refuse(f"program_bytes must be {memories.descriptor_bytes} or more, not {program_bytes}", "the program")
    work = strips = 0
    for number, descriptor in enumerate(descriptors):
        where = f"layer {number}"
        # The round trip makes every value the Python number that the kernel will see.
        data = descriptor.encode(is_float=profile.is_float)
        layer = Descriptor.decode(data, is_float=profile.is_float, where=where)
        _check_values(layer, profile, where)
        _check_operation(layer, profile, where)
        _check_pool(layer, profile, where)
        _check_schedule(layer, profile, where)
        _check_memories(layer, profile, memories, where)
        strips += layer.strips
        if strips > MAX_STRIPS:
            _refuse(f"the strips of the program must be at most {MAX_STRIPS}, not {strips}", where)
        work += _check_buffers(layer, profile, where)
        if work > MAX_WORK:
            _refuse(f"the work of the program must be at most {MAX_WORK} steps, not {work}", where)


def validate_parameters(descriptors: Sequence[Descriptor], profile: Profile, program: NDArray[np.uint8]) -> None:
    """Refuse shifts beyond 62 in the lane parameters and averaging scales.

    The descriptors must have passed ``validate_program``.

    Args:
        descriptors: the layers, in order.
        profile: the accelerator.
        program: the program memory.

    Raises:
        UserError: names the layer's number.
    """
    if profile.is_float:
        return
    for number, layer in enumerate(descriptors):
        first = layer.lanes_base * profile.beat_bytes
        blocks = program[first : first + geometry.lane_bytes(layer, profile)].reshape(-1, profile.lane_block_bytes)
        used = blocks[:, : geometry.lanes(layer, profile) * _RECORD_BYTES]
        shift = int(used.reshape(-1, _RECORD_BYTES)[:, 8:12].max())
        if shift > MAX_SHIFT:
            _refuse(f"shifts of the lane parameters must be at most {MAX_SHIFT}, not {shift}", f"layer {number}")
        first, records = layer.pool_scales_base * profile.beat_bytes, geometry.scale_records(layer)
        if records:
            shift = int(program[first : first + 8 * records].view("<u4")[1::2].max())
            if shift > MAX_SHIFT:
                _refuse(f"shifts of the averaging scales must be at most {MAX_SHIFT}, not {shift}", f"layer {number}")


def _refuse(what: str, where: str, why: str = "") -> NoReturn:
    raise UserError(what, where=where, why=why, fix="compile the model again for this profile")


def _check_range(layer: Descriptor, field: str, low: int, high: int, where: str, why: str = "") -> None:
    value = getattr(layer, field)
    if not low <= value <= high:
        must = str(low) if low == high else f"in {low}..{high}"
        _refuse(f"{field} must be {must}, not {value}", where, why)


def _check_values(layer: Descriptor, profile: Profile, where: str) -> None:
    """Every field by itself."""
    for field, (low, high) in _RANGES.items():
        _check_range(layer, field, low, high, where)
    if profile.is_float:
        for field in ("pad_value", "leaky_slope", *(name for pair in _CLAMPS for name in pair)):
            if math.isnan(getattr(layer, field)):
                _refuse(f"{field} must be a number, not nan", where)
    else:
        largest = (1 << (profile.activation_bits - 1)) - 1
        for field in ("pad_value", *_ZEROS, *(name for pair in _CLAMPS for name in pair)):
            _check_range(layer, field, -largest - 1, largest, where, "it is an activation")
    for low_field, high_field in _CLAMPS:
        low_value, high_value = getattr(layer, low_field), getattr(layer, high_field)
        if low_value > high_value:
            _refuse(f"{low_field} must be at most {high_field}, {high_value}, not {low_value}", where)


def _check_operation(layer: Descriptor, profile: Profile, where: str) -> None:
    """What the array, the table and the add can do."""
    name = Op(layer.op).name
    if not geometry.is_dense(layer):
        for field in ("in_slices", "out_slices"):
            _check_range(layer, field, 1, 1, where, f"{name} has one slice in each group")
    if layer.op in (Op.POINTWISE, Op.PASS):
        for field in ("taps_y", "taps_x"):
            _check_range(layer, field, 1, 1, where, f"{name} reads one pixel at a time")
    if layer.op == Op.PASS:
        for field in ("windows_y", "windows_x", "weight_planes"):
            _check_range(layer, field, 1, 1, where, "PASS has no weights")
    for axis in "yx":
        dilation = getattr(layer, f"dilation_{axis}")
        if getattr(layer, f"taps_{axis}") > 1 and dilation % 3 == 0:
            _refuse(
                f"dilation_{axis} must not be a multiple of 3 with several taps, not {dilation}",
                where,
                "two taps would read the same bank",
            )
    if not profile.has_tables:
        _check_range(layer, "table_mode", 0, 0, where, "a table has 256 entries, one for each 8-bit value")
    elif layer.add_mode == AddMode.ACCUMULATOR and layer.table_mode == TableMode.BEFORE_ADD:
        _refuse("table_mode must be OFF or AFTER_ADD, not BEFORE_ADD", where, "add_mode is ACCUMULATOR")
    if layer.add_mode == AddMode.REQUANTIZED and not profile.is_float:
        span = (1 << profile.activation_bits) - 1
        largest = span * (
            (abs(layer.add_main_multiplier) << layer.add_main_shift)
            + (abs(layer.add_other_multiplier) << layer.add_other_shift)
        )
        if largest >= _PRODUCT_LIMIT:
            _refuse(f"the largest sum of the add's products must be below 2**62, not {largest}", where)


def _check_pool(layer: Descriptor, profile: Profile, where: str) -> None:
    """The pooled size, and that every window holds at least one value."""
    cells = geometry.averaged_cells(layer)
    if not profile.is_float and cells << profile.activation_bits > 1 << 31:
        _refuse(f"an average must not take {cells} values", where, "their sum would not fit 32 bits")
    if layer.pool_mode == PoolMode.OFF or layer.pool_is_global:
        size = (1, 1) if layer.pool_is_global else (layer.conv_height, layer.conv_width)
        for field, length in zip(("pool_height", "pool_width"), size, strict=True):
            _check_range(layer, field, length, length, where, f"pool_mode is {PoolMode(layer.pool_mode).name}")
        return
    _check_range(layer, "conv_width", 1, profile.pool_width, where, "the pool's line buffers are that wide")
    for axis, pad, side, mapped in (
        ("y", "pool_pad_top", "pool_height", layer.conv_height),
        ("x", "pool_pad_left", "pool_width", layer.conv_width),
    ):
        _check_range(layer, f"pool_window_{axis}", 1, profile.pool_window, where, "the profile's largest window")
        window, stride = getattr(layer, f"pool_window_{axis}"), getattr(layer, f"pool_stride_{axis}")
        _check_range(layer, pad, 0, window - 1, where, "the first window would lie outside the map")
        reachable = (mapped - 1 + getattr(layer, pad)) // stride + 1
        _check_range(layer, side, 1, reachable, where, "the last window would lie outside the map")


def _check_schedule(layer: Descriptor, profile: Profile, where: str) -> None:
    """The part of the layer that the ranges name."""
    outs = geometry.output_groups(layer, profile)
    for name, total in (("group", layer.groups), ("strip", layer.strips), ("out", outs)):
        first, count = getattr(layer, f"{name}_first"), getattr(layer, f"{name}_count")
        if first + count > total:
            _refuse(f"{name}_first + {name}_count must be at most {total}, not {first} + {count}", where)
    if layer.pool_is_global:
        _check_range(layer, "strip_count", layer.strips, layer.strips, where, "a global pool takes the whole map")
        if layer.strips > 1 and outs > 1:
            _refuse(
                f"a global pool must have one strip or one output group, not {layer.strips} strips "
                f"and {outs} output groups",
                where,
            )


def _check_memories(layer: Descriptor, profile: Profile, memories: _Memories, where: str) -> None:
    """Every address that the layer can touch, whatever its ranges."""
    read = [("in_base", geometry.input_words(layer))]
    if layer.add_mode != AddMode.OFF:
        read.append(("add_base", geometry.addend_words(layer)))
    output = ("out_base", geometry.output_words(layer))
    for field, words in (*read, output):
        _check_extent(layer, field, words, memories.activation_words, "words of activation memory", where)
    for field, words in read:
        first, out = getattr(layer, field), layer.out_base
        if first < out + output[1] and out < first + words:
            _refuse(
                f"out_base must keep the output ({output[1]} words) apart from the {words} words at {field} {first}, "
                f"not {out}",
                where,
                "the layer would overwrite what it still reads",
            )
    beat = profile.beat_bytes
    _check_extent(
        layer,
        "weights_base",
        geometry.weight_bytes(layer, profile) // beat,
        memories.weight_bytes // beat,
        "beats of weight memory",
        where,
    )
    in_program = [("lanes_base", geometry.lane_bytes(layer, profile))]
    if layer.table_mode != TableMode.OFF:
        in_program.append(("table_base", _TABLE_BYTES))
    if geometry.scale_records(layer):
        in_program.append(("pool_scales_base", 8 * geometry.scale_records(layer)))
    for field, size in in_program:
        _check_extent(
            layer, field, math.ceil(size / beat), memories.program_bytes // beat, "beats of program memory", where
        )
        _check_range(layer, field, memories.descriptor_bytes // beat, 1 << 32, where, "the descriptors come first")


def _check_extent(layer: Descriptor, field: str, size: int, available: int, unit: str, where: str) -> None:
    first = getattr(layer, field)
    if size and first + size > available:
        _refuse(f"{field} must be at most {available - size}, not {first}", where, f"{size} of {available} {unit}")


def _check_buffers(layer: Descriptor, profile: Profile, where: str) -> int:
    """The on-chip limits of every strip.

    Returns:
        Steps of the layer: array clocks and weight beats, words loaded, words written, cells pooled.
    """
    per_pass = geometry.block_bytes(layer, profile) // profile.beat_bytes
    passes = layer.group_count * layer.out_count * geometry.passes(layer)
    windowed = layer.pool_mode in (PoolMode.MAX, PoolMode.AVERAGE)
    cells = layer.pool_window_y * layer.pool_window_x if windowed else 1
    work = geometry.output_words(layer) * cells
    for strip in range(layer.strips):
        rows = geometry.array_rows(layer, strip)
        first, last = geometry.input_rows(layer, rows)
        words = geometry.bank_words(layer, last - first)
        if words > profile.bank_words:
            _refuse(
                f"bank_words of the profile must be {words} or more, not {profile.bank_words}",
                where,
                f"strip {strip} reads {last - first} rows of {layer.in_width} columns and {layer.in_slices} slices",
            )
        pixels = (rows[1] - rows[0]) * layer.conv_width
        if pixels > profile.accumulator_pixels:
            _refuse(
                f"accumulator_pixels of the profile must be {pixels} or more, not {profile.accumulator_pixels}",
                where,
                f"strip {strip} has {rows[1] - rows[0]} rows of {layer.conv_width} pixels",
            )
        work += passes * (pixels + per_pass)
        work += layer.group_count * layer.in_slices * (last - first) * layer.in_width
    return work
