"""Hold the kernel's C++ to what HLS tools make fast hardware of: ``python -m scripts.hls_lint``.

The rules are functions, each with the message of Vitis HLS and the part of its manual behind it. ``KNOWN`` lists what
hls/cpp does not satisfy yet, as file and rule: such findings are printed as open. An entry without a finding is an
error, so that the list only shrinks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sliceflow.hardware.kernel import render_config, source_folder
from sliceflow.hardware.profile import Profile

from . import arithmetic, dataflow, loops, memory, partitions
from .source import Finding, Unit

Rule = Callable[[Unit], Iterator[Finding]]
RULES: Mapping[str, Rule] = {
    "dataflow.canonical": dataflow.canonical,
    "dataflow.nested": dataflow.nested,
    "loops.unbounded": loops.unbounded,
    "loops.drained": loops.drained,
    "loops.inner": loops.inner,
    "memory.conditional": memory.conditional,
    "memory.strided": memory.strided,
    "memory.pointers": memory.pointers,
    "memory.unpartitioned": memory.unpartitioned,
    "arithmetic.wide": arithmetic.wide,
}
KNOWN = frozenset(
    {
        "read_addend.h: arithmetic.wide",
        "write.h: arithmetic.wide",
    }
)
"""``FILE: RULE`` of what is open."""


def lint(sources: Mapping[str, str], main: str) -> list[Finding]:
    """All findings of all rules in sources that belong together."""
    unit = Unit(sources, main)
    return sorted({finding for rule in RULES.values() for finding in rule(unit)})


def kernel_sources(folder: Path) -> dict[str, str]:
    """What of hls/cpp is synthesized, by name, with the configuration of a profile."""
    found = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.h"))}
    found["kernel.cpp"] = (folder / "kernel.cpp").read_text(encoding="utf-8")
    found["config.h"] = render_config(Profile.load("int8-4x8"))
    return found


def findings_of_kernel() -> list[Finding]:
    """What all rules say of hls/cpp, and the sizes of every profile."""
    sources = kernel_sources(source_folder())
    configurations = {name: render_config(Profile.load(name)) for name in Profile.names()}
    return lint(sources, "kernel.cpp") + list(partitions.threshold(Unit(sources, "kernel.cpp"), configurations))


def split(findings: list[Finding], known: frozenset[str]) -> tuple[list[Finding], list[Finding], list[str]]:
    """Findings that are new, those that are known, and entries of the list that have none."""
    names = [f"{finding.path}: {finding.rule}" for finding in findings]
    new = [finding for finding, name in zip(findings, names, strict=True) if name not in known]
    still = [finding for finding, name in zip(findings, names, strict=True) if name in known]
    return new, still, sorted(known - set(names))


def main() -> int:
    """Print the findings; 1 if one is new or an entry of the list has none."""
    new, still, gone = split(findings_of_kernel(), KNOWN)
    for finding in new:
        print(finding)
    for finding in still:
        print(f"open: {finding}")
    for entry in gone:
        print(f"{entry} has no finding any more: take it off KNOWN in {Path(__file__).name}")
    print(f"{len(RULES) + 1} rules, {len(new)} findings, {len(still)} open", file=sys.stderr)
    return 1 if new or gone else 0
