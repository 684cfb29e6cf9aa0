"""The guard in front of every device: a program that passes touches no memory out of range, and ends.

The checks are the rules that the kernels check too (``sliceflow.graph.rules``), the on-chip limits of every strip,
every address of every memory, and a bound on the total work. They do not say that the program computes what its model
does.
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
from sliceflow.graph.descriptor import BYTES, AddMode, Descriptor, PoolMode, TableMode
from sliceflow.graph.rules import MAX_SHIFT, broken
from sliceflow.hardware.profile import Profile

MAX_STRIPS = 1 << 20
"""Most strips of a program."""
MAX_WORK = 1 << 34
"""Most array clocks, words moved and pooled cells of a program together: minutes of an accelerator.
VGG16 at 224x224 needs less than a hundredth of it with 8x8 channels a clock."""
_TABLE_BYTES = 256
_RECORD_BYTES = 16
_PRODUCT_LIMIT = 1 << 62

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
        _check_rules(layer, profile, where)
        _check_arithmetic(layer, profile, where)
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


def _check_rules(layer: Descriptor, profile: Profile, where: str) -> None:
    """What the kernels check themselves."""
    rule = broken(layer, profile)
    if rule:
        _refuse(rule.message(layer), where, rule.why)


def _check_arithmetic(layer: Descriptor, profile: Profile, where: str) -> None:
    """Numbers that are numbers, and sums that fit their words."""
    if profile.is_float:
        for field in ("pad_value", "leaky_slope", *(name for pair in _CLAMPS for name in pair)):
            if math.isnan(getattr(layer, field)):
                _refuse(f"{field} must be a number, not nan", where)
        for low_field, high_field in _CLAMPS:
            low_value, high_value = getattr(layer, low_field), getattr(layer, high_field)
            if low_value > high_value:
                _refuse(f"{low_field} must be at most {high_field}, {high_value}, not {low_value}", where)
        return
    if layer.add_mode == AddMode.REQUANTIZED:
        span = (1 << profile.activation_bits) - 1
        largest = span * (
            (abs(layer.add_main_multiplier) << layer.add_main_shift)
            + (abs(layer.add_other_multiplier) << layer.add_other_shift)
        )
        if largest >= _PRODUCT_LIMIT:
            _refuse(f"the largest sum of the add's products must be below 2**62, not {largest}", where)
    cells = geometry.averaged_cells(layer)
    if cells << profile.activation_bits > 1 << 31:
        _refuse(f"an average must not take {cells} values", where, "their sum would not fit 32 bits")


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
