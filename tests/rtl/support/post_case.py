"""What the units behind the accumulators take and give for a layer, from the reference: sums, lane parameters, addends,
commands of the pool, and the pixels that come out."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import AddMode, Descriptor, PoolMode, TableMode
from sliceflow.hardware.profile import Profile
from sliceflow.reference import machine, memory
from sliceflow.reference.numerics import wrap
from tests.support.random_program import Case, sub_ranges

_BEAT = 64
_RECORD = 16
Lanes = NDArray[np.int64]
"""A value for each lane."""


def pack(values: Lanes, bits: int) -> int:
    """Lanes as one vector, lane 0 in the lowest bits."""
    return sum((int(value) & ((1 << bits) - 1)) << bits * lane for lane, value in enumerate(values))


def unpack(vector: int, lanes: int, bits: int) -> Lanes:
    """The signed values of a vector's lanes."""
    mask = (1 << bits) - 1
    return wrap(np.array([vector >> bits * lane & mask for lane in range(lanes)], np.int64), bits)


@dataclasses.dataclass(frozen=True)
class Pixel:
    """An expected pixel: the lanes that are written. The others may hold anything."""

    values: Lanes


class PostCase:
    """One descriptor and its streams.

    Attributes:
        layer: the descriptor, restricted to some groups, strips and output groups if ``divide``.
        sums: (first, last, accumulators of all lanes).
        lanes: one record of parameters for each output group of each strip.
        addends: addend of each sum; empty without an add.
        commands: of the pool, one for each strip.
        table: four beats, or none.
        scales: beats of averaging records, or none.
        pixels: what must come out.
    """

    def __init__(self, case: Case, rng: random.Random, *, divide: bool) -> None:
        self.profile: Profile = case.profile
        self.layer = self._part(case.descriptor, rng) if divide else case.descriptor
        self._case, self._rng = case, rng
        self.sums: list[tuple[bool, bool, Lanes]] = []
        self.lanes: list[int] = []
        self.addends: list[Lanes] = []
        self.commands: list[dict[str, int]] = []
        self.pixels: list[Pixel] = []
        self.table = self._beats(self.layer.table_base, 256) if self.layer.table_mode != TableMode.OFF else []
        self.scales = self._beats(self.layer.pool_scales_base, 8 * geometry.scale_records(self.layer))
        self._after = case.activations.copy()
        machine.execute(self.layer, self.profile, case.program, case.weights, self._after)
        for group in range(self.layer.group_first, self.layer.group_first + self.layer.group_count):
            for strip in range(self.layer.strip_first, self.layer.strip_first + self.layer.strip_count):
                self._add_strip(group, strip)

    def describe(self) -> str:
        part = {name: value for name, value in vars(self.layer).items() if name.endswith(("_first", "_count"))}
        return f"{self._case.describe()}\npart {part}"

    def _part(self, layer: Descriptor, rng: random.Random) -> Descriptor:
        parts = [part for part in sub_ranges(rng.getrandbits(30), layer, self.profile)]
        parts = [part for part in parts if part.group_count and part.strip_count and part.out_count]
        return rng.choice(parts)

    def _beats(self, base: int, size: int) -> list[int]:
        data = self._case.program[base * _BEAT :][: -(-size // _BEAT) * _BEAT].tobytes()
        return [int.from_bytes(data[n : n + _BEAT], "little") for n in range(0, len(data), _BEAT)]

    def _add_strip(self, group: int, strip: int) -> None:
        layer = self.layer
        rows = geometry.array_rows(layer, strip)
        pooled = geometry.pooled_rows(layer, strip)
        first = strip == layer.strip_first
        if layer.pool_is_global and strip != layer.strip_first + layer.strip_count - 1:
            pooled = (0, 0)
        self.commands.append(
            {
                "map_first": rows[0],
                "map_rows": rows[1] - rows[0],
                "pooled_first": pooled[0],
                "pooled_rows": pooled[1] - pooled[0],
                "first_strip": int(first),
            }
        )
        for out in range(layer.out_first, layer.out_first + layer.out_count):
            self._add_sums(group, out, rows)
            self.pixels.extend(self._expected(group, out, pooled))

    def _add_sums(self, group: int, out: int, rows: tuple[int, int]) -> None:
        layer, profile, case = self.layer, self.profile, self._case
        outs = (out, out + 1)
        parameters = memory.lane_parameters(case.program, layer, profile, group, outs)
        accumulated = machine._accumulate(layer, profile, case.weights, case.activations, group, outs, rows, parameters)
        block = group * geometry.output_groups(layer, profile) + out
        at = layer.lanes_base * _BEAT + block * profile.lane_block_bytes
        records = case.program[at : at + _RECORD * profile.cpo].reshape(profile.cpo, _RECORD)
        self.lanes.append(int.from_bytes(records[:, 4:12].tobytes(), "little"))
        pixels = self._filled(wrap(accumulated, 32).reshape(-1, accumulated.shape[-1]), 32)
        last = len(pixels) - 1
        self.sums.extend((n == 0, n == last, pixel) for n, pixel in enumerate(pixels))
        if layer.add_mode != AddMode.OFF:
            addend = machine._addend(layer, profile, case.activations, group, outs, rows)
            self.addends.extend(self._filled(addend.reshape(-1, addend.shape[-1]), profile.activation_bits))

    def _filled(self, values: Lanes, bits: int) -> Lanes:
        """Random values in the lanes that mean nothing."""
        missing = self.profile.cpo - values.shape[1]
        noise = np.random.default_rng(self._rng.getrandbits(30)).integers(
            -(1 << (bits - 1)), 1 << (bits - 1), (len(values), missing)
        )
        return np.concatenate([values, noise], axis=1)

    def _expected(self, group: int, out: int, pooled: tuple[int, int]) -> Iterator[Pixel]:
        layer, profile = self.layer, self.profile
        slices = layer.groups * layer.out_slices
        tensor = memory.tensor_view(self._after, profile, layer.out_base, slices, layer.out_height, layer.out_width)
        ratio = profile.cpo // profile.cpi if geometry.is_dense(layer) else 1
        first = group * layer.out_slices + out * ratio
        count = min(ratio, layer.out_slices - out * ratio)
        part = tensor[first : first + count, :: layer.upsample_y, :: layer.upsample_x]
        for row in range(*pooled):
            for column in range(layer.pool_width):
                yield Pixel(part[:, row, column].reshape(-1).astype(np.int64))

    @property
    def pooled_clocks(self) -> int:
        """Clocks that the pool may take for all strips, stalls not counted."""
        layer = self.layer
        steps = len(self.sums)
        if layer.pool_mode in (PoolMode.MAX, PoolMode.AVERAGE):
            reach_x = (layer.pool_width - 1) * layer.pool_stride_x - layer.pool_pad_left + layer.pool_window_x
            columns = max(3, layer.conv_width, reach_x)
            for command in self.commands:
                end = (command["pooled_first"] + command["pooled_rows"] - 1) * layer.pool_stride_y
                end += layer.pool_window_y - layer.pool_pad_top
                rows = max(command["map_first"] + command["map_rows"], end) - command["map_first"]
                steps += layer.out_count * (rows * columns - command["map_rows"] * layer.conv_width)
        return steps + 4 * len(self.commands) * layer.out_count
