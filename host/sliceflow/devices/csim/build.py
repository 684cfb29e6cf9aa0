"""Compiles the kernel on demand into a cache whose names are checksums of everything that goes into the result."""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path

from sliceflow.devices.build import call, checksum, compiler_identity, contents, find_compiler, require
from sliceflow.devices.cache import cached
from sliceflow.devices.instructions import choose_instructions, compiler_flags
from sliceflow.hardware.kernel import CONFIG_HEADER, render_config, source_folder
from sliceflow.hardware.profile import Profile

logger = logging.getLogger(__name__)
_PIPELINE = re.compile(r"^#pragma HLS pipeline II = (\d+)[^\n]*$", re.MULTILINE)

_LIBRARY_SOURCES = ("kernel.cpp", "sim/csim.cpp", "sim/region.cpp", "sim/fiber.cpp")
_TESTBENCH_SOURCES = ("testbench.cpp", "kernel.cpp", "sim/region.cpp", "sim/fiber.cpp")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """How to compile. The defaults make the fast simulator.

    Attributes:
        compiler: name or path of g++ (or a compiler that takes its options).
        optimize: optimization flags.
        instructions: a key of ``INSTRUCTION_SETS``; None takes what ``choose_instructions`` takes.
        fast: multiply with vector code instead of the loops that synthesis sees.
        ap_types: folder with ``ap_int.h``; the kernel then computes with ap_int instead of native integers.
        sanitize: sanitizers, e.g. ``("address", "undefined")``.
        simulation_depth: least depth of a stream; 0 simulates the depths of the hardware.
        check_streams: report a stream with a second writer or reader.
        strict: take warnings as errors; for the project's own tests, since compilers differ in what they warn of.
        ucontext: switch processes through the C library instead of own assembly.
        clocks: count clocks: the loops that synthesis sees, streams as deep as in hardware, and each iteration of a
            pipelined loop as long as its pragma says; adds ``sliceflow_csim_clocks`` to the library.
    """

    compiler: str = "g++"
    optimize: tuple[str, ...] = ("-O3",)
    instructions: str | None = None
    fast: bool = True
    ap_types: Path | None = None
    sanitize: tuple[str, ...] = ()
    simulation_depth: int = 64
    check_streams: bool = False
    ucontext: bool = False
    strict: bool = False
    clocks: bool = False

    def flags(self) -> list[str]:
        """Compiler options, without instruction set, sources and output."""
        # ap_int's shifts of negative numbers are defined since C++20 only; the kernel keeps to C++14, as Vitis does.
        flags = ["-std=c++20" if self.ap_types else "-std=c++14", *self.optimize, "-pthread", "-fPIC"]
        # A process may load several libraries, one for each profile. Visible statics of templates would be shared among
        # them, though their sizes differ; hidden ones are not.
        flags += ["-fvisibility=hidden"]
        flags += ["-Wall", "-Wextra", "-Wno-unknown-pragmas"] + ["-Werror"] * self.strict
        if self.ap_types:
            flags += ["-DSLICEFLOW_AP_TYPES", "-isystem", str(self.ap_types)]
            flags += ["-Wno-uninitialized", "-Wno-maybe-uninitialized"]  # the headers' own, seen through inlining
        elif self.fast and not self.clocks:
            flags.append("-DSLICEFLOW_FAST_SIMULATION")
        if self.sanitize:
            flags += [f"-fsanitize={','.join(self.sanitize)}", "-fno-sanitize-recover=all", "-g"]
        flags.append(f"-DSLICEFLOW_SIMULATION_DEPTH={0 if self.clocks else self.simulation_depth}")
        flags += ["-DSLICEFLOW_CLOCKS"] * self.clocks
        flags += ["-DSLICEFLOW_CHECK_STREAMS"] * self.check_streams + ["-DSLICEFLOW_FIBER_UCONTEXT"] * self.ucontext
        return flags


DEFAULT_OPTIONS = BuildOptions()


def build_library(profile: Profile, *, cache: Path, options: BuildOptions = DEFAULT_OPTIONS) -> Path:
    """The shared library with ``sliceflow_csim_run`` for a profile; compiled unless the cache has it.

    Args:
        profile: the accelerator.
        cache: folder for compiled files; made if it does not exist. Several processes may share it.
        options: how to compile.

    Returns:
        Path of the library.

    Raises:
        UserError: there is no compiler, it fails, the processor lacks the instructions, or the cache cannot be written.
    """
    return _build(profile, cache, options, "csim", _LIBRARY_SOURCES, ("-shared",), ".so")


def build_testbench(profile: Profile, *, cache: Path, options: BuildOptions = DEFAULT_OPTIONS) -> Path:
    """The C test bench for a profile, an executable; see ``hls/cpp/testbench.cpp``. Arguments as ``build_library``."""
    return _build(profile, cache, options, "testbench", _TESTBENCH_SOURCES, (), "")


def _build(
    profile: Profile,
    cache: Path,
    options: BuildOptions,
    kind: str,
    sources: tuple[str, ...],
    link: tuple[str, ...],
    suffix: str,
) -> Path:
    folder = source_folder()
    config = render_config(profile)
    compiler = find_compiler(options.compiler)
    instructions = choose_instructions(options.instructions, compiler, cache)
    flags = [*options.flags(), *compiler_flags(instructions), *link]
    identity = compiler_identity(compiler, tuple(flags))
    name = checksum([config, compiler, identity, *flags, *sources, *contents(folder, ".h", ".cpp")])
    return cached(
        cache / f"{kind}-{profile.name}-{instructions}-{name}{suffix}",
        lambda output: _compile([compiler, *flags], folder, sources, config, output, options.clocks),
    )


def _compile(
    compiler: list[str], folder: Path, sources: tuple[str, ...], config: str, output: Path, clocks: bool
) -> None:
    logger.info("compiling the C simulator (a few seconds, once)")
    scratch = output.parent
    if clocks:
        folder = _clocked(folder, scratch / "clocked")
    Path(scratch, CONFIG_HEADER).write_text(config, encoding="utf-8")
    includes = [f"-I{scratch}", f"-I{folder}", f"-I{folder / 'sim'}"]
    command = [*compiler, *includes, *(str(folder / name) for name in sources), "-o", str(output)]
    require(call(command), "compiling the simulator failed", output, fix="install a working g++ (version 9 or newer)")


def _clocked(folder: Path, target: Path) -> Path:
    """A copy of the sources whose pipelined loops count clocks: each iteration the interval of its pragma."""
    for path in [*folder.rglob("*.h"), *folder.rglob("*.cpp")]:
        place = target / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(clocked_text(path.read_text(encoding="utf-8")), encoding="utf-8")
    return target


def clocked_text(text: str) -> str:
    """A source file with ``#pragma HLS pipeline II = n`` as a call that moves the process' clock on by n."""
    return _PIPELINE.sub(r"sliceflow_sim::iteration(\1);", text)
