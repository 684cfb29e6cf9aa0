"""Programs for the tests of the whole kernel: small ones, other lists of layers over the same memories, wrong ones."""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Callable, Sequence

import numpy as np

from sliceflow.devices.status import TOO_BIG, VERSION
from sliceflow.errors import UserError
from sliceflow.graph import geometry
from sliceflow.graph.descriptor import BYTES, AddMode, Descriptor, Op, PoolMode
from sliceflow.graph.rules import broken
from sliceflow.graph.validate import validate_parameters, validate_program
from sliceflow.hardware.cycles import predict
from sliceflow.hardware.profile import Profile
from tests.csim.support import expected, profile_of
from tests.support.random_program import Case, random_program, sub_ranges

Change = Callable[[Descriptor], None]


def profile() -> Profile:
    """The profile of the kernel under test."""
    return profile_of(os.environ["KERNEL_PROFILE"])


def clocks(case: Case) -> int:
    """Predicted clocks of a whole program."""
    return sum(predict(layer, case.profile).predicted for layer in case.descriptors)


def small_program(
    rng: random.Random, *, layers: int = 3, limit: int = 4000, wanted: Callable[[Case], bool] = bool
) -> Case:
    """A random program that takes the kernel at most some clocks."""
    for _ in range(10_000):
        case = random_program(rng.getrandbits(30), profile(), layers=layers)
        if clocks(case) <= limit and wanted(case):
            return case
    raise ValueError("no random program is as wanted")


def uses_every_port(case: Case) -> bool:
    """Whether the program has an addend, weights, and inputs that are not all padding."""
    layers = case.descriptors
    return (
        any(layer.add_mode != AddMode.OFF for layer in layers)
        and any(layer.op != Op.PASS for layer in layers)
        and any(first < end for layer in layers for first, end in [_rows_read(layer)])
    )


def _rows_read(layer: Descriptor) -> geometry.Range:
    return geometry.input_rows(layer, geometry.array_rows(layer, 0, layer.strips))


def divisible(case: Case) -> bool:
    """Whether ``parts`` can divide the first layer."""
    layer = case.descriptor
    return layer.group_count * layer.strip_count * layer.out_count > 2 and not layer.pool_is_global


def relist(case: Case, layers: Sequence[Descriptor], raw: Sequence[bytes] | None = None) -> tuple[Case, int]:
    """Another list of descriptors behind the program's own; returns the case, and the number of the list's first.

    ``raw`` are their bytes where those are not what the descriptors say.
    """
    encoded = raw or [layer.encode() for layer in layers]
    front = np.concatenate([case.program, np.zeros(-case.program.size % BYTES, np.uint8)])
    program = np.concatenate([front, np.frombuffer(b"".join(encoded), np.uint8)])
    return dataclasses.replace(case, program=program, descriptors=tuple(layers)), front.size // BYTES


def parts(case: Case, rng: random.Random) -> tuple[Case, int]:
    """The layers divided by groups, strips and output groups, as ``relist``."""
    divided = [
        part
        for layer in case.descriptors
        for part in sub_ranges(rng.getrandbits(30), layer, case.profile)
        if part.group_count and part.strip_count and part.out_count
    ]
    return relist(case, divided)


def observable_flip(case: Case, rng: random.Random, memory: str, first: int, last: int) -> Case:
    """The case with a bit in bytes ``first .. last`` of a memory flipped that changes the reference's result."""
    right = expected(case)
    for _ in range(1000):
        data = getattr(case, memory).copy()
        data[rng.randrange(first, last)] ^= 1 << rng.randrange(8)
        try:
            flipped = _decoded(dataclasses.replace(case, **{memory: data}))
        except UserError:
            continue
        if not np.array_equal(right, expected(flipped)):
            return flipped
    raise ValueError(f"no bit of {memory} matters")


def _decoded(case: Case) -> Case:
    """The case with the descriptors that stand in its memory, checked as the host does."""
    count = len(case.descriptors)
    layers = [Descriptor.decode(case.program[n * BYTES :][:BYTES].tobytes()) for n in range(count)]
    validate_program(layers, case.profile, case.program.size, case.weights.size, case.activation_words)
    validate_parameters(layers, case.profile, case.program)
    changed = dataclasses.replace(case, descriptors=tuple(layers))
    if clocks(changed) > 2 * clocks(case) + 4000:
        raise UserError("too long for a test")
    return changed


