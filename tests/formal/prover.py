"""Proofs of SystemVerilog assertions with Yosys and ABC, both of which the package ``pyosys`` carries.

A property module instantiates a module of hls/rtl, assumes what its surroundings promise and asserts what it promises.
Yosys reads both with its slang front end and makes an and-inverter graph of them. Registers begin with any value and
the first clock is one of reset, so what holds after it holds after every reset.

Methods: ``pdr`` (ABC's IC3) finds its own invariants; ``cones`` is the same for one assertion after the other, for
large modules; ``induction`` (Yosys' SAT) needs invariants among the assertions and is the way where wide sums are
involved; ``bounded`` looks at a number of clocks only.
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

Method = Literal["pdr", "cones", "induction", "bounded"]
RTL = Path(__file__).resolve().parents[2] / "hls" / "rtl"
PROPERTIES = Path(__file__).resolve().parent / "rtl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mutant:
    """A mistake that a suite must find.

    Attributes:
        file: name in hls/rtl.
        old: text that occurs there once.
        new: what stands there instead.
        breaks: the assertion that no longer holds.
    """

    file: str
    old: str
    new: str
    breaks: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suite:
    """What to prove of a module.

    Attributes:
        name: of the suite; the property module is called ``MODULE_properties``.
        module: in hls/rtl.
        packages: of hls/rtl that it needs, in their order.
        parameters: of the property module.
        method: how.
        clocks: ``induction``: clocks in a row on which a step rests; ``bounded``: clocks looked at. Else 0.
        cut: selections of Yosys whose outputs may take any value: memories too large to be looked at bit by bit.
        free: modules inside whose outputs may take any value.
        mutants: mistakes it must find.
        search: clocks within which a mistake shows.
    """

    name: str
    module: str
    parameters: Mapping[str, int]
    method: Method
    clocks: int = 0
    packages: Sequence[str] = ()
    cut: Sequence[str] = ()
    free: Sequence[str] = ()
    mutants: Sequence[Mutant] = ()
    search: int = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came out.

    Attributes:
        holds: no assertion is broken: in any reachable state, or in the clocks looked at.
        broken: assertion that is broken; empty if none is known.
        clocks: the first clock in which it is, or clocks looked at; 0 for all.
        properties: all assertions.
        registers: bits of state, after simplification by Yosys.
        seconds: wall time.
    """

    holds: bool
    broken: str
    clocks: int
    properties: tuple[str, ...]
    registers: int
    seconds: float


class ProofError(RuntimeError):
    """A tool failed, or says something that it should not."""


def sources(suite: Suite, mutant: Mutant | None, folder: Path) -> list[Path]:
    """Packages, the property module, and the mutated file, which is written to ``folder``; modules are found by name.

    Raises:
        ProofError: the mutated text does not occur exactly once.
    """
    found = [*(RTL / f"{name}.sv" for name in suite.packages), PROPERTIES / f"{suite.module}_properties.sv"]
    if mutant is not None:
        text = (RTL / mutant.file).read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            raise ProofError(
                f"{mutant.file} holds {mutant.old!r} {text.count(mutant.old)} times, not once: the mutant of the "
                f"suite {suite.name!r} in tests/formal/suites.py must follow the module"
            )
        found.append(folder / mutant.file)
        found[-1].write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    return found


_YOSYS = "import sys; from pyosys import libyosys as y; d = y.Design(); [y.run_pass(c, d) for c in sys.argv[1:]]"


