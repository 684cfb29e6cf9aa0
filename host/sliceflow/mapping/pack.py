"""Constants in the order in which the kernel consumes them: weight blocks and lane parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.graph import geometry
from sliceflow.graph.descriptor import Descriptor, Op
from sliceflow.hardware.profile import TAPS, Profile
from sliceflow.mapping.plan import Kernel

Bytes = NDArray[np.uint8]
Indices = NDArray[np.int64]

LANE_RECORD = np.dtype(
    [
        ("bias", "<i4"),
        ("multiplier", "<i4"),
        ("shift", "u1"),
        ("main_left", "u1"),
        ("other_left", "u1"),
        ("right", "u1"),
        ("reserved", "<u4"),
    ]
)
"""One lane's parameters (docs/program.md, section 1)."""


class Splitter:
    """Distributes a kernel over blocks, output groups and lanes.

    Args:
        kernel: the layer's weights.
        layer: its descriptor, sizes set.
        profile: the accelerator.
        inputs: ``[I]`` for each input channel its ``slice*CPI + lane``.
        outputs: ``[O]`` for each output channel its ``slice*CPI + lane``.
    """

    def __init__(self, kernel: Kernel, layer: Descriptor, profile: Profile, inputs: Indices, outputs: Indices) -> None:
        self._kernel = kernel
        self._layer = layer
        self._profile = profile
        self._inputs = inputs
        self._outputs = outputs
        self._lanes = geometry.lanes(layer, profile)

    def channels_of(self, group: int, out: int) -> tuple[Indices, Indices]:
        """Output channels of one output group, and their lanes in it."""
        first = group * self._layer.out_slices * self._profile.cpi + out * self._lanes
        end = min(first + self._lanes, (group + 1) * self._layer.out_slices * self._profile.cpi)
        chosen = np.flatnonzero((self._outputs >= first) & (self._outputs < end))
        return chosen, self._outputs[chosen] - first

    def blocks(self) -> Iterator[NDArray[Any]]:
        """Weights of one output group after the other, each ``[passes, block elements]``."""
        layer, planes = self._layer, _planes(self._kernel.weights, self._profile)
        for group in range(layer.groups):
            for out in range(geometry.output_groups(layer, self._profile)):
                channels, lanes = self.channels_of(group, out)
                for plane in planes:
                    slab = self._slab(plane[channels], channels, lanes, group)
                    yield self._ordered(slab)

    def _slab(self, rows: NDArray[Any], channels: Indices, lanes: Indices, group: int) -> NDArray[Any]:
        """Weights of one output group: ``[lanes, in positions, KH, KW]``, ``[CPI, 1, KH, KW]`` for DEPTHWISE."""
        layer, cpi = self._layer, self._profile.cpi
        if layer.op == Op.DEPTHWISE:
            slab = np.zeros((cpi, 1, *rows.shape[2:]), rows.dtype)
            slab[lanes] = rows
            return slab
        slab = np.zeros((self._lanes, layer.in_slices * cpi, *rows.shape[2:]), rows.dtype)
        inputs = rows.shape[1]
        per_group = self._kernel.weights.shape[0] // self._kernel.group
        first = self._inputs - group * layer.in_slices * cpi
        for model_group in np.unique(channels // per_group):
            mine = np.flatnonzero(channels // per_group == model_group)
            positions = first[model_group * inputs : (model_group + 1) * inputs]
            slab[np.ix_(lanes[mine], positions)] = rows[mine]
        return slab

    def _ordered(self, slab: NDArray[Any]) -> NDArray[Any]:
        layer, cpi = self._layer, self._profile.cpi
        lanes = slab.shape[0]
        if layer.op == Op.POINTWISE:
            steps = geometry.steps(layer)
            wide = np.zeros((lanes, steps * TAPS * cpi, *slab.shape[2:]), slab.dtype)
            wide[:, : slab.shape[1]] = slab
            moved = wide.reshape(lanes, steps, TAPS * cpi, *slab.shape[2:]).transpose(1, 3, 4, 2, 0)
            return np.ascontiguousarray(moved).reshape(geometry.passes(layer) // layer.weight_planes, -1)
        kernel = np.zeros(
            (lanes, slab.shape[1], layer.windows_y * layer.taps_y, layer.windows_x * layer.taps_x), slab.dtype
        )
        kernel[:, :, : slab.shape[2], : slab.shape[3]] = slab
        if layer.op == Op.DEPTHWISE:
            split = kernel.reshape(lanes, layer.windows_y, layer.taps_y, layer.windows_x, layer.taps_x)
            moved = split.transpose(1, 3, 2, 4, 0)
            block = np.zeros((layer.windows_y, layer.windows_x, 3, 3, lanes), slab.dtype)
            block[:, :, : layer.taps_y, : layer.taps_x] = moved
            return block.reshape(layer.windows_y * layer.windows_x, -1)
        slices = layer.in_slices
        split = kernel.reshape(lanes, slices, cpi, layer.windows_y, layer.taps_y, layer.windows_x, layer.taps_x)
        moved = split.transpose(1, 3, 5, 4, 6, 2, 0)
        block = np.zeros((slices, layer.windows_y, layer.windows_x, 3, 3, cpi, lanes), slab.dtype)
        block[:, :, :, : layer.taps_y, : layer.taps_x] = moved
        return block.reshape(slices * layer.windows_y * layer.windows_x, -1)

    def packed(self) -> Bytes:
        """All weight blocks, each filled up to whole beats."""
        size = geometry.block_bytes(self._layer, self._profile)
        parts = []
        for ordered in self.blocks():
            raw = _stored(ordered, self._profile)
            if raw.shape[1] < size:
                raw = np.pad(raw, ((0, 0), (0, size - raw.shape[1])))
            parts.append(raw.reshape(-1))
        return np.concatenate(parts)


def _planes(weights: NDArray[Any], profile: Profile) -> list[NDArray[Any]]:
    """The weights as float32 or int8; several planes that sum to them where the profile's bits are not enough."""
    if profile.is_float:
        return [weights.astype(np.float32)]
    high = (1 << (profile.weight_bits - 1)) - 1
    planes: list[NDArray[Any]] = []
    rest = weights
    while not planes or rest.any():
        part = np.clip(rest, -high - 1, high)
        planes.append(part.astype(np.int8))
        rest = rest - part
    return planes


def _stored(blocks: NDArray[Any], profile: Profile) -> Bytes:
    """Weights ``[blocks][weights]`` as bytes ``[blocks][bytes]``; four-bit weights two to a byte, low nibble first."""
    if profile.is_float or profile.weight_bits == 8:
        return np.ascontiguousarray(blocks).view(np.uint8).reshape(blocks.shape[0], -1)
    nibbles = np.pad(blocks.view(np.uint8) & 15, ((0, 0), (0, blocks.shape[1] % 2)))
    pairs: Bytes = nibbles[:, ::2] | nibbles[:, 1::2] << 4
    return pairs


def pack_lanes(
    splitter: Splitter | None, layer: Descriptor, profile: Profile, values: dict[str, NDArray[Any]]
) -> Bytes:
    """Lane parameters of a layer.

    Args:
        splitter: assigns channels to lanes; None for PASS, whose lanes are all alike.
        layer: its descriptor.
        profile: the accelerator.
        values: ``[O]`` arrays by field name of ``LANE_RECORD``, ``[1]`` for PASS; missing fields are zero.
    """
    size = profile.lane_block_bytes // LANE_RECORD.itemsize
    outs = geometry.output_groups(layer, profile)
    records = np.zeros((layer.groups, outs, size), LANE_RECORD)
    if splitter is None:
        for field, array in values.items():
            records[field] = array
    else:
        for group in range(layer.groups):
            for out in range(outs):
                channels, lanes = splitter.channels_of(group, out)
                for field, array in values.items():
                    records[field][group, out, lanes] = array[channels]
    return records.reshape(-1).view(np.uint8)


def pad_to_beats(raw: Bytes, beat_bytes: int) -> Bytes:
    """Fill up with zeros to whole beats."""
    return np.pad(raw, (0, -raw.size % beat_bytes))


class Memory:
    """A memory image that grows beat by beat. What it holds is made when the image is wanted, not before.

    Args:
        beat_bytes: bytes of a beat.
        reserved: beats kept free at the start.
    """

    def __init__(self, beat_bytes: int, reserved: int = 0) -> None:
        self._beat = beat_bytes
        self._reserved = reserved
        self._beats = reserved
        self._parts: list[tuple[int, Callable[[], Bytes]]] = []

    @property
    def size(self) -> int:
        """Bytes of the image."""
        return self._beats * self._beat

    def append(self, size: int, make: Callable[[], Bytes]) -> int:
        """Add ``size`` bytes, which ``make`` returns, filled up to whole beats; returns their first beat."""
        first = self._beats
        self._parts.append((size, make))
        self._beats += math.ceil(size / self._beat)
        if self._beats >= 2**32:
            raise UserError("the model's constants exceed the accelerator's address space of 2^32 beats")
        return first

    def image(self) -> Bytes:
        """The whole memory."""
        parts = [np.zeros(self._reserved * self._beat, np.uint8)]
        for size, make in self._parts:
            raw = make()
            if raw.size != size:
                raise ValueError(f"{raw.size} bytes where {size} were announced")
            parts.append(pad_to_beats(raw, self._beat))
        return np.concatenate(parts)
