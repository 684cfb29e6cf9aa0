"""What the csim tests share: profiles, libraries, and the comparison with the reference."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
from pathlib import Path

import numpy as np
import pytest

from sliceflow.devices.csim import BuildOptions, CsimLibrary
from sliceflow.devices.csim.build import default_cache
from sliceflow.devices.csim.cases import Case as BenchCase
from sliceflow.hardware.profile import Profile
from sliceflow.reference.machine import execute
from tests.support.random_program import Case

CACHE = default_cache()


@functools.cache
def profile_of(name: str) -> Profile:
    """A built-in profile, or ``int8-4x8`` and the like, with small buffers so that strips are short."""
    if name in Profile.names():
        return Profile.load(name)
    cpi, cpo = (int(part) for part in name.removeprefix("int8-").split("x"))
    base = Profile.load("int8-4x4")
    return dataclasses.replace(base, name=name, cpi=cpi, cpo=cpo, bank_words=512, accumulator_pixels=512, pool_width=64)


PROFILES = (*Profile.names(), "int8-4x8", "int8-8x16", "int8-3x6", "int8-1x1")


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
