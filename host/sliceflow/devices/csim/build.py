"""Compiles the kernel on demand into a cache whose names are checksums of everything that goes into the result."""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import hashlib
import logging
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sliceflow.errors import UserError
from sliceflow.hardware.kernel import CONFIG_HEADER, render_config, source_folder
from sliceflow.hardware.profile import Profile

logger = logging.getLogger(__name__)

_LIBRARY_SOURCES = ("sim/csim.cpp", "sim/region.cpp", "sim/fiber.cpp")
_TESTBENCH_SOURCES = ("testbench.cpp", "kernel.cpp", "sim/region.cpp", "sim/fiber.cpp")
_TIMEOUT = 600
"""Seconds after which a compiler is given up."""
_SHOWN = 2000
"""Characters of a compiler's messages that an error quotes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """How to compile. The defaults make the fast simulator.

    Attributes:
        compiler: name or path of g++ (or a compiler that takes its options).
        optimize: optimization flags.
        native: use every instruction of this machine's processor.
        fast: multiply with vector code instead of the loops that synthesis sees.
        ap_types: folder with ``ap_int.h``; the kernel then computes with ap_int instead of native integers.
        sanitize: sanitizers, e.g. ``("address", "undefined")``.
        simulation_depth: least depth of a stream; 0 simulates the depths of the hardware.
        check_streams: report a stream with a second writer or reader.
        strict: take warnings as errors; for the project's own tests, since compilers differ in what they warn of.
        ucontext: switch processes through the C library instead of own assembly.
    """

    compiler: str = "g++"
    optimize: tuple[str, ...] = ("-O3",)
    native: bool = True
    fast: bool = True
    ap_types: Path | None = None
    sanitize: tuple[str, ...] = ()
    simulation_depth: int = 64
    check_streams: bool = False
    ucontext: bool = False
    strict: bool = False

    def flags(self) -> list[str]:
        """Compiler options, without sources and output."""
        # ap_int's shifts of negative numbers are defined since C++20 only; the kernel keeps to C++14, as Vitis does.
        flags = ["-std=c++20" if self.ap_types else "-std=c++14", *self.optimize, "-pthread", "-fPIC"]
        # A process may load several libraries, one for each profile. Visible statics of templates would be shared among
        # them, though their sizes differ; hidden ones are not.
        flags += ["-fvisibility=hidden"]
        flags += ["-Wall", "-Wextra", "-Wno-unknown-pragmas"] + ["-Werror"] * self.strict
        flags += ["-march=native"] if self.native else []
        if self.ap_types:
            flags += ["-DSLICEFLOW_AP_TYPES", "-isystem", str(self.ap_types)]
            flags += ["-Wno-uninitialized", "-Wno-maybe-uninitialized"]  # the headers' own, seen through inlining
        elif self.fast:
            flags.append("-DSLICEFLOW_FAST_SIMULATION")
        if self.sanitize:
            flags += [f"-fsanitize={','.join(self.sanitize)}", "-fno-sanitize-recover=all", "-g"]
        flags.append(f"-DSLICEFLOW_SIMULATION_DEPTH={self.simulation_depth}")
        flags += ["-DSLICEFLOW_CHECK_STREAMS"] * self.check_streams + ["-DSLICEFLOW_FIBER_UCONTEXT"] * self.ucontext
        return flags


DEFAULT_OPTIONS = BuildOptions()


def default_cache() -> Path:
    """``~/.cache/sliceflow``."""
    return Path.home() / ".cache" / "sliceflow"


def build_library(profile: Profile, *, cache: Path, options: BuildOptions = DEFAULT_OPTIONS) -> Path:
    """The shared library with ``sliceflow_csim_run`` for a profile; compiled unless the cache has it.

    Args:
        profile: the accelerator.
        cache: folder for compiled files; made if it does not exist. Several processes may share it.
        options: how to compile.

    Returns:
        Path of the library.

    Raises:
        UserError: there is no compiler, it fails, or the cache cannot be written.
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
    flags = [*options.flags(), *link]
    compiler = find_compiler(options.compiler)
    target = cache / f"{kind}-{profile.name}-{_checksum(folder, config, compiler, flags, sources)}{suffix}"
    try:
        if target.exists():
            return target
        cache.mkdir(parents=True, exist_ok=True)
        with _lock(target.with_name(target.name + ".lock")):
            if not target.exists():
                _compile(compiler, flags, folder, sources, config, target)
    except OSError as error:
        raise UserError(
            "the simulator cannot be put into the cache",
            where=str(cache),
            why=str(error),
            fix="choose a folder that can be written, with room for a few megabytes",
        ) from error
    return target


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Holds a lock among processes; it goes with the process that holds it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _compile(
    compiler: str, flags: list[str], folder: Path, sources: tuple[str, ...], config: str, target: Path
) -> None:
    """Compile beside the target and rename, so that nobody sees half a file."""
    logger.info("compiling the simulator %s (a few seconds, once)", target.name)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=target.parent) as scratch:
        Path(scratch, CONFIG_HEADER).write_text(config, encoding="utf-8")
        output = Path(scratch, "out")
        includes = [f"-I{scratch}", f"-I{folder}", f"-I{folder / 'sim'}"]
        command = [compiler, *flags, *includes, *(str(folder / name) for name in sources), "-o", str(output)]
        result = _call(command)
        if result.returncode != 0 or not output.exists():
            raise UserError(
                "compiling the simulator failed",
                where=" ".join(command),
                why=result.stderr.strip()[:_SHOWN] or f"the compiler ended with code {result.returncode}",
                fix="install a working g++ (version 9 or newer)",
            )
        output.replace(target)


def find_compiler(name: str) -> str:
    """Full path of the compiler.

    Raises:
        UserError: it is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise UserError(
            f"the C simulation needs a C++ compiler, and {name!r} is not installed",
            why="the accelerator's kernel is compiled for this machine when it is first used",
            fix="install g++ (Debian, Ubuntu: apt install g++), or use --device reference",
        )
    return path


@functools.cache
def _compiler_identity(compiler: str, flags: tuple[str, ...]) -> str:
    """Version of the compiler and the processor features it will use: all of its predefined macros."""
    selected = [flag for flag in flags if flag.startswith("-m")]
    return _call([compiler, *selected, "-dM", "-E", "-x", "c++", "/dev/null"]).stdout


def _call(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT, errors="replace")
    except subprocess.TimeoutExpired as error:
        raise UserError("the compiler does not come to an end", where=" ".join(command)) from error


def _checksum(folder: Path, config: str, compiler: str, flags: list[str], sources: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    parts = [config, compiler, _compiler_identity(compiler, tuple(flags)), *flags, *sources]
    for path in sorted([*folder.rglob("*.h"), *folder.rglob("*.cpp")]):
        parts += [path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")]
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()[:24]
