"""The same kernel compiled in other ways gives the same integers: ap_int, no optimization, real stream depths ..."""

from __future__ import annotations

import numpy as np
import pytest

from sliceflow.devices.csim import BuildOptions, CsimLibrary
from sliceflow.graph.descriptor import Op
from tests.csim.support import (
    CACHE,
    SMALL_PROFILES,
    ap_headers,
    assert_equal,
    expected,
    library,
    profile_of,
    simulate,
)
from tests.support.random_program import random_layer, random_program

PROFILES = ("int8-4x4", "int8-8x8", "int8-16x16", "int8-32x32", *SMALL_PROFILES)
VARIANTS = {
    "not optimized": BuildOptions(optimize=("-O0",), instructions="generic"),
    "plain loops": BuildOptions(optimize=("-O1",), instructions="generic", fast=False),
    "depths of the hardware": BuildOptions(optimize=("-O1",), simulation_depth=0, check_streams=True),
    "portable fibers": BuildOptions(optimize=("-O1",), ucontext=True),
}


@pytest.mark.parametrize(
    "profile", ["int8-8x8", "small-8x8-4x8", "small-8x4-4x8", "small-16x8-4x8", "small-16x4-2x6", "fp32-4x4"]
)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_equals_the_reference(variant: str, profile: str) -> None:
    simulator = library(profile, VARIANTS[variant])
    for seed in range(100, 112):
        assert_equal(simulator, random_program(seed, profile_of(profile)))


@pytest.mark.parametrize("profile", ["int8-4x4", "small-8x8-4x8", "small-8x4-4x8", "small-16x8-4x8", "small-16x4-1x1"])
def test_ap_int_gives_the_same_integers(profile: str) -> None:
    """Exact widths behind the aliases: a product, a sum or a shift that is too narrow shows here."""
    options = BuildOptions(optimize=("-O2",), instructions="generic", ap_types=ap_headers())
    simulator = CsimLibrary(profile_of(profile), cache=CACHE, options=options)
    for seed in range(200, 208):
        assert_equal(simulator, random_program(seed, profile_of(profile)))
    for op in Op:
        assert_equal(simulator, random_layer(300 + op, profile_of(profile), op=op))


@pytest.mark.parametrize("profile", PROFILES)
def test_extreme_products_survive_every_multiplier(profile: str) -> None:
    """All weights and activations at their least: the largest sums, for the vector code, the plain loops and ap_int."""
    case = random_layer(17, profile_of(profile), op=Op.CONV)
    case.weights[:] = 0x80 if case.profile.weight_bits == 8 else 0x88
    bits = case.profile.activation_bits
    case.activations.view(f"<i{bits // 8}")[:] = -1 << (bits - 1)
    reference = expected(case)
    for options in (BuildOptions(), VARIANTS["plain loops"]):
        assert np.array_equal(simulate(library(profile, options), case), reference), (options, case.describe())
