"""Random layers for the functional coverage of the kernel: operator x stride x padding x channels x strips."""

from __future__ import annotations

import dataclasses

import numpy as np

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import Descriptor, Op
from sliceflow.hardware.profile import TAPS, Profile
from tests.rtl.support.coverage import Coverage
from tests.support.random_program import Case, random_layer

AXES = {
    "operator": [op.name for op in Op],
    "stride": ["1", "2", "3+"],
    "padding": ["none", "some"],
    "channels": ["whole", "input", "output", "both"],
    "strips": ["1", "2", "3+"],
}
"""``channels``: where channels do not fill the lanes; the unused ones hold anything and have zero weights."""


def layer_coverage() -> Coverage:
    """Nothing sampled yet."""
    return Coverage(AXES, _impossible)


def _impossible(*, operator: str, channels: str, **_: str) -> str:
    if operator == Op.DEPTHWISE.name and channels in ("input", "output"):
        return "a DEPTHWISE layer has the same channels in and out"
    if operator == Op.PASS.name and channels != "whole":
        return "PASS moves whole words and has no weights: the kernel cannot tell an unused lane"
    return ""


def bins(layer: Descriptor, channels: str) -> dict[str, str]:
    """The bins of a layer whose unused lanes ``with_channels`` has made."""
    return {
        "operator": Op(layer.op).name,
        "stride": _small(max(layer.stride_y, layer.stride_x)),
        "padding": "some" if _is_padded(layer) else "none",
        "channels": channels,
        "strips": _small(layer.strips),
    }


def _small(count: int) -> str:
    return str(count) if count < 3 else "3+"


def _is_padded(layer: Descriptor) -> bool:
    """Whether a tap of any frame lies outside the input."""
    reach_x = (layer.windows_x - 1) * layer.window_step_x + (layer.taps_x - 1) * layer.dilation_x + 1
    for pad, stride, count, reach, size in (
        (layer.pad_top, layer.stride_y, layer.conv_height, geometry.window_reach(layer), layer.in_height),
        (layer.pad_left, layer.stride_x, layer.conv_width, reach_x, layer.in_width),
    ):
        if pad or (count - 1) * stride + reach > size:
            return True
    return False


def random_covering(rng: np.random.Generator, profile: Profile, coverage: Coverage) -> tuple[Case, dict[str, str]]:
    """A random layer, and its bins; of the channel bins the one that has been seen least."""
    case = random_layer(rng, profile)
    return _least_seen(case, rng, coverage)


def directed(
    rng: np.random.Generator, profile: Profile, hole: tuple[str, ...], tries: int = 20_000
) -> tuple[Case, dict[str, str]]:
    """A random layer that fills a hole.

    Raises:
        ValueError: none of the tries does.
    """
    wanted = dict(zip(AXES, hole, strict=True))
    for _ in range(tries):
        case = random_layer(rng, profile, op=Op[wanted["operator"]])
        if bins(case.descriptor, wanted["channels"]) == wanted and _has_channels(case, wanted["channels"]):
            return with_channels(case, wanted["channels"], rng), wanted
    raise ValueError(f"no random layer fills {wanted}")


def _least_seen(case: Case, rng: np.random.Generator, coverage: Coverage) -> tuple[Case, dict[str, str]]:
    existing = set(coverage.crosses)
    choices = [
        found
        for channels in AXES["channels"]
        if _has_channels(case, channels) and tuple((found := bins(case.descriptor, channels)).values()) in existing
    ]
    least = min(choices, key=lambda found: coverage.count(*found.values()))
    return with_channels(case, least["channels"], rng), least


def _has_channels(case: Case, channels: str) -> bool:
    """Whether the layer's slices allow it: a last output group with fewer slices is never whole."""
    layer, profile = case.descriptor, case.profile
    if not geometry.is_dense(layer):
        return True
    partial_in = layer.op == Op.POINTWISE and layer.in_slices % TAPS != 0
    partial_out = layer.out_slices % (profile.cpo // profile.cpi) != 0
    return not (partial_in and channels in ("whole", "output")) and not (partial_out and channels in ("whole", "input"))


def with_channels(case: Case, channels: str, rng: np.random.Generator) -> Case:
    """The case with the weights of unused lanes zero: some lanes of the last input slice, of the last output group."""
    layer, profile = case.descriptor, case.profile
    if channels == "whole" or layer.op == Op.PASS:
        return case
    weights = case.weights.copy()
    size = geometry.weight_bytes(layer, profile)
    start = layer.weights_base * profile.beat_bytes
    used = TAPS * profile.cpi * (profile.cpo if geometry.is_dense(layer) else 1)
    blocks = weights[start : start + size].reshape(-1, geometry.block_bytes(layer, profile))
    if geometry.is_dense(layer):
        shape = (layer.groups, geometry.output_groups(layer, profile), layer.weight_planes, geometry.steps(layer))
        values = blocks[:, :used].reshape(*shape, -1, TAPS, profile.cpi, profile.cpo)
        if channels in ("input", "both"):
            taps = [(layer.in_slices - 1) % TAPS] if layer.op == Op.POINTWISE else range(TAPS)
            for tap in taps:
                values[:, :, :, -1, :, tap, int(rng.integers(1, profile.cpi)) :] = 0
        if channels in ("output", "both"):
            values[:, -1, ..., int(rng.integers(1, profile.cpi)) :] = 0
    else:
        values = blocks[:, :used].reshape(layer.groups, -1, TAPS, profile.cpi)
        values[-1, ..., int(rng.integers(1, profile.cpi)) :] = 0
    blocks[:, :used] = values.reshape(len(blocks), used)
    return dataclasses.replace(case, weights=weights)
