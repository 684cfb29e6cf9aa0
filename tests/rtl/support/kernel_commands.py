"""What the scheduler must tell the units for a layer, by ``sliceflow.graph.geometry`` and docs/program.md."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import AddMode, Descriptor, Op
from sliceflow.hardware.profile import Profile

Command = dict[str, Any]
_WORD_BITS = 20
_BEAT = 64


def coordinate(at: int, layer: Descriptor, *, row: bool) -> Command:
    """Where a row or column lies: its place, its address in a bank, its class."""
    if layer.op == Op.POINTWISE:
        word, residue = at * (layer.in_width if row else 1), 0
    else:
        word, residue = at // 3 * (math.ceil(layer.in_width / 3) if row else 1), at % 3
    return {"at": at % 2**32, "word": word % 2**_WORD_BITS, "residue": residue}


def shape(layer: Descriptor) -> Command:
    """``shape_t``."""
    values: Command = {
        f"{name}_{axis}": coordinate(getattr(layer, f"{field}_{axis}"), layer, row=axis == "y")
        for axis in "yx"
        for name, field in (("stride", "stride"), ("dilation", "dilation"), ("step", "window_step"))
    }
    values["first_x"] = coordinate(-layer.pad_left, layer, row=False)
    values["row_carry"] = 0 if layer.op == Op.POINTWISE else math.ceil(layer.in_width / 3)
    values["steps"] = geometry.steps(layer)
    return values


def plan(layer: Descriptor, profile: Profile) -> Command:
    """Fields of ``layer_plan_t`` for what is fetched ahead: weights and lane parameters, in beats."""
    outs = geometry.output_groups(layer, profile)
    group_beats = geometry.passes(layer) * geometry.block_bytes(layer, profile) // _BEAT
    lane_beats = profile.lane_block_bytes // _BEAT
    first = layer.group_first * outs + layer.out_first
    return {
        "weight_first": layer.weights_base + first * group_beats,
        "weight_run": layer.out_count * group_beats,
        "weight_stride": outs * group_beats,
        "lane_first": layer.lanes_base + first * lane_beats,
        "lane_run": layer.out_count * lane_beats,
        "lane_stride": outs * lane_beats,
        "blocks": layer.group_count * layer.strip_count * layer.out_count * geometry.passes(layer),
        "scale_beats": math.ceil(geometry.scale_records(layer) * 8 / _BEAT),
    }


@dataclasses.dataclass(frozen=True)
class Bases:
    """Byte addresses of the activation memory for each port."""

    act_in: int
    act_add: int
    act_out: int


class Strip:
    """One strip of one group of a layer, and the command of each unit for it."""

    def __init__(self, layer: Descriptor, profile: Profile, bases: Bases, group: int, strip: int) -> None:
        self._layer, self._profile, self._bases = layer, profile, bases
        self._group, self._strip = group, strip
        self._rows = geometry.array_rows(layer, strip)
        self._inputs = geometry.input_rows(layer, self._rows)
        pooled = geometry.pooled_rows(layer, strip)
        last = strip + 1 == layer.strip_first + layer.strip_count
        self._pooled = (0, int(last)) if layer.pool_is_global else pooled
        self._ratio = profile.cpo // profile.cpi if geometry.is_dense(layer) else 1
        self._slices = layer.out_slices - layer.out_first * self._ratio if geometry.is_dense(layer) else 1
        self._out_slice = group * layer.out_slices + layer.out_first * self._ratio

    def commands(self) -> dict[str, Command]:
        """By unit. Without input rows the load's addresses mean nothing and are missing."""
        found = {"load": self._load(), "pad": self._pad(), "pool": self._pool(), "write": self._write()}
        if self._layer.add_mode != AddMode.OFF:
            found["addend"] = self._addend()
        return found

    def _bytes(self, words: int) -> int:
        return words * self._profile.word_bytes

    def _slice_words(self) -> int:
        layer, rows = self._layer, self._inputs[1] - self._inputs[0]
        if layer.op == Op.POINTWISE:
            return rows * layer.in_width
        return math.ceil(rows / 3) * math.ceil(layer.in_width / 3)

    def _load(self) -> Command:
        layer, rows = self._layer, self._inputs[1] - self._inputs[0]
        if not rows:
            return {"rows": 0}
        first = self._group * layer.in_slices * layer.in_height + self._inputs[0]
        run = rows * layer.in_width
        clock_words = min(8, self._profile.beat_bytes // self._profile.word_bytes)
        band = min(16, max(1, 8 * clock_words >> (layer.in_width.bit_length() - 1)))
        banded = layer.op == Op.POINTWISE and rows > band
        one_run = rows == layer.in_height and not banded
        return {
            "address": self._bases.act_in + self._bytes(layer.in_base + first * layer.in_width),
            "plane": self._bytes(layer.in_height * layer.in_width),
            "bytes": self._bytes(run * layer.in_slices if one_run else run),
            "one_run": int(one_run),
            "band_rows": band if banded else rows,
            "band_bytes": self._bytes(band * layer.in_width if banded else run),
            "slices": layer.in_slices,
            "rows": rows,
            "width": layer.in_width,
            "slice_words": self._slice_words(),
            "row_words": layer.in_width if layer.op == Op.POINTWISE else math.ceil(layer.in_width / 3),
            "pointwise": int(layer.op == Op.POINTWISE),
        }

    def _pad(self) -> Command:
        layer = self._layer
        first = self._rows[0] * layer.stride_y - layer.pad_top - self._inputs[0]
        return {
            "first_y": coordinate(first, layer, row=True),
            "in_rows": self._inputs[1] - self._inputs[0],
            "map_rows": self._rows[1] - self._rows[0],
            "slice_words": self._slice_words(),
        }

    def _pool(self) -> Command:
        return {
            "map_first": self._rows[0],
            "map_rows": self._rows[1] - self._rows[0],
            "pooled_first": self._pooled[0],
            "pooled_rows": self._pooled[1] - self._pooled[0],
            "first_strip": int(self._strip == self._layer.strip_first),
        }

    def _addend(self) -> Command:
        layer = self._layer
        row = self._out_slice * layer.conv_height + self._rows[0]
        return {
            "address": self._bases.act_add + self._bytes(layer.add_base + row * layer.conv_width),
            "plane": self._bytes(layer.conv_height * layer.conv_width),
            "pixels": (self._rows[1] - self._rows[0]) * layer.conv_width,
            "outs": layer.out_count,
            "slices": self._slices,
        }

    def _write(self) -> Command:
        layer = self._layer
        row = self._out_slice * layer.out_height + self._pooled[0] * layer.upsample_y
        return {
            "address": self._bases.act_out + self._bytes(layer.out_base + row * layer.out_width),
            "plane": self._bytes(layer.out_height * layer.out_width),
            "rows": self._pooled[1] - self._pooled[0],
            "width": layer.pool_width,
            "row": self._bytes(layer.out_width),
            "repeat_y": layer.upsample_y,
            "repeat_x": layer.upsample_x,
            "outs": layer.out_count,
            "slices": self._slices,
        }
