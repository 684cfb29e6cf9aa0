"""Random programs over the whole space of the contract (docs/program.md), each valid, each made again from its seed.

``random_layer`` makes one layer with its three memories, ``random_program`` several layers that share them, and
``sub_ranges`` divides a layer as compute units would. The layers are not sensible networks: what they share with real
ones is that accumulators, products and shifts stay where docs/numerics.md promises them.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import BYTES, AddMode, Descriptor, Op, TableMode
from sliceflow.graph.validate import validate_parameters, validate_program
from sliceflow.hardware.profile import Profile
from tests.support.random_stages import random_pool, random_stages, random_windows

_MAX_FRAMES = 20_000


@dataclasses.dataclass(frozen=True)
class Case:
    """A program with its memories (uint8). Executing it must leave ``program`` and ``weights`` as they are."""

    profile: Profile
    descriptors: tuple[Descriptor, ...]
    program: NDArray[np.uint8]
    weights: NDArray[np.uint8]
    activations: NDArray[np.uint8]
    seed: int

    @property
    def descriptor(self) -> Descriptor:
        """The first layer."""
        return self.descriptors[0]

    @property
    def activation_words(self) -> int:
        return self.activations.size // self.profile.word_bytes

    def describe(self) -> str:
        """The seed and the fields that differ from their defaults, for the message of a failing test."""
        plain = Descriptor()
        lines = [f"seed {self.seed}, profile {self.profile.name}"]
        for number, layer in enumerate(self.descriptors):
            changed = (f.name for f in dataclasses.fields(layer) if getattr(layer, f.name) != getattr(plain, f.name))
            lines.append(f"layer {number}: " + " ".join(f"{name}={getattr(layer, name)}" for name in changed))
        return "\n".join(lines)


def random_layer(rng: np.random.Generator | int, profile: Profile, *, op: Op | None = None) -> Case:
    """One random valid layer. A generator only serves to draw the seed."""
    return random_program(rng, profile, layers=1, op=op)


def random_program(rng: np.random.Generator | int, profile: Profile, *, layers: int = 3, op: Op | None = None) -> Case:
    """Random valid layers over shared memories; later ones read what earlier ones left."""
    seed = rng if isinstance(rng, int) else int(rng.integers(2**31))
    rng = np.random.default_rng(seed)
    shapes = [_random_shape(rng, profile, op) for _ in range(layers)]
    memories = _Memories(rng, profile, layers)
    for number, shape in enumerate(shapes):
        shape.layer = number
        memories.add(shape)
    case = Case(profile, tuple(shapes), memories.program(), memories.weights(), memories.activations(), seed)
    validate_program(case.descriptors, profile, case.program.size, case.weights.size, case.activation_words)
    validate_parameters(case.descriptors, profile, case.program)
    return case


def sub_ranges(rng: np.random.Generator | int, layer: Descriptor, profile: Profile) -> list[Descriptor]:
    """Descriptors that together are ``layer``: its groups, strips and output groups divided, in random order."""
    rng = np.random.default_rng(rng) if isinstance(rng, int) else rng
    strips = [(0, layer.strips)] if layer.pool_is_global else _cuts(rng, layer.strips)
    parts = itertools.product(_cuts(rng, layer.groups), strips, _cuts(rng, geometry.output_groups(layer, profile)))
    ranges = [
        dataclasses.replace(
            layer,
            group_first=group[0],
            group_count=group[1],
            strip_first=strip[0],
            strip_count=strip[1],
            out_first=out[0],
            out_count=out[1],
        )
        for group, strip, out in parts
    ]
    return [ranges[i] for i in rng.permutation(len(ranges))]


def _cuts(rng: np.random.Generator, total: int) -> list[tuple[int, int]]:
    """First and count of up to three parts of ``range(total)``."""
    borders = sorted({0, total, *rng.integers(0, total + 1, 2).tolist()})
    return [(low, high - low) for low, high in itertools.pairwise(borders)]


def _random_shape(rng: np.random.Generator, profile: Profile, op: Op | None) -> Descriptor:
    """A layer that fits the profile, without addresses and parameters in memory."""
    for _ in range(1000):
        layer = Descriptor(op=int(rng.integers(4)) if op is None else int(op))
        _random_channels(rng, layer, profile)
        random_windows(rng, layer)
        random_pool(rng, layer, profile)
        if _random_strips(rng, layer, profile) and _frames(layer, profile) <= _MAX_FRAMES:
            random_stages(rng, layer, profile)
            layer.group_count, layer.strip_count = layer.groups, layer.strips
            layer.out_count = geometry.output_groups(layer, profile)
            return layer
    raise ValueError(f"profile {profile.name} is too small for random layers")


def _frames(layer: Descriptor, profile: Profile) -> int:
    passes = layer.groups * geometry.output_groups(layer, profile) * geometry.passes(layer)
    return passes * layer.conv_height * layer.conv_width


def _random_channels(rng: np.random.Generator, layer: Descriptor, profile: Profile) -> None:
    if layer.op in (Op.DEPTHWISE, Op.PASS):
        layer.groups = int(rng.integers(1, 6))
    else:
        layer.groups = int(rng.choice([1, 1, 1, 2, 3]))
        layer.in_slices = int(rng.integers(1, 22 if layer.op == Op.POINTWISE else 5))
        layer.out_slices = int(rng.integers(1, 3 * profile.cpo // profile.cpi + 1))
    if layer.op != Op.PASS:
        layer.weight_planes = int(rng.choice([1, 1, 2, 3]))


def _random_strips(rng: np.random.Generator, layer: Descriptor, profile: Profile) -> bool:
    """Choose the rows of a strip among those that fit; false if none does."""
    rows = layer.conv_height if layer.pool_is_global else layer.pool_height
    whole_only = layer.pool_is_global and geometry.output_groups(layer, profile) > 1
    for layer.strip_rows in [rows] if whole_only else range(int(rng.integers(1, rows + 1)), 0, -1):
        strips = [geometry.array_rows(layer, strip) for strip in range(layer.strips)]
        inputs = [geometry.input_rows(layer, strip) for strip in strips]
        banks = max(geometry.bank_words(layer, last - first) for first, last in inputs)
        pixels = max(last - first for first, last in strips) * layer.conv_width
        if banks <= profile.bank_words and pixels <= profile.accumulator_pixels:
            return True
    return False


class _Memories:
    """Places layers in the three memories and fills those."""

    def __init__(self, rng: np.random.Generator, profile: Profile, layers: int) -> None:
        self._rng, self._profile = rng, profile
        self._layers: list[Descriptor] = []
        self._program: list[NDArray[np.uint8]] = [np.zeros(layers * BYTES, np.uint8)]
        self._weight_beats = int(rng.integers(3))
        self._words = 0

    def add(self, layer: Descriptor) -> None:
        """Set the layer's addresses."""
        rng, beat = self._rng, self._profile.beat_bytes
        layer.weights_base = self._weight_beats
        size = geometry.weight_bytes(layer, self._profile) // beat
        self._weight_beats += size + int(rng.integers(3))
        layer.lanes_base = self._append(random_lanes(rng, layer, self._profile))
        if layer.table_mode != TableMode.OFF:
            layer.table_base = self._append(rng.integers(0, 256, 256, np.uint8))
        if geometry.scale_records(layer):
            layer.pool_scales_base = self._append(random_scales(rng, layer, self._profile))
        self._place(layer)
        self._layers.append(layer)

    def _append(self, data: NDArray[np.uint8]) -> int:
        """Add bytes to the program memory behind a random gap; returns their first beat."""
        beat = self._profile.beat_bytes
        self._program.append(self._rng.integers(0, 256, beat * int(self._rng.integers(3)), np.uint8))
        first = sum(part.size for part in self._program) // beat
        self._program += [data, np.zeros(-data.size % beat, np.uint8)]
        return first

    def _place(self, layer: Descriptor) -> None:
        """Put the layer's tensors one behind the other, in random order, over the words of other layers."""
        sizes = {"in_base": geometry.input_words(layer), "out_base": geometry.output_words(layer)}
        if layer.add_mode != AddMode.OFF:
            sizes["add_base"] = geometry.addend_words(layer)
        end = 0
        for name in self._rng.permutation(list(sizes)):
            end += int(self._rng.integers(20))
            setattr(layer, name, end)
            end += sizes[name]
        self._words = max(self._words, end)

    def program(self) -> NDArray[np.uint8]:
        """The program memory with the descriptors in front."""
        descriptors = b"".join(layer.encode(is_float=self._profile.is_float) for layer in self._layers)
        return np.concatenate([np.frombuffer(descriptors, np.uint8), *self._program[1:]])

    def weights(self) -> NDArray[np.uint8]:
        """Random weights; also where a real program has zeros to fill a beat."""
        return self._random_values(self._weight_beats * self._profile.beat_bytes)

    def activations(self) -> NDArray[np.uint8]:
        """Random words, also around and below the tensors; whole beats."""
        words = self._words + int(self._rng.integers(1, 9))
        size = words * self._profile.word_bytes
        return self._random_values(size + -size % self._profile.beat_bytes)

    def _random_values(self, size: int) -> NDArray[np.uint8]:
        if self._profile.is_float:
            return self._rng.normal(size=size // 4).astype("<f4").view(np.uint8)
        return self._rng.integers(0, 256, size, np.uint8)


def random_lanes(rng: np.random.Generator, layer: Descriptor, profile: Profile) -> NDArray[np.uint8]:
    """Lane parameters of a whole layer, scaled so that results spread over the range of an activation."""
    blocks = layer.groups * geometry.output_groups(layer, profile)
    record = np.dtype([("bias", "<i4"), ("multiplier", "<i4"), ("shifts", "u1", 4), ("zero", "<u4")], align=False)
    size = (blocks, profile.cpo)
    lanes: NDArray[Any] = np.zeros(size, record)
    if profile.is_float:
        lanes["bias"] = rng.normal(size=size).astype("<f4").view("<i4")
    else:
        bits = _accumulator_bits(layer, profile)
        bias = 1 << (bits - 1) if layer.op != Op.PASS or layer.requantize else int(rng.choice([1, 1, 100]))
        lanes["bias"] = rng.integers(-bias + 1, bias, size)
        lanes["multiplier"] = _multipliers(rng, size)
        # 2**bits * 2**23.5 / 2**shift is about a quarter of an activation's range.
        shift = np.clip(rng.integers(-2, 3, size) + 23 + bits - (profile.activation_bits - 2), 0, 62)
        lanes["shifts"][..., 0] = np.where(rng.random(size) < 0.03, rng.choice([0, 1, 40, 62], size), shift)
        if layer.add_mode == AddMode.ACCUMULATOR:
            other = 23 + rng.integers(-1, 3, size)
            right = np.maximum(shift, other)
            lanes["shifts"][..., 1], lanes["shifts"][..., 2], lanes["shifts"][..., 3] = (
                right - shift,
                right - other,
                right,
            )
    filled = lanes.view(np.uint8).reshape(blocks, -1)
    return np.pad(filled, ((0, 0), (0, profile.lane_block_bytes - filled.shape[1]))).ravel()


def _accumulator_bits(layer: Descriptor, profile: Profile) -> int:
    """Bits of a typical accumulator: a sum of n products of two bytes is about 74**2 * sqrt(n)."""
    if layer.op == Op.PASS:
        return profile.activation_bits - 1
    products = layer.windows_y * layer.windows_x * layer.taps_y * layer.taps_x * layer.weight_planes
    products *= layer.in_slices * profile.cpi if geometry.is_dense(layer) else 1
    return profile.activation_bits + profile.weight_bits - 4 + products.bit_length() // 2


def _multipliers(rng: np.random.Generator, size: tuple[int, ...]) -> NDArray[np.int64]:
    """24-bit significands; some are powers of two, where rounding meets ties, and some negative or zero."""
    values = rng.integers(1 << 23, 1 << 24, size)
    values = np.where(rng.random(size) < 0.3, 1 << 23, values)
    return values * rng.choice([1, 1, 1, 1, 1, 1, 1, -1, 0], size)


def random_scales(rng: np.random.Generator, layer: Descriptor, profile: Profile) -> NDArray[np.uint8]:
    """Averaging records: about 1/n for n values, each a little off; record 0 is used by a global average only."""
    counts = np.arange(geometry.scale_records(layer))
    counts[0] = layer.conv_height * layer.conv_width if layer.pool_is_global else 1
    factor = rng.uniform(0.5, 2, counts.size) / counts
    records = np.zeros(counts.size, [("factor", "<i4"), ("shift", "<u4")])
    if profile.is_float:
        records["factor"] = factor.astype("<f4").view("<i4")
    else:
        fraction, exponent = np.frexp(factor)
        records["factor"] = np.round(fraction * 2**24)
        records["shift"] = 24 - exponent
    return records.view(np.uint8)
