"""The layer descriptor: what one launch of the accelerator reads from memory for each layer.

This is the one definition. The Python view is the dataclass below; the C++ and SystemVerilog views are rendered from
it by ``sliceflow.graph.render`` and checked in beside the kernels. docs/program.md says what a kernel does with it.

A descriptor is 128 little-endian 32-bit words (512 bytes). Word 0 is the version; the fields follow in the order in
which they stand here; the rest is reserved and zero.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

import numpy as np

from sliceflow.errors import UserError

WORDS = 128
"""32-bit words of a descriptor."""
BYTES = 4 * WORDS
"""Bytes of a descriptor."""
VERSION = 0x5F1C0001
"""Word 0: a magic number in the upper half, the version of the layout in the lower."""


class Op(enum.IntEnum):
    """What the array does with the window that ``cvt`` delivers."""

    CONV = 0
    """Dense convolution: 3x3 windows of one input slice, CPI x CPO weights for each tap."""
    POINTWISE = 1
    """Dense convolution by single pixels: nine input slices of one pixel, one for each tap."""
    DEPTHWISE = 2
    """Each channel by itself: one slice in, the same slice out, CPI weights for each tap."""
    PASS = 3
    """No arithmetic: the pixel under tap 0 goes on as it is."""


class TableMode(enum.IntEnum):
    """Where the 256-entry function table acts."""

    OFF = 0
    BEFORE_ADD = 1
    AFTER_ADD = 2


class AddMode(enum.IntEnum):
    """What the residual add takes from the main path."""

    OFF = 0
    REQUANTIZED = 1
    """The requantized value, with the descriptor's multiplier and shifts."""
    ACCUMULATOR = 2
    """The int32 accumulator, with the multiplier and shifts of its lane."""


class PoolMode(enum.IntEnum):
    """What the streaming pool does."""

    OFF = 0
    MAX = 1
    AVERAGE = 2
    GLOBAL_MAX = 3
    GLOBAL_AVERAGE = 4


def _word(doc: str, *, default: int = 0, kind: str = "u32") -> Any:
    return dataclasses.field(default=default, metadata={"doc": doc, "kind": kind})