def refused(case: Case, rng: random.Random) -> list[tuple[str, Descriptor, bytes, int]]:
    """Descriptors that the kernel must refuse before anything of them happens: name, descriptor, bytes, code."""
    profile = case.profile
    plain = dataclasses.replace(case.descriptors[0], pool_mode=0, table_mode=0)
    plain.pool_height, plain.pool_width, plain.strip_rows = plain.conv_height, plain.conv_width, plain.conv_height
    plain.strip_first, plain.strip_count = 0, 1
    changes: list[dict[str, int]] = [
        {"op": 4},
        {"op": 1 << 31},
        {"table_mode": 3},
        {"add_mode": 3},
        {"pool_mode": 5},
        {"taps_y": 0},
        {"taps_x": 4},
        {"taps_y": 2, "dilation_y": 3},
        {"windows_x": 0},
        {"stride_y": 0},
        {"weight_planes": 0},
        {"strip_rows": 0},
        {"in_slices": 0},
        {"upsample_x": 0},
        {"pool_mode": int(PoolMode.MAX), "pool_window_y": 2, "pool_pad_top": 2},
        {"pool_mode": int(PoolMode.MAX), "pool_stride_x": 0},
        {"conv_width": plain.conv_width + 1},
        {"pool_height": plain.pool_height + 1},
        {"group_count": 0},
        {"strip_count": plain.strip_count + 1},
        {"out_first": 1},
        {"weight_planes": 4},
        {"in_width": 70_000},
        {"pool_mode": int(PoolMode.MAX), "pool_window_x": profile.pool_window + 1},
        {"pool_mode": int(PoolMode.MAX), "conv_width": profile.pool_width + 1},
    ]
    if not profile.has_tables:
        changes.append({"table_mode": 1})
    found = []
    for change in changes:
        layer = dataclasses.replace(plain, **change)
        rule = broken(layer, profile)
        assert rule is not None, change
        assert any(field in rule.text for field in change), (change, rule)
        found.append((str(change), layer, layer.encode(), rule.code))
    version = bytearray(plain.encode())
    version[rng.randrange(4)] ^= 1 << rng.randrange(8)
    found.append(("version", plain, bytes(version), VERSION))
    found.append(("first strip", *_too_big(profile, 0), TOO_BIG))
    return found


def later_strip(profile: Profile) -> tuple[Descriptor, bytes]:
    """A layer whose first strip fits and whose second does not."""
    return _too_big(profile, 1)


def _too_big(profile: Profile, strip: int) -> tuple[Descriptor, bytes]:
    """A max pool of 3x3 with a row of padding; that row makes the first strip shorter than the others."""
    width = min(profile.pool_width, profile.accumulator_pixels // 2)
    rows = profile.accumulator_pixels // width // 2 * 2
    pooled = rows // 2 + (strip == 0)
    layer = Descriptor(
        op=Op.PASS,
        requantize=0,
        in_height=4 * rows,
        in_width=width,
        conv_height=4 * rows,
        conv_width=width,
        pool_mode=PoolMode.MAX,
        pool_window_y=3,
        pool_window_x=3,
        pool_stride_y=2,
        pool_stride_x=2,
        pool_pad_top=1,
        pool_pad_left=1,
        pool_height=2 * rows,
        pool_width=(width - 1) // 2 + 1,
        strip_rows=pooled,
        strip_count=-(-2 * rows // pooled),
    )
    return layer, layer.encode()


def stretched(case: Case, layer: Descriptor, rng: random.Random) -> tuple[Case, Descriptor]:
    """Room for a layer of one slice behind the program's tensors."""
    words = case.activation_words
    end = words + layer.in_height * layer.in_width + layer.pool_height * layer.pool_width
    size = (end - words) * case.profile.word_bytes
    activations = np.concatenate([case.activations, np.frombuffer(rng.randbytes(size), np.uint8)])
    placed = dataclasses.replace(layer, in_base=words, out_base=words + layer.in_height * layer.in_width)
    return dataclasses.replace(case, activations=activations), placed
