"""Compilation on demand: the cache, processes at once, what users read when it fails. Also the Vitis recipes."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sliceflow.devices.csim import BuildOptions, CsimLibrary, build_library
from sliceflow.errors import UserError
from sliceflow.hardware.kernel import render_config, source_folder
from sliceflow.hardware.vitis import Target, write_recipe
from tests.csim.support import assert_equal, profile_of
from tests.support.random_program import random_program

ROOT = Path(__file__).resolve().parents[2]
QUICK = BuildOptions(optimize=("-O0",), instructions="generic")
BUILD = """
import sys
from pathlib import Path
from sliceflow.devices.csim import BuildOptions, build_library
from sliceflow.hardware.profile import Profile
options = BuildOptions(optimize=("-O0",), instructions="generic")
print(build_library(Profile.load("int8-4x4"), cache=Path(sys.argv[1]), options=options))
"""


def test_two_processes_may_compile_at_once(tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "cache"
    command = [sys.executable, "-c", BUILD, str(cache)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(set(outputs)) == 1
    libraries = list(cache.glob("*.so"))
    assert [str(path) for path in libraries] == [outputs[0].strip()]
    assert not list(cache.glob(".build-*"))
    stamp = libraries[0].stat().st_mtime_ns
    simulator = CsimLibrary(profile_of("int8-4x4"), cache=cache, options=QUICK)
    assert libraries[0].stat().st_mtime_ns == stamp, "compiled again"
    assert_equal(simulator, random_program(1, profile_of("int8-4x4")))


def test_the_name_depends_on_all_that_matters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No compilation: the compiler is a script that only makes the file."""
    compiler = tmp_path / "cc"
    compiler.write_text('#!/bin/sh\nwhile [ $# -gt 0 ]; do [ "$1" = -o ] && : > "$2"; shift; done\n', encoding="ascii")
    compiler.chmod(0o755)
    base = BuildOptions(compiler=str(compiler), instructions="generic")
    profile = profile_of("int8-4x4")
    other = dataclasses.replace(profile, bank_words=profile.bank_words // 2)
    variants = [
        (profile, base),
        (other, base),
        (profile, dataclasses.replace(base, optimize=("-O1",))),
        (profile, dataclasses.replace(base, fast=False)),
        (profile, dataclasses.replace(base, simulation_depth=7)),
    ]
    names = {build_library(chosen, cache=tmp_path / "c", options=options).name for chosen, options in variants}
    assert len(names) == len(variants)
    assert build_library(profile, cache=tmp_path / "c", options=base).name in names


def test_a_missing_compiler_is_the_users_matter(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not installed") as caught:
        build_library(profile_of("int8-4x4"), cache=tmp_path, options=BuildOptions(compiler="no-such-compiler"))
    assert "apt install g++" in caught.value.fix


def test_a_failing_compiler_is_quoted(tmp_path: Path) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'line 1: something is wrong' >&2\nexit 1\n", encoding="ascii")
    compiler.chmod(0o755)
    cache = tmp_path / "cache"
    with pytest.raises(UserError, match="compiling the simulator failed") as caught:
        build_library(profile_of("int8-4x4"), cache=cache, options=BuildOptions(compiler=str(compiler)))
    assert "something is wrong" in caught.value.why
    assert not list(cache.glob("*.so"))


def cut_off(library: Path) -> None:
    library.write_bytes(library.read_bytes()[:4096])


def garble(library: Path) -> None:
    content = bytearray(library.read_bytes())
    content[len(content) // 2] ^= 1
    library.write_bytes(content)


def empty(library: Path) -> None:
    library.write_bytes(b"")


@pytest.mark.parametrize("spoil", [cut_off, garble, empty])
def test_a_damaged_library_is_compiled_again(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    """Loading one that is cut off can end the process: the test would not end."""
    library = build_library(profile_of("int8-4x4"), cache=tmp_path, options=QUICK)
    spoil(library)
    simulator = CsimLibrary(profile_of("int8-4x4"), cache=tmp_path, options=QUICK)
    assert simulator.path == library
    assert_equal(simulator, random_program(1, profile_of("int8-4x4")))


def test_the_config_header_holds_the_profile() -> None:
    text = render_config(profile_of("int8-4x8"))
    assert "static constexpr int CPI = 4;" in text
    assert "static constexpr int CPO = 8;" in text
    assert "IS_FLOAT = false" in text
    assert "IS_FLOAT = true" in render_config(profile_of("fp32-4x4"))


def test_a_word_that_does_not_divide_a_beat_is_refused() -> None:
    odd = dataclasses.replace(profile_of("int8-4x4"), cpi=3, cpo=3)
    with pytest.raises(UserError, match="cannot be built") as caught:
        render_config(odd)
    assert "3 bytes" in caught.value.why


def test_the_recipe_is_complete(tmp_path: Path) -> None:
    profile = profile_of("int8-16x16")
    files = write_recipe(profile, Target(part="xczu7ev-ffvc1156-2-e", platform="zcu104"), tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in files}
    assert {"hls_config.cfg", "run_hls.tcl", "build.sh", "link.cfg", "src/kernel.cpp", "src/config.h"} <= names
    assert {f"src/{path.name}" for path in source_folder().glob("*.h")} <= names
    config = (tmp_path / "hls_config.cfg").read_text(encoding="utf-8")
    script = (tmp_path / "run_hls.tcl").read_text(encoding="utf-8")
    for text in (config, script):
        assert "xczu7ev-ffvc1156-2-e" in text
        assert "sliceflow_kernel" in text
        assert "Not yet run with the vendor's tools" in text
    assert f"clock={profile.mhz:g}MHz" in config
    assert f"create_clock -period {1000 / profile.mhz:.3f}" in script
    assert subprocess.run(["bash", "-n", tmp_path / "build.sh"], check=False).returncode == 0


def test_a_part_that_is_no_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="part must be"):
        write_recipe(profile_of("int8-4x4"), Target(part="x; rm -rf"), tmp_path)


def test_the_script_says_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "build_bitstream"), "int8-4x4", "--output", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/nowhere"})
    assert result.returncode == 1
    assert "neither v++ nor vitis_hls is installed" in result.stderr
    assert (tmp_path / "run_hls.tcl").is_file()


def test_a_library_shares_no_symbols(tmp_path: Path) -> None:
    """Several profiles live in one process; a shared symbol would mix their buffers."""
    library = build_library(profile_of("int8-4x4"), cache=tmp_path, options=QUICK)
    listing = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    assert [line.split()[-1] for line in listing.splitlines() if "sliceflow" in line] == ["sliceflow_csim_run"]


@pytest.mark.parametrize("profile", ["int8-8x8", "fp32-4x4"])
def test_the_compiler_has_nothing_to_warn_of(profile: str, tmp_path: Path) -> None:
    build_library(profile_of(profile), cache=tmp_path, options=BuildOptions(optimize=("-O2",), strict=True))
