"""Compiles the SystemVerilog kernel and its harness into a shared library, once for each checksum of what goes in."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from sliceflow.devices.build import call, checksum, compiler_identity, contents, find_compiler, require
from sliceflow.devices.cache import cache_for_make, cached
from sliceflow.devices.instructions import choose_instructions, compiler_flags
from sliceflow.devices.rtl.verilator import find_verilator
from sliceflow.hardware.kernel import TOP, rtl_folder, rtl_parameters
from sliceflow.hardware.profile import Profile
from sliceflow.machine import cores

logger = logging.getLogger(__name__)

_PREFIX = "Vkernel"
_TIMEOUT = 3600
"""Seconds; a kernel of 32x32 takes long."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RtlBuildOptions:
    """How to compile. The defaults make the fast simulator.

    Attributes:
        parameters: further parameters of the top module, e.g. ``(("PACK", 0),)``.
        trace: ``vcd`` or ``fst`` to be able to write signals (slower), or empty.
        optimize: optimization of the code that runs in each clock.
        instructions: a key of ``INSTRUCTION_SETS``; None takes what ``choose_instructions`` takes.
        assertions: check the assertions in the sources (slower).
    """

    parameters: tuple[tuple[str, int], ...] = ()
    trace: str = ""
    optimize: str = "-O3"
    instructions: str | None = None
    assertions: bool = False

    def arguments(self, profile: Profile, set_flags: Sequence[str]) -> list[str]:
        """Verilator's options, without files and folders. ``set_flags`` choose the instruction set."""
        flags = ["-fPIC", "-fvisibility=hidden", *set_flags]
        parameters = rtl_parameters(profile) | dict(self.parameters)
        return [
            *("--cc", "--exe", "--build", "--prefix", _PREFIX, "--top-module", TOP),
            *("-O3", "--threads", "1", "--no-timing", "-Wno-lint", "-Wno-style", "-Wno-fatal", "-Wno-SYMRSVDWORD"),
            *("--x-assign", "fast", "--x-initial", "fast", "--assert" if self.assertions else "--no-assert"),
            *([f"--trace-{self.trace}"] if self.trace else []),
            *("-CFLAGS", " ".join(flags), "-LDFLAGS", "-shared"),
            *("-MAKEFLAGS", f"OPT_FAST={self.optimize}", "-MAKEFLAGS", "OPT_GLOBAL=-O2"),
            *(f"-G{name}={value}" for name, value in parameters.items()),
        ]


DEFAULT_OPTIONS = RtlBuildOptions()


def build_library(profile: Profile, *, cache: Path, options: RtlBuildOptions = DEFAULT_OPTIONS) -> Path:
    """The shared library with the simulated kernel for a profile; compiled unless the cache has it.

    Args:
        profile: the accelerator.
        cache: folder for compiled files; made if it does not exist. Several processes may share it.
        options: how to compile.

    Returns:
        Path of the library; ``hls/rtl/sim/harness.cpp`` says what it exports.

    Raises:
        UserError: no kernel exists for the profile, a tool is missing or fails, or the cache cannot be written.
    """
    compiler = find_compiler()
    cache = cache_for_make(cache)
    instructions = choose_instructions(options.instructions, compiler, cache)
    flags = compiler_flags(instructions)
    arguments = options.arguments(profile, flags)
    folder = rtl_folder()
    verilator = find_verilator(cache)
    identity = compiler_identity(compiler, tuple(flags))
    sources = contents(folder, ".sv", ".h", ".cpp")
    name = checksum([str(verilator), identity, *arguments, *sources])

    def make(output: Path) -> None:
        logger.info("compiling the RTL simulator for %s (minutes at most, once)", profile.name)
        # Modules are found by their names; packages must be named, before those that use them.
        packages = sorted(folder.glob("*_pkg.sv"))
        files = [*packages, folder / f"{TOP}.sv", folder / "sim" / "harness.cpp"]
        places = ["--Mdir", str(output.with_name("obj")), "-j", str(cores()), "-o", str(output), f"-I{folder}"]
        command = [str(verilator.program), *arguments, *places, *map(str, files)]
        done = call(command, environment=verilator.environment(), timeout=_TIMEOUT)
        require(done, "compiling the RTL simulator failed", output, fix="see what `sliceflow doctor` says of verilator")

    return cached(cache / f"rtl-{profile.name}-{instructions}-{name}.so", make)