@dataclasses.dataclass(kw_only=True)
class Descriptor:
    """One layer of a program. Units: a *word* is CPI activations of one pixel, a *beat* is 64 bytes."""

    op: int = _word("what the array does (Op)")
    layer: int = _word("number of the layer in the program, for status reports")
    # input
    in_base: int = _word("first word of the input in the activation memory")
    in_height: int = _word("rows of the input", default=1)
    in_width: int = _word("columns of the input", default=1)
    groups: int = _word("independent channel groups; DEPTHWISE and PASS: one for each slice", default=1)
    in_slices: int = _word("input slices of one group", default=1)
    # windows
    windows_y: int = _word("windows that cover the kernel's rows", default=1)
    windows_x: int = _word("windows that cover the kernel's columns", default=1)
    window_step_y: int = _word("input rows from one window to the next", default=3)
    window_step_x: int = _word("input columns from one window to the next", default=3)
    taps_y: int = _word("rows of a window in use, 1 to 3", default=1)
    taps_x: int = _word("columns of a window in use, 1 to 3", default=1)
    dilation_y: int = _word("input rows between two taps", default=1)
    dilation_x: int = _word("input columns between two taps", default=1)
    stride_y: int = _word("input rows between two output rows", default=1)
    stride_x: int = _word("input columns between two output columns", default=1)
    pad_top: int = _word("padding rows above the input")
    pad_left: int = _word("padding columns left of the input")
    pad_value: int = _word("what padding reads as (the input's zero point)", kind="value")
    conv_height: int = _word("rows that the array produces", default=1)
    conv_width: int = _word("columns that the array produces", default=1)
    weight_planes: int = _word("sets of weights that are summed over the same input, 1 to 3", default=1)
    weights_base: int = _word("first beat of the weights in the weight memory")
    lanes_base: int = _word("first beat of the lane parameters in the program memory")
    # requantize
    requantize: int = _word("1: requantize with the lane parameters; 0: values pass unchanged", default=1)
    out_zero: int = _word("zero point after requantization", kind="i32")
    out_low: int = _word("lower clamp after requantization", kind="value")
    out_high: int = _word("upper clamp after requantization", kind="value")
    leaky_slope: int = _word("float profiles: slope of negative values after the bias", kind="value")
    # activation table
    table_mode: int = _word("where the function table acts (TableMode)")
    table_base: int = _word("first beat of the 256-byte table in the program memory")
    # residual add
    add_mode: int = _word("what the residual add takes (AddMode)")
    add_base: int = _word("first word of the addend in the activation memory")
    add_main_zero: int = _word("REQUANTIZED: zero point of the main operand", kind="i32")
    add_main_multiplier: int = _word("REQUANTIZED: multiplier of the main operand", kind="i32")
    add_main_shift: int = _word("REQUANTIZED: left shift of the main product")
    add_other_zero: int = _word("zero point of the addend", kind="i32")
    add_other_multiplier: int = _word("multiplier of the addend", kind="i32")
    add_other_shift: int = _word("REQUANTIZED: left shift of the addend's product")
    add_shift: int = _word("REQUANTIZED: right shift of the sum")
    add_zero: int = _word("zero point of the sum", kind="i32")
    add_low: int = _word("lower clamp of the sum", kind="value")
    add_high: int = _word("upper clamp of the sum", kind="value")
    # pool
    pool_mode: int = _word("what the pool does (PoolMode)")
    pool_window_y: int = _word("rows of the pooling window", default=1)
    pool_window_x: int = _word("columns of the pooling window", default=1)
    pool_stride_y: int = _word("rows between two pooled rows", default=1)
    pool_stride_x: int = _word("columns between two pooled columns", default=1)
    pool_pad_top: int = _word("rows of the first window above the map")
    pool_pad_left: int = _word("columns of the first window left of the map")
    pool_count_top: int = _word("AVERAGE: padding rows above the map that count as values")
    pool_count_left: int = _word("AVERAGE: padding columns left of the map that count as values")
    pool_count_bottom: int = _word("AVERAGE: padding rows below the map that count as values")
    pool_count_right: int = _word("AVERAGE: padding columns right of the map that count as values")
    pool_scales_base: int = _word("first beat of the averaging scales in the program memory")
    pool_in_zero: int = _word("zero point before averaging", kind="i32")
    pool_out_zero: int = _word("zero point after averaging", kind="i32")
    pool_low: int = _word("lower clamp after averaging", kind="value")
    pool_high: int = _word("upper clamp after averaging", kind="value")
    pool_height: int = _word("rows after the pool (conv_height without one)", default=1)
    pool_width: int = _word("columns after the pool (conv_width without one)", default=1)
    # upsample and write
    upsample_y: int = _word("times each row is written", default=1)
    upsample_x: int = _word("times each column is written", default=1)
    out_base: int = _word("first word of the output in the activation memory")
    out_slices: int = _word("output slices of one group, in CPI channels", default=1)
    # schedule
    strip_rows: int = _word("pooled rows of one strip; GLOBAL pools: array rows", default=1)
    group_first: int = _word("first group to compute")
    group_count: int = _word("groups to compute", default=1)
    strip_first: int = _word("first strip to compute")
    strip_count: int = _word("strips to compute", default=1)
    out_first: int = _word("first output group (CPO channels) of each group to compute")
    out_count: int = _word("output groups of each group to compute", default=1)

    def encode(self, *, is_float: bool = False) -> bytes:
        """The descriptor as 512 bytes. ``value`` fields are int32, or float32 bits for a float profile.

        Raises:
            UserError: a value does not fit its word.
        """
        words = np.zeros(WORDS, "<u4")
        words[0] = VERSION
        for index, field in enumerate(dataclasses.fields(self), start=1):
            value, kind = getattr(self, field.name), field.metadata["kind"]
            if kind == "value" and is_float:
                words[index] = np.array(value, "<f4").view("<u4")
                continue
            low, high = (0, 2**32 - 1) if kind == "u32" else (-(2**31), 2**31 - 1)
            if not low <= value <= high:
                raise UserError(
                    f"{field.name} must lie in {low}..{high}, not {value}",
                    where=f"layer {self.layer}",
                    why="a descriptor word has 32 bits",
                    fix="run this layer on the CPU (--cpu NAME), or reduce its size",
                )
            words[index] = int(value) & 0xFFFFFFFF
        return words.tobytes()

    @classmethod
    def decode(cls, data: bytes, *, is_float: bool = False, where: str = "descriptor") -> Descriptor:
        """Read 512 bytes back.

        Raises:
            UserError: wrong size, wrong version, or reserved words that are not zero.
        """
        if len(data) != BYTES:
            raise UserError(f"a descriptor has {BYTES} bytes, not {len(data)}", where=where)
        words = np.frombuffer(data, "<u4")
        if words[0] != VERSION:
            raise UserError(
                f"the descriptor has version {int(words[0]):#010x}, not {VERSION:#010x}",
                where=where,
                fix="compile the model again with this version of Sliceflow",
            )
        fields = dataclasses.fields(cls)
        if words[1 + len(fields) :].any():
            raise UserError("the descriptor's reserved words are not zero", where=where, fix="compile the model again")
        values: dict[str, Any] = {}
        for word, field in zip(words[1 : 1 + len(fields)], fields, strict=True):
            kind = field.metadata["kind"]
            if kind == "value" and is_float:
                values[field.name] = float(word[None].view("<f4")[0])
            else:
                values[field.name] = int(word) if kind == "u32" else int(word[None].view("<i4")[0])
        return cls(**values)

    @property
    def strips(self) -> int:
        """Strips of the whole layer."""
        rows = self.conv_height if self.pool_is_global else self.pool_height
        return -(-rows // self.strip_rows)

    @property
    def pool_is_global(self) -> bool:
        """Whether the pool yields one value over the whole map."""
        return self.pool_mode in (PoolMode.GLOBAL_MAX, PoolMode.GLOBAL_AVERAGE)

    @property
    def out_height(self) -> int:
        """Rows of the tensor that is written."""
        return self.pool_height * self.upsample_y

    @property
    def out_width(self) -> int:
        """Columns of the tensor that is written."""
        return self.pool_width * self.upsample_x
