"""The system of ``hls/rtl/serial``: kernel, on-chip memory and a serial line. What both of its ends must know."""

from __future__ import annotations

import json
import zlib

from sliceflow.hardware.kernel import rtl_parameters
from sliceflow.hardware.profile import Profile

TOP = "sliceflow_serial"
"""Name of the top module."""
MAGIC = 0x53_4C_46_57
"""What such a system says of itself: ``SLFW``."""
PROTOCOL = 1
"""Version of the protocol on the line (``hls/rtl/serial/README.md``)."""
REGISTERS, IDENTITY = 1 << 23, 1 << 22
"""Addresses of the kernel's registers and of the words that say what the system is; memory begins at 0."""
MEMORY_BYTES = 64 << 10
"""Of the system as it is built; a board says itself how much it has."""
OPTIONS = {"PACK": 0, "LANE_MULTIPLIERS": 1}
"""Parameters of the kernel: multipliers of 18 bits hold one product each, and some are left for the lanes."""


def system_parameters(profile: Profile, *, divisor: int) -> dict[str, int]:
    """Parameters of the top module.

    Args:
        profile: the accelerator.
        divisor: clocks of a bit on the line.

    Raises:
        UserError: the kernel does not exist for such a profile.
    """
    return {
        **rtl_parameters(profile),
        **OPTIONS,
        "ROWS": MEMORY_BYTES // 64,
        "DIVISOR": divisor,
        "CLOCK_KHZ": round(1000 * profile.mhz),
        "IDENTITY": identity(profile),
    }


def identity(profile: Profile) -> int:
    """31 bits that differ (but for one case in 2^31) if a program for one profile must not run on another.

    Raises:
        UserError: the kernel does not exist for such a profile.
    """
    text = json.dumps({"protocol": PROTOCOL, **rtl_parameters(profile)}, sort_keys=True)
    return zlib.crc32(text.encode()) & 0x7FFF_FFFF  # a parameter is a signed number
