"""Packs a convolution given as ONNX tensors into descriptor and memories, weight by weight, for tests of the reference.

It is written from docs/program.md alone and shares nothing with the mapper.
"""

from __future__ import annotations

import dataclasses
import struct

import numpy as np
from numpy.typing import NDArray

from sliceflow.graph.descriptor import Descriptor, Op
from sliceflow.hardware.profile import Profile


@dataclasses.dataclass(frozen=True)
class Convolution:
    """``x`` uint8 (C, H, W) with its zero point, ``w`` int8 (O, I, KY, KX), ``bias`` int32 (O); ONNX attributes."""

    x: NDArray[np.uint8]
    x_zero: int
    w: NDArray[np.int8]
    bias: NDArray[np.int64]
    group: int
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]

    @property
    def output_size(self) -> tuple[int, int]:
        return tuple(
            (self.x.shape[1 + axis] + self.pads[axis] + self.pads[2 + axis]
             - self.dilations[axis] * (self.w.shape[2 + axis] - 1) - 1) // self.strides[axis] + 1
            for axis in range(2)
        )  # fmt: skip


@dataclasses.dataclass
class Packed:
    """One layer and its memories. ``place[c]`` is the tensor slice and lane of output channel c."""

    layer: Descriptor
    program: NDArray[np.uint8]
    weights: NDArray[np.uint8]
    activations: NDArray[np.uint8]
    place: list[tuple[int, int]]


def _window(index: int, dilation: int) -> tuple[int, int]:
    """Window and tap of a kernel row or column."""
    return (index, 0) if dilation % 3 == 0 else divmod(index, 3)


def _geometry(conv: Convolution, profile: Profile) -> Descriptor:
    """Every size of the layer; one strip, output behind the input, lanes behind the descriptor."""
    channels, outputs, cpi = conv.x.shape[0], conv.w.shape[0], profile.cpi
    depthwise = conv.group > 1 and conv.group == channels == outputs
    op = Op.DEPTHWISE if depthwise else Op.POINTWISE if conv.w.shape[2:] == (1, 1) else Op.CONV
    groups = -(-channels // cpi) if depthwise else conv.group
    layer = Descriptor(op=op, groups=groups, group_count=groups)
    if not depthwise:
        layer.in_slices, layer.out_slices = (-(-(n // groups) // cpi) for n in (channels, outputs))
        layer.out_count = -(-(outputs // groups) // profile.cpo)
    layer.in_height, layer.in_width = conv.x.shape[1:]
    layer.conv_height, layer.conv_width = layer.pool_height, layer.pool_width = conv.output_size
    layer.strip_rows, layer.pad_value = layer.conv_height, conv.x_zero - 128
    layer.pad_top, layer.pad_left = conv.pads[:2]
    layer.stride_y, layer.stride_x = conv.strides
    layer.dilation_y, layer.dilation_x = conv.dilations
    layer.out_low, layer.out_high, layer.lanes_base = -128, 127, 8
    layer.out_base = groups * layer.in_slices * layer.in_height * layer.in_width
    for axis, kernel, dilation in zip("yx", conv.w.shape[2:], conv.dilations, strict=True):
        setattr(layer, f"windows_{axis}", _window(kernel - 1, dilation)[0] + 1)
        setattr(layer, f"taps_{axis}", 1 if dilation % 3 == 0 else min(kernel, 3))
        setattr(layer, f"window_step_{axis}", dilation if dilation % 3 == 0 else 3 * dilation)
    return layer


def _weight_blocks(conv: Convolution, layer: Descriptor, profile: Profile) -> NDArray[np.uint8]:
    """Every weight at its place, one at a time."""
    cpi, dense = profile.cpi, layer.op != Op.DEPTHWISE
    lanes = profile.cpo if dense else cpi
    steps = -(-layer.in_slices // 9) if layer.op == Op.POINTWISE else layer.in_slices
    block = (9, cpi, lanes) if dense else (9, lanes)
    taps = np.zeros((layer.groups, layer.out_count, steps, layer.windows_y, layer.windows_x, *block), np.int8)
    of_group = conv.w.shape[0] // conv.group if dense else cpi
    for o, i, ky, kx in np.ndindex(*conv.w.shape):
        group, of_lane = divmod(o, of_group)
        out, lane = divmod(of_lane, lanes)
        (wy, ty), (wx, tx) = _window(ky, conv.dilations[0]), _window(kx, conv.dilations[1])
        step, tap = divmod(i // cpi, 9) if layer.op == Op.POINTWISE else (i // cpi, 3 * ty + tx)
        at = (group, out, step, wy, wx, tap)
        taps[(*at, i % cpi, lane) if dense else (*at, lane)] = conv.w[o, i, ky, kx]
    blocks = taps.reshape(-1, int(np.prod(block)))
    return np.pad(blocks, ((0, 0), (0, -blocks.shape[1] % 64))).view(np.uint8).ravel()


def pack(conv: Convolution, profile: Profile, scale_records: list[tuple[int, int]], rng: np.random.Generator) -> Packed:
    """Pack a convolution; ``scale_records`` holds multiplier and shift of each output channel.

    Output: stored int8, no clamp beyond the type. The layer has one strip; unused lanes hold garbage.
    """
    layer, cpi = _geometry(conv, profile), profile.cpi
    dense = layer.op != Op.DEPTHWISE
    lanes = profile.cpo if dense else cpi
    in_group, out_group = (n // conv.group if dense else cpi for n in (conv.x.shape[0], conv.w.shape[0]))
    block = -(-16 * profile.cpo // 64) * 64
    records, place = bytearray(layer.groups * layer.out_count * block), []
    for o, scale in enumerate(scale_records):
        group, of_lane = divmod(o, out_group)
        out, lane = divmod(of_lane, lanes)
        place.append((group * layer.out_slices + of_lane // cpi, of_lane % cpi))
        bias = int(conv.bias[o]) - layer.pad_value * int(conv.w[o].astype(np.int64).sum())
        struct.pack_into("<iiB", records, (group * layer.out_count + out) * block + 16 * lane, bias, *scale)
    out_words = layer.groups * layer.out_slices * layer.conv_height * layer.conv_width
    memory = rng.integers(-128, 128, (layer.out_base + out_words, cpi), np.int8)
    source = memory[: layer.out_base].reshape(-1, layer.in_height, layer.in_width, cpi)
    for c, plane in enumerate(conv.x):
        group, of_lane = divmod(c, in_group)
        source[group * layer.in_slices + of_lane // cpi, :, :, of_lane % cpi] = plane.astype(int) - 128
    program = np.frombuffer(layer.encode() + records, np.uint8)
    return Packed(layer, program, _weight_blocks(conv, layer, profile), memory.view(np.uint8).ravel(), place)


def output(packed: Packed, profile: Profile) -> NDArray[np.int64]:
    """The output tensor (channels, height, width), stored values."""
    layer = packed.layer
    words = packed.activations.view(np.int8).reshape(-1, profile.cpi)[layer.out_base :]
    tensor = words[: layer.groups * layer.out_slices * layer.out_height * layer.out_width]
    tensor = tensor.reshape(-1, layer.out_height, layer.out_width, profile.cpi)
    return np.stack([tensor[s, :, :, lane] for s, lane in packed.place]).astype(np.int64)
