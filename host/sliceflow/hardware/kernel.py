"""The sources of the two kernels (HLS C++ and SystemVerilog), and what a profile becomes in each."""

from __future__ import annotations

from pathlib import Path

import sliceflow
from sliceflow.errors import InternalError, UserError
from sliceflow.hardware.profile import Profile

CONFIG_HEADER = "config.h"
"""Name under which ``kernel.h`` includes the configuration."""
TOP = "sliceflow_kernel"
"""Name of the top function and of the top module."""
SIMULATED_SUMS = "mul_fast.sv"
"""The one module that only simulators use; synthesis has mul_tree.sv in its place."""


def source_folder() -> Path:
    """The folder with ``kernel.cpp``: inside the installed package, or ``hls/cpp`` of the checkout.

    Raises:
        InternalError: it is in neither place.
    """
    return _folder("cpp", "kernel.cpp")


def rtl_folder() -> Path:
    """The folder with ``sliceflow_kernel.sv``, as ``source_folder``."""
    return _folder("rtl", f"{TOP}.sv")


def rtl_sources() -> list[Path]:
    """The SystemVerilog files that are synthesized: packages first, in an order that compiles, then modules by name."""
    files = sorted(rtl_folder().glob("*.sv"))
    packages = [path for path in files if path.stem.endswith("_pkg")]
    return packages + [path for path in files if path not in packages and path.name != SIMULATED_SUMS]


def _folder(name: str, top: str) -> Path:
    package = Path(sliceflow.__file__).resolve().parent
    candidates = (package / "_hls" / name, package.parent.parent / "hls" / name)
    for folder in candidates:
        if (folder / top).is_file():
            return folder
    raise InternalError(
        "the sources of the accelerator kernel are missing",
        where=" or ".join(map(str, candidates)),
        fix="install sliceflow again",
    )


def rtl_parameters(profile: Profile) -> dict[str, int]:
    """The SystemVerilog kernel's parameters for a profile; those that are not named keep their defaults.

    Raises:
        UserError: the kernel does not exist for such a profile; names every reason.
    """
    problems = [] if profile.kind == "int" else ["it computes with integers only"]
    for name, value, low, high in (
        ("cpi", profile.cpi, 2, 32),
        ("cpo", profile.cpo, 2, 32),
        ("bank_words", profile.bank_words, 16, 1 << 20),
    ):
        if not low <= value <= high or value & (value - 1):
            problems.append(f"{name} must be a power of two in {low}..{high}, not {value}")
    if problems:
        raise UserError(
            f"the SystemVerilog kernel cannot be built for profile {profile.name}",
            why="\n".join(problems),
            fix="compile the model for another profile, or use --device csim or reference",
        )
    return _sizes(profile)


def render_config(profile: Profile) -> str:
    """The C++ header with the struct ``sliceflow::Config`` that the kernel is instantiated with.

    Raises:
        UserError: the kernel does not exist for such a profile.
    """
    if profile.beat_bytes % profile.word_bytes:
        raise UserError(
            f"the C++ kernel cannot be built for profile {profile.name}",
            why=f"a word of {profile.cpi} activations has {profile.word_bytes} bytes, of which a beat of "
            f"{profile.beat_bytes} bytes does not hold a whole number",
            fix="choose a power of two for cpi, or use --device reference",
        )
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"// Rendered from profile {profile.name}; do not edit.",
        "#pragma once",
        "",
        "namespace sliceflow {",
        "",
        "struct Config {",
        f"  static constexpr bool IS_FLOAT = {'true' if profile.is_float else 'false'};",
        *(f"  static constexpr int {name} = {value};" for name, value in _sizes(profile).items()),
        "};",
        "",
        "}  // namespace sliceflow",
        "",
    ]
    return "\n".join(lines)


def _sizes(profile: Profile) -> dict[str, int]:
    """What both kernels take of a profile, under the names that both use."""
    return {
        "CPI": profile.cpi,
        "CPO": profile.cpo,
        "ACTIVATION_BITS": profile.activation_bits,
        "WEIGHT_BITS": profile.weight_bits,
        "BANK_WORDS": profile.bank_words,
        "ACCUMULATOR_PIXELS": profile.accumulator_pixels,
        "POOL_WINDOW": profile.pool_window,
        "POOL_WIDTH": profile.pool_width,
    }