class _Design:
    """A suite in Yosys, and its and-inverter graph."""

    def __init__(self, suite: Suite, mutant: Mutant | None, folder: Path) -> None:
        self._folder = folder
        self.top = f"{suite.module}_properties"
        settings = " ".join(f"-G {name}={value}" for name, value in suite.parameters.items())
        settings += "".join(f" --blackboxed-module {name}" for name in suite.free)
        settings += f" -y {PROPERTIES} -y {RTL}"
        files = " ".join(str(path) for path in sources(suite, mutant, folder))
        self.yosys(
            f"read_slang --threads 1 --top {self.top} {settings} {files}",
            f"hierarchy -check -top {self.top}",
            *("cutpoint -blackbox", "proc", "flatten", "async2sync", "chformal -lower", "memory_collect"),
            *(f"cutpoint {selection}" for selection in suite.cut),
            *("memory_map", "opt", "dffunmap", "setundef -undriven -anyseq", "opt_clean"),
            f"write_rtlil {folder}/model.il",
            *("techmap", "opt", "dffunmap", "setundef -anyseq", "aigmap", "opt_clean"),
            f"write_aiger -zinit -ywmap {folder}/model.json {folder}/model.aig",
        )
        names = json.loads((folder / "model.json").read_text())["asserts"]
        self.properties = tuple(".".join(part.removeprefix("\\") for part in path) for path in names)
        self.registers = int((folder / "model.aig").read_bytes().split(b"\n", 1)[0].split()[3])

    def yosys(self, *commands: str) -> str:
        """What Yosys says to commands; in a process of its own, which an error ends."""
        done = subprocess.run([sys.executable, "-c", _YOSYS, *commands], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ProofError(f"Yosys fails:\n{done.stdout[-4000:]}{done.stderr}")
        return done.stdout

    def step_holds(self, clocks: int, seconds: int) -> str:
        """Empty if the assertions of a clock follow from those of the clocks before, else a case where they do not."""
        said = self.yosys(
            f"read_rtlil {self._folder}/model.il",
            f"sat -tempinduct-inductonly -prove-asserts -set-assumes -set rst_i 0 -maxsteps {clocks} "
            f"-timeout {seconds} -show-regs -show-ports {self.top}",
        )
        return "" if "Induction step proven: SUCCESS" in said else said[said.rfind("Signal Name") :]

    def abc(self, commands: str, seconds: int) -> str:
        """What ABC says of the and-inverter graph."""
        import pyosys

        program = Path(pyosys.__file__).parent / "yosys-abc"
        script = f"read_aiger {self._folder}/model.aig; fold; {commands}"
        done = subprocess.run(
            [program, "-c", script], capture_output=True, text=True, timeout=seconds + 60, check=False
        )
        if done.returncode:
            raise ProofError(f"ABC fails at {script!r}:\n{done.stdout}{done.stderr}")
        return done.stdout


@contextmanager
def _design(suite: Suite, mutant: Mutant | None) -> Iterator[_Design]:
    with tempfile.TemporaryDirectory(prefix="sliceflow-formal-") as folder:
        yield _Design(suite, mutant, Path(folder))


def _bounded(design: _Design, clocks: int, seconds: int, output: int | None = None) -> tuple[int, int]:
    """The number of an assertion that is broken and its clock; -1 and the clocks looked at if there is none."""
    chosen = "" if output is None else f"cone -O {output}; "
    said = design.abc(f"{chosen}scleanup; bmc3 -F {clocks} -T {seconds}", seconds)
    if broken := re.search(r"Output (\d+) of miter .* asserted in frame (\d+)", said):
        return (int(broken[1]) if output is None else output), int(broken[2])
    if f"No output asserted in {clocks} frames" in said:
        return -1, clocks
    raise ProofError(f"{design.top}: {clocks} clocks were not looked at in {seconds} s:\n{said}")


def prove(suite: Suite, *, seconds: int = 600) -> Verdict:
    """Prove a suite.

    Args:
        suite: what and how.
        seconds: what each call of a solver may take.

    Raises:
        ProofError: no verdict in that time, or a tool failed.
    """
    began = time.monotonic()
    with _design(suite, None) as design:
        broken, clocks = -1, 0
        if suite.method == "pdr":
            said = design.abc(f"scleanup; lcorr; scorr; pdr -a -T {seconds}", seconds)
            if f"Proved = {len(design.properties)}." not in said:
                broken, clocks = _bounded(design, suite.search, seconds)
                if broken < 0:
                    raise ProofError(f"{suite.name}: neither proven nor refuted:\n{said}")
        elif suite.method == "cones":
            for output, name in enumerate(design.properties):
                said = design.abc(f"cone -O {output}; scleanup; lcorr; scorr; pdr -a -T {seconds}", seconds)
                if "Proved = 1." not in said:
                    raise ProofError(f"{suite.name}: {name} is not proven:\n{said}")
        else:
            broken, clocks = _bounded(design, suite.clocks + 2 * (suite.method == "induction"), seconds)
            if suite.method == "induction" and broken < 0:
                if case := design.step_holds(suite.clocks, seconds):
                    raise ProofError(f"{suite.name}: the step does not follow from {suite.clocks} clocks:\n{case}")
                clocks = 0
        return Verdict(
            holds=broken < 0,
            broken="" if broken < 0 else design.properties[broken],
            clocks=clocks,
            properties=design.properties,
            registers=design.registers,
            seconds=time.monotonic() - began,
        )


def refute(suite: Suite, mutant: Mutant, *, seconds: int = 600) -> int:
    """The clock in which a mistake breaks its assertion, counted from the first reset; -1 if it does not in time."""
    with _design(suite, mutant) as design:
        if mutant.breaks not in design.properties:
            raise ProofError(f"{suite.name}: there is no {mutant.breaks!r} among {', '.join(design.properties)}")
        broken, clock = _bounded(design, suite.search, seconds, design.properties.index(mutant.breaks))
        return clock if broken >= 0 else -1
