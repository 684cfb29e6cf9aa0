"""Runs cocotb tests from pytest.

`simulate` builds a module (once for each checksum of sources, parameters and tool), runs a cocotb test module on it in
a process of its own with a hard time limit, and fails the pytest test with the seed, the failing cocotb tests and the
end of the log. It may be called by several pytest workers at once.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import pytest

from sliceflow.devices.build import checksum, compiler_identity, find_compiler
from sliceflow.devices.cache import cached, default_cache
from sliceflow.devices.rtl.verilator import Verilator, find_verilator

ROOT = Path(__file__).resolve().parents[3]
RTL = ROOT / "hls" / "rtl"
BUILD_TIMEOUT = 900
"""Seconds for a build; the whole kernel at 16x16 takes minutes on a busy machine."""
_LOG_LINES = 60
_VERILATOR_ARGUMENTS = ("--assert", "--x-assign", "unique", "--x-initial", "unique", "-Wno-fatal")


@dataclasses.dataclass(frozen=True)
class Simulated:
    """A simulation in which all tests passed.

    Attributes:
        tests: names of the cocotb tests that ran.
        log: what the simulator printed.
    """

    tests: tuple[str, ...]
    log: str


def simulate(
    top: str,
    test_module: str,
    parameters: Mapping[str, int] | None = None,
    *,
    sources: Sequence[Path] = (),
    defines: Mapping[str, str | int] | None = None,
    simulator: str = "verilator",
    seed: int = 1,
    tests: Sequence[str] = (),
    timeout: float = 120,
    optimize: bool = False,
    waves: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Simulated:
    """Run the cocotb tests of a module on an RTL module; fails the calling pytest test if one fails or none runs.

    Args:
        top: the RTL module. It and the modules that it uses are found in ``hls/rtl`` and among ``sources``.
        test_module: dotted name of the Python module with the cocotb tests, e.g. ``tests.rtl.cocotb_fifo``.
        parameters: of ``top``.
        sources: further SystemVerilog files, e.g. a wrapper around the module under test.
        defines: macros. ``VERILATOR`` is set by Verilator itself.
        simulator: ``verilator`` or ``icarus``; without Icarus on this machine the test is skipped.
        seed: of cocotb's ``random`` and of what uninitialized registers hold.
        tests: names of cocotb tests to run; all if empty.
        timeout: seconds of wall time for the run, after which it is killed and the test fails.
        optimize: compile with -O2; pays from some 100,000 clocks on.
        waves: where to write the signals (VCD); a build of its own.
        environment: variables for the cocotb tests, e.g. a case's parameters.

    Returns:
        What ran.
    """
    __tracebackhide__ = True
    build = _Build(
        top=top,
        parameters=dict(parameters or {}),
        sources=[str(path) for path in closure(top, sources)],
        defines={name: str(value) for name, value in (defines or {}).items()},
        simulator=simulator,
        optimize=optimize,
        waves=waves is not None,
    )
    if simulator == "icarus" and _icarus_version() is None:
        pytest.skip("Icarus Verilog is not installed")
    folder = build.make()
    with tempfile.TemporaryDirectory(prefix="sliceflow-rtl-") as scratch:
        job = {
            "action": "run",
            "simulator": simulator,
            "top": top,
            "test_module": test_module,
            "tests": list(tests),
            "seed": seed,
            "build": str(folder),
            "folder": scratch,
            "waves": waves is not None,
        }
        log, problem = _execute(job, build.environment() | dict(environment or {}), timeout)
        names, failures = _results(Path(scratch, "results.xml"))
        if waves is not None and Path(scratch, "dump.vcd").exists():
            Path(scratch, "dump.vcd").replace(waves)
    if not problem and not names:
        problem = "no test ran"
    if problem or failures:
        pytest.fail(_message(build, test_module, seed, [problem, *failures], log), pytrace=False)
    return Simulated(tuple(names), log)


def closure(top: str, sources: Sequence[Path] = ()) -> list[Path]:
    """The files of a module and of all that it uses, used ones first; a file has the name of its module or package."""
    files = {path.stem: path for path in sorted(RTL.glob("*.sv"))} | {Path(path).stem: Path(path) for path in sources}
    if top not in files:
        pytest.fail(f"there is no module {top}.sv in {RTL} or among the sources", pytrace=False)
    ordered: dict[str, Path] = {}
    seen = set()

    def visit(name: str) -> None:
        seen.add(name)
        words = set(re.findall(r"[A-Za-z_]\w*", _without_comments(files[name].read_text(encoding="utf-8"))))
        for used in sorted(words & files.keys() - seen):
            visit(used)
        ordered[name] = files[name]

    visit(top)
    return list(ordered.values())


def _without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Build:
    """Everything that a compiled simulation depends on."""

    top: str
    parameters: dict[str, int]
    sources: list[str]
    defines: dict[str, str]
    simulator: str
    optimize: bool
    waves: bool

    def make(self) -> Path:
        """The folder with the compiled simulation."""
        __tracebackhide__ = True
        target = default_cache() / "rtl-tests" / f"{self.top}-{self.simulator}-{self._checksum()}"
        return cached(target, self._compile)

    def environment(self) -> dict[str, str]:
        """Environment of builds and runs."""
        environment = _verilator().environment() if self.simulator == "verilator" else dict(os.environ)
        for name in [name for name in environment if name.startswith(("COCOTB_", "PYTEST_"))]:
            del environment[name]
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
        if self.optimize:
            environment["MAKEFLAGS"] = "OPT_FAST=-O2 OPT_GLOBAL=-O2"
        return environment

    def describe(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in {**self.parameters, **self.defines}.items())
        return f"{self.top}({settings}) on {self.simulator}"

    def _checksum(self) -> str:
        tool = _icarus_version() if self.simulator == "icarus" else str(_verilator())
        identity = compiler_identity(find_compiler(), ()) if self.simulator == "verilator" else ""
        texts = [Path(name).read_text(encoding="utf-8") for name in self.sources]
        plain = json.dumps({**dataclasses.asdict(self), "sources": [Path(name).name for name in self.sources]})
        parts = [plain, str(tool), identity, metadata.version("cocotb"), *_VERILATOR_ARGUMENTS, *texts]
        return checksum(parts)

    def _compile(self, output: Path) -> None:
        __tracebackhide__ = True
        job = {
            **dataclasses.asdict(self),
            "action": "build",
            "includes": [str(RTL)],
            "build": str(output.with_name("build")),
            "arguments": list(_VERILATOR_ARGUMENTS) if self.simulator == "verilator" else ["-g2012"],
        }
        log, problem = _execute(job, self.environment(), BUILD_TIMEOUT)
        results = [output.with_name("build") / name for name in (self.top, "sim.vvp")]
        result = next((path for path in results if path.exists()), None)
        if problem or result is None:
            pytest.fail(f"{self.describe()} does not build: {problem}\n{_end(log)}", pytrace=False)
        output.mkdir()
        result.replace(output / result.name)


@functools.cache
def _verilator() -> Verilator:
    return find_verilator()


@functools.cache
def _icarus_version() -> str | None:
    try:
        done = subprocess.run(["iverilog", "-V"], capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return None
    return done.stdout.partition("\n")[0]


def _execute(job: Mapping[str, object], environment: Mapping[str, str], timeout: float) -> tuple[str, str]:
    """Run a job in a process group of its own. Returns its log, and what went wrong or ''."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.rtl.support.run_cocotb", json.dumps(job)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=ROOT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout)
            problem = "" if code == 0 else f"the process ended with code {code}"
        except subprocess.TimeoutExpired:
            problem = f"killed after {timeout:g} seconds"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        log.seek(0)
        return log.read(), problem


def _results(path: Path) -> tuple[list[str], list[str]]:
    """Names of the tests that ran, and a text for each that failed."""
    if not path.exists():
        return [], ["the simulation left no results"]
    names, failures = [], []
    for case in ElementTree.parse(path).iter("testcase"):
        if case.find("skipped") is None:
            names.append(case.get("name", ""))
        for found in (*case.findall("failure"), *case.findall("error")):
            text = found.get("error_msg") or found.get("message") or found.text or ""
            failures.append(f"{case.get('name')}: {text}")
    return names, failures


def _message(build: _Build, test_module: str, seed: int, problems: Sequence[str], log: str) -> str:
    head = f"{test_module} on {build.describe()}, seed {seed}"
    return "\n".join([head, *(f"  {text}" for text in problems if text), _end(log)])


def _end(log: str) -> str:
    return "\n".join(log.splitlines()[-_LOG_LINES:])
