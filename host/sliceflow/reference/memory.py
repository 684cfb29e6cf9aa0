"""Typed views of the three byte memories (docs/program.md section 1)."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import Descriptor
from sliceflow.graph.geometry import Range
from sliceflow.hardware.profile import TAPS, Profile

Bytes = NDArray[np.uint8]
_RECORD_BYTES = 16
_TABLE_BYTES = 256


def activation_type(profile: Profile) -> np.dtype[Any]:
    """Type of a stored activation."""
    return np.dtype("<f4" if profile.is_float else f"<i{profile.activation_bytes}")


def tensor_view(activations: Bytes, profile: Profile, base: int, slices: int, height: int, width: int) -> NDArray[Any]:
    """A tensor in the activation memory, as a view that can be written.

    Args:
        activations: the memory, uint8, contiguous.
        profile: says the type and the lanes.
        base: first word of the tensor.
        slices: slices of the tensor.
        height: rows of the tensor.
        width: columns of the tensor.

    Returns:
        ``[slices][height][width][CPI]``.
    """
    first, size = base * profile.word_bytes, slices * height * width * profile.word_bytes
    region = activations[first : first + size].view(activation_type(profile))
    return region.reshape(slices, height, width, profile.cpi)


def weight_blocks(weights: Bytes, layer: Descriptor, profile: Profile, group: int, outs: Range) -> NDArray[Any]:
    """Weights of some output groups of one group.

    Returns:
        ``[outs][planes][steps][windows_y][windows_x][9 taps][CPI][lanes]``; DEPTHWISE: without the CPI axis.
    """
    block, count = geometry.block_bytes(layer, profile), geometry.passes(layer)
    first_block = (group * geometry.output_groups(layer, profile) + outs[0]) * count
    first = layer.weights_base * profile.beat_bytes + first_block * block
    region = weights[first : first + (outs[1] - outs[0]) * count * block].reshape(-1, block)
    shape = (profile.cpi, profile.cpo) if geometry.is_dense(layer) else (profile.cpi,)
    typed = _weights(region, profile)[:, : TAPS * int(np.prod(shape))]
    return typed.reshape(-1, layer.weight_planes, geometry.steps(layer), layer.windows_y, layer.windows_x, TAPS, *shape)


def _weights(raw: Bytes, profile: Profile) -> NDArray[Any]:
    """Bytes ``[blocks][bytes]`` as weights ``[blocks][weights]``: float32 or int8."""
    if profile.is_float:
        return raw.view("<f4")
    if profile.weight_bits == 8:
        return raw.view(np.int8)
    nibbles = np.stack([raw & 15, raw >> 4], axis=-1).reshape(len(raw), -1)
    return (nibbles ^ 8).view(np.int8) - np.int8(8)  # sign extension


@dataclasses.dataclass(frozen=True)
class LaneParameters:
    """Parameters of each lane of some output groups, ``[outs * lanes]``: int64, the bias float32 for floats."""

    bias: NDArray[Any]
    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    main_left: NDArray[np.int64]
    other_left: NDArray[np.int64]
    right: NDArray[np.int64]

    def first(self, count: int) -> LaneParameters:
        """The parameters of the first ``count`` lanes."""
        return LaneParameters(*(getattr(self, field.name)[:count] for field in dataclasses.fields(self)))


def lane_parameters(program: Bytes, layer: Descriptor, profile: Profile, group: int, outs: Range) -> LaneParameters:
    """Lane parameters of some output groups of one group."""
    block = profile.lane_block_bytes
    first = layer.lanes_base * profile.beat_bytes + (group * geometry.output_groups(layer, profile) + outs[0]) * block
    region = program[first : first + (outs[1] - outs[0]) * block].reshape(-1, block)
    records = np.ascontiguousarray(region[:, : geometry.lanes(layer, profile) * _RECORD_BYTES])
    records = records.reshape(-1, _RECORD_BYTES)
    bias = np.ascontiguousarray(records[:, :4]).view("<f4" if profile.is_float else "<i4").ravel()
    multiplier = np.ascontiguousarray(records[:, 4:8]).view("<i4").ravel().astype(np.int64)
    shifts = records[:, 8:12].astype(np.int64)
    return LaneParameters(bias if profile.is_float else bias.astype(np.int64), multiplier, *shifts.T)


def table(program: Bytes, layer: Descriptor, profile: Profile) -> NDArray[np.int64]:
    """The function table; entry ``q + 128`` is the value for ``q``."""
    first = layer.table_base * profile.beat_bytes
    return program[first : first + _TABLE_BYTES].view(np.int8).astype(np.int64)


def averaging_scales(program: Bytes, layer: Descriptor, profile: Profile) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Factors (int64 multipliers, or float32) and right shifts of the averaging records."""
    first = layer.pool_scales_base * profile.beat_bytes
    words = program[first : first + 8 * geometry.scale_records(layer)].view("<u4").reshape(-1, 2)
    factors = np.ascontiguousarray(words[:, 0]).view("<f4" if profile.is_float else "<i4")
    return factors if profile.is_float else factors.astype(np.int64), words[:, 1].astype(np.int64)
