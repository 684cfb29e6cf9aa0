"""What the csim tests share: profiles, libraries, and the comparison with the reference."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
from pathlib import Path

import numpy as np
import pytest

from sliceflow.devices.cache import default_cache
from sliceflow.devices.csim import BuildOptions, CsimLibrary
from sliceflow.devices.csim.cases import Case as BenchCase
from sliceflow.hardware.profile import Profile
from sliceflow.reference.machine import execute
from tests.support.random_program import Case

CACHE = default_cache()


@functools.cache
def profile_of(name: str) -> Profile:
    """A built-in profile, or ``small-8x4-4x8`` and the like, with small buffers so that strips are short.

    The numbers are bits of an activation and a weight, then channels in and out.
    """
    if name in Profile.names():
        return Profile.load(name)
    bits, channels = ([int(part) for part in pair.split("x")] for pair in name.removeprefix("small-").split("-"))
    return dataclasses.replace(
        Profile.load("int8-4x4"),
        name=name,
        activation_bits=bits[0],
        weight_bits=bits[1],
        cpi=channels[0],
        cpo=channels[1],
        bank_words=512,
        accumulator_pixels=512,
        pool_width=64,
    )


SMALL_PROFILES = (
    *("small-8x8-4x8", "small-8x8-8x16", "small-8x8-2x6", "small-8x8-1x1"),
    *("small-8x4-4x8", "small-8x4-1x3", "small-16x8-4x8", "small-16x8-16x16", "small-16x4-2x6", "small-16x4-1x1"),
)
PROFILES = (*Profile.names(), *SMALL_PROFILES)


@functools.cache
def library(profile: str, options: BuildOptions = BuildOptions()) -> CsimLibrary:  # noqa: B008 (frozen)
    return CsimLibrary(profile_of(profile), cache=CACHE, options=options)


def expected(case: Case) -> np.ndarray:
    """The activation memory that the reference leaves."""
    memory = case.activations.copy()
    for layer in case.descriptors:
        execute(layer, case.profile, case.program, case.weights, memory)
    return memory


def simulate(simulator: CsimLibrary, case: Case, threads: int = 1) -> np.ndarray:
    memory = case.activations.copy()
    simulator.run(case.program, case.weights, memory, 0, len(case.descriptors), threads)
    return memory


def agree(profile: Profile, actual: np.ndarray, reference: np.ndarray) -> bool:
    """Equal bytes; for floats, the tolerance of docs/numerics.md."""
    if not profile.is_float:
        return np.array_equal(actual, reference)
    a, b = actual.view("<f4"), reference.view("<f4")
    return bool(np.all(np.abs(a - b) <= 1e-5 * np.abs(b).max() + 1e-6))


def assert_equal(simulator: CsimLibrary, case: Case, threads: int = 1) -> None:
    assert agree(case.profile, simulate(simulator, case, threads), expected(case)), case.describe()


def bench_case(case: Case) -> BenchCase:
    return BenchCase(
        program=case.program,
        weights=case.weights,
        before=case.activations,
        after=expected(case),
        count=len(case.descriptors),
    )


def ap_headers() -> Path:
    """Folder of the Apache-licensed ap_int.h that the hls4ml package carries."""
    try:
        files = importlib.metadata.files("hls4ml") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if file.name == "ap_int.h"]
    if not found:
        pytest.skip("the hls4ml package, which carries ap_int.h, is not installed")
    return found[0].parent
