"""The C test bench as an FPGA engineer runs it: compiled by g++, with sanitizers, and from the Vitis recipe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sliceflow.devices.build import find_compiler
from sliceflow.devices.csim import BuildOptions, build_testbench
from sliceflow.devices.csim.cases import write_cases
from sliceflow.graph.artifact import save_program
from sliceflow.hardware.vitis import Target, write_recipe
from tests.csim.support import CACHE, ap_headers, bench_case, profile_of
from tests.support.random_program import random_program
from tests.support.tiny_program import tiny_program

ROOT = Path(__file__).resolve().parents[2]

VENDOR_STREAM = """
#pragma once
#include <queue>
#include <string>
namespace hls {
template <typename T, int DEPTH = 0> class stream;
template <typename T> class stream<T, 0> {
  std::queue<T> queue_;
 public:
  explicit stream(const char* = "") {}
  T read() { T value = queue_.front(); queue_.pop(); return value; }
  bool read_nb(T& value) { if (empty()) return false; value = read(); return true; }
  void write(const T& value) { queue_.push(value); }
  bool full() const { return false; }
  bool empty() const { return queue_.empty(); }
};
template <typename T, int DEPTH> class stream : public stream<T, 0> {
 public:
  explicit stream(const char* name = "") : stream<T, 0>(name) {}
};
}
"""
"""Unbounded streams, as a vendor's C simulation has them."""
VENDOR_BURSTS = """
#pragma once
#include <queue>
#include <ap_int.h>
namespace hls {
template <typename T> class burst_maxi {
  T* memory_;
  std::queue<T*> reads_, writes_;
 public:
  burst_maxi(T* memory) : memory_(memory) {}
  void read_request(size_t offset, size_t count) { while (count--) reads_.push(memory_ + offset++); }
  T read() { T* at = reads_.front(); reads_.pop(); return *at; }
  void write_request(size_t offset, size_t count) { while (count--) writes_.push(memory_ + offset++); }
  void write(const T& value, ap_int<sizeof(T)> bytes = -1) {
    for (unsigned k = 0; k < sizeof(T); ++k) {
      if (bytes[k]) reinterpret_cast<char*>(writes_.front())[k] = reinterpret_cast<const char*>(&value)[k];
    }
    writes_.pop();
  }
  void write_response() {}
};
}
"""
"""Memory ports with the vendor's interface."""


def run(executable: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([executable, folder], capture_output=True, text=True, check=False, timeout=300)


def write_random(folder: Path, profile: str, seeds: range) -> None:
    write_cases(folder, {f"seed{seed}": bench_case(random_program(seed, profile_of(profile))) for seed in seeds})


@pytest.mark.parametrize("profile", ["int8-8x8", "w4a8-8x8", "w8a16-8x8", "fp32-4x4"])
def test_cases_pass(profile: str, tmp_path: Path) -> None:
    write_random(tmp_path, profile, range(400, 410))
    result = run(build_testbench(profile_of(profile), cache=CACHE), tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "10 passed, 0 failed"


def test_failures_and_nothing_run_are_no_success(tmp_path: Path) -> None:
    executable = build_testbench(profile_of("int8-8x8"), cache=CACHE)
    nothing = run(executable, tmp_path)
    assert nothing.returncode == 1
    assert "no case ran" in nothing.stdout

    write_random(tmp_path, "int8-8x8", range(420, 423))
    damaged = tmp_path / "seed421" / "after.bin"
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    (tmp_path / "seed422" / "weights.bin").unlink()
    result = run(executable, tmp_path)
    assert result.returncode == 1
    assert "FAIL seed421: the activations differ" in result.stdout
    assert "FAIL seed422: its files cannot be read" in result.stdout
    assert result.stdout.splitlines()[-1] == "1 passed, 2 failed"


@pytest.mark.parametrize("profile", ["small-8x8-4x8", "small-8x4-4x8", "small-16x8-4x8", "fp32-4x4"])
def test_sanitizers_find_nothing(profile: str, tmp_path: Path) -> None:
    write_random(tmp_path, profile, range(430, 455))
    options = BuildOptions(
        optimize=("-O1",), instructions="generic", sanitize=("address", "undefined"), check_streams=True
    )
    result = run(build_testbench(profile_of(profile), cache=CACHE, options=options), tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "25 passed, 0 failed"


def test_sanitizers_would_find_something(tmp_path: Path) -> None:
    """A descriptor that reads beyond its memory is stopped, so the runs above mean something."""
    case = bench_case(random_program(460, profile_of("small-8x8-4x8")))
    case.program[:512].view("<u4")[3] += len(case.before)  # in_base
    write_cases(tmp_path, {"beyond": case})
    options = BuildOptions(
        optimize=("-O1",), instructions="generic", sanitize=("address", "undefined"), check_streams=True
    )
    result = run(build_testbench(profile_of("small-8x8-4x8"), cache=CACHE, options=options), tmp_path)
    assert result.returncode != 0
    assert "AddressSanitizer" in result.stderr


def test_the_vitis_recipe_runs_with_open_headers(tmp_path: Path) -> None:
    """Its own sources and flags, processes as plain calls, vendor-like streams, ap_int from the open headers."""
    profile = profile_of("int8-4x4")
    recipe, headers = tmp_path / "recipe", tmp_path / "headers"
    write_recipe(profile, Target(), recipe)
    headers.mkdir()
    (headers / "hls_stream.h").write_text(VENDOR_STREAM, encoding="utf-8")
    (headers / "hls_burst_maxi.h").write_text(VENDOR_BURSTS, encoding="utf-8")
    flags = next(
        line.removeprefix("tb.cflags=").split()
        for line in (recipe / "hls_config.cfg").read_text(encoding="utf-8").splitlines()
        if line.startswith("tb.cflags=")
    )
    assert "-DSLICEFLOW_VENDOR" in flags
    executable = tmp_path / "testbench"
    command = [find_compiler("g++"), *flags, "-O1", f"-I{headers}", "-isystem", str(ap_headers())]
    command += ["-Wno-unknown-pragmas", "src/testbench.cpp", "src/kernel.cpp", "-o", str(executable)]
    subprocess.run(command, cwd=recipe, check=True, timeout=300)
    write_random(tmp_path / "cases", "int8-4x4", range(470, 476))
    result = run(executable, tmp_path / "cases")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_makefile_runs_an_exported_artifact(tmp_path: Path) -> None:
    artifact, cases = tmp_path / "artifact", tmp_path / "cases"
    save_program(tiny_program(), artifact)
    export = [sys.executable, str(ROOT / "scripts" / "export_cases.py"), str(artifact), "--output", str(cases)]
    subprocess.run(export, check=True, timeout=300)
    make = ["make", "-C", str(ROOT / "hls" / "cpp"), f"CASES={cases}", "CXXFLAGS=-O0"]
    result = subprocess.run(make, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed, 0 failed" in result.stdout
