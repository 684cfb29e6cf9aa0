"""The HLS C++ kernel's sources, and the configuration header that a profile becomes."""

from __future__ import annotations

from pathlib import Path

import sliceflow
from sliceflow.errors import InternalError
from sliceflow.hardware.profile import Profile

CONFIG_HEADER = "config.h"
"""Name under which ``kernel.h`` includes the configuration."""


def source_folder() -> Path:
    """The folder with ``kernel.cpp``: inside the installed package, or ``hls/cpp`` of the checkout.

    Raises:
        InternalError: it is in neither place.
    """
    package = Path(sliceflow.__file__).resolve().parent
    candidates = (package / "_hls" / "cpp", package.parent.parent / "hls" / "cpp")
    for folder in candidates:
        if (folder / "kernel.cpp").is_file():
            return folder
    raise InternalError(
        "the sources of the accelerator kernel are missing",
        where=" or ".join(map(str, candidates)),
        fix="install sliceflow again",
    )


def render_config(profile: Profile) -> str:
    """The C++ header with the struct ``sliceflow::Config`` that the kernel is instantiated with."""
    constants = {
        "CPI": profile.cpi,
        "CPO": profile.cpo,
        "ACTIVATION_BITS": profile.activation_bits,
        "WEIGHT_BITS": profile.weight_bits,
        "BANK_WORDS": profile.bank_words,
        "ACCUMULATOR_PIXELS": profile.accumulator_pixels,
        "POOL_WINDOW": profile.pool_window,
        "POOL_WIDTH": profile.pool_width,
    }
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"// Rendered from profile {profile.name}; do not edit.",
        "#pragma once",
        "",
        "namespace sliceflow {",
        "",
        "struct Config {",
        f"  static constexpr bool IS_FLOAT = {'true' if profile.is_float else 'false'};",
        *(f"  static constexpr int {name} = {value};" for name, value in constants.items()),
        "};",
        "",
        "}  // namespace sliceflow",
        "",
    ]
    return "\n".join(lines)
