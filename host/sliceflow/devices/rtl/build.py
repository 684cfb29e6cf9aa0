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

_TIMEOUT = 3600
"""Seconds; a kernel of 32x32 takes long."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Design:
    """What to compile.

    Attributes:
        name: for people; a part of the library's file name.
        top: the top module.
        prefix: of the class that Verilator makes of it.
        parameters: of the top module.
        harness: C++ file with the functions that the library exports.
        folders: where modules are found by their names.
    """

    name: str
    top: str
    prefix: str
    parameters: dict[str, int]
    harness: Path
    folders: tuple[Path, ...]


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

    def arguments(self, design: Design, set_flags: Sequence[str]) -> list[str]:
        """Verilator's options, without files and folders. ``set_flags`` choose the instruction set."""
        flags = ["-fPIC", "-fvisibility=hidden", *set_flags]
        parameters = design.parameters | dict(self.parameters)
        return [
            *("--cc", "--exe", "--build", "--prefix", design.prefix, "--top-module", design.top),
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
    folder = rtl_folder()
    kernel = Design(
        name=f"rtl-{profile.name}",
        top=TOP,
        prefix="Vkernel",
        parameters=rtl_parameters(profile),
        harness=folder / "sim" / "harness.cpp",
        folders=(folder,),
    )
    return build_design(kernel, cache=cache, options=options)


def build_design(design: Design, *, cache: Path, options: RtlBuildOptions = DEFAULT_OPTIONS) -> Path:
    """The shared library with a simulated design, as ``build_library``."""
    compiler = find_compiler()
    cache = cache_for_make(cache)
    instructions = choose_instructions(options.instructions, compiler, cache)
    flags = compiler_flags(instructions)
    arguments = options.arguments(design, flags)
    verilator = find_verilator(cache)
    identity = compiler_identity(compiler, tuple(flags))
    sources = contents(design.folders[0], ".sv", ".h", ".cpp")
    name = checksum([str(verilator), identity, *arguments, *sources])

    def make(output: Path) -> None:
        logger.info("compiling the RTL simulator for %s (minutes at most, once)", design.name)
        # Modules are found by their names; packages must be named, before those that use them.
        packages = [path for folder in design.folders for path in sorted(folder.glob("*_pkg.sv"))]
        tops = [path for folder in design.folders for path in folder.glob(f"{design.top}.sv")]
        places = ["--Mdir", str(output.with_name("obj")), "-j", str(cores()), "-o", str(output)]
        places += [f"-I{folder}" for folder in design.folders]
        files = [*packages, *tops, design.harness]
        command = [str(verilator.program), *arguments, *places, *map(str, files)]
        done = call(command, environment=verilator.environment(), timeout=_TIMEOUT)
        require(done, "compiling the RTL simulator failed", output, fix="see what `sliceflow doctor` says of verilator")

    return cached(cache / f"{design.name}-{instructions}-{name}.so", make)
