"""Each rule refuses the marked lines of its bad example and nothing of its good one; the kernel is as listed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("clang.cindex", reason="needs the extra 'dev'")

from scripts.hls_lint import partitions
from scripts.hls_lint.rules import KNOWN, RULES, findings_of_kernel, kernel_sources, lint, split
from scripts.hls_lint.source import Finding, SourceError, Unit
from sliceflow.hardware.kernel import render_config, source_folder
from sliceflow.hardware.profile import Profile

EXAMPLES = Path(__file__).parent / "hls_rules"


def test_every_rule_has_its_examples():
    assert {path.name for path in EXAMPLES.glob("*.cpp")} == {
        f"{name}.{kind}.cpp" for name in RULES for kind in ("bad", "good")
    }


@pytest.mark.parametrize("name", RULES)
def test_examples(name):
    bad, good = (EXAMPLES / f"{name}.{kind}.cpp" for kind in ("bad", "good"))
    text = bad.read_text()
    marked = {number for number, line in enumerate(text.splitlines(), 1) if "// refused" in line}
    found = RULES[name](Unit({bad.name: text}, bad.name))
    assert {(finding.rule, finding.line) for finding in found} == {(name, line) for line in marked}
    assert marked
    assert lint({good.name: good.read_text()}, good.name) == []


def test_the_kernel_is_as_listed():
    new, still, gone = split(findings_of_kernel(), KNOWN)
    assert (new, gone) == ([], [])
    assert {f"{finding.path}: {finding.rule}" for finding in still} == KNOWN


def test_the_list_shrinks_only():
    findings = [Finding("a.h", 1, "x", ""), Finding("b.h", 2, "y", "")]
    new, still, gone = split(findings, frozenset({"b.h: y", "c.h: z"}))
    assert ([finding.path for finding in new], [finding.path for finding in still]) == (["a.h"], ["b.h"])
    assert gone == ["c.h: z"]


def test_sizes_of_partitions_for_every_profile(monkeypatch):
    """The numbers of a profile decide: a block of 16x16 int8 weights has 36 beats, one of 8x8 has 9."""
    unit = Unit(kernel_sources(source_folder()), "kernel.cpp")
    configurations = {name: render_config(Profile.load(name)) for name in ("int8-8x8", "int8-16x16")}
    assert list(partitions.threshold(unit, configurations)) == []
    monkeypatch.setattr(partitions, "LIMIT", 35)
    found = [finding for finding in partitions.threshold(unit, configurations) if finding.path == "mul.h"]
    assert {finding.text for finding in found} == {"36 elements for int8-16x16"}
    monkeypatch.setattr(partitions, "LIMIT", 36)
    assert not any(finding.path == "mul.h" for finding in partitions.threshold(unit, configurations))


def test_sources_that_are_no_cpp():
    with pytest.raises(SourceError, match=r"x\.cpp:1.*unknown type name 'integer'"):
        Unit({"x.cpp": "integer f();\n"}, "x.cpp")


def test_a_change_of_the_kernel_is_seen():
    sources = kernel_sources(source_folder())
    call = 'SLICEFLOW_PROCESS("pad", pad,'
    assert sources["layer.h"].count(call) == 1
    changed = sources | {"layer.h": sources["layer.h"].replace(call, f"if (layer.block > 0) {call}")}
    assert any(
        finding.rule == "dataflow.canonical" and finding.path == "layer.h" for finding in lint(changed, "kernel.cpp")
    )
