"""The lint of the HLS sources: it accepts the kernel, and each of its rules refuses something."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_SPEC = importlib.util.spec_from_file_location("lint_hls", ROOT / "scripts" / "lint_hls.py")
assert _SPEC is not None
assert _SPEC.loader is not None
lint_hls = importlib.util.module_from_spec(_SPEC)
sys.modules["lint_hls"] = lint_hls
_SPEC.loader.exec_module(lint_hls)

REGION = """
void produce(int n, hls::stream<int>& out) { for (int k = 0; k < 4; ++k) out.write(k); }
void consume(hls::stream<int>& in) { for (int k = 0; k < 4; ++k) in.read(); }
void inner(hls::stream<int>& in) { consume(in); }
void region() {
#pragma HLS dataflow
  hls::stream<int, 2> data("data");
  SLICEFLOW_PROCESS("a", produce, 4, data);
  SLICEFLOW_PROCESS("b", inner, data);
%s
}
"""


def findings(text: str) -> list[str]:
    return [finding.text for finding in lint_hls.lint({"x.h": text})]


def kernel() -> dict[str, str]:
    return lint_hls.kernel_sources(ROOT / "hls" / "cpp")


def test_the_kernel_is_clean() -> None:
    sources = kernel()
    assert {"kernel.cpp", "mul.h", "pool.h", "descriptor.h"} <= set(sources)
    assert not any(name.startswith("sim/") or name == "testbench.cpp" for name in sources)
    assert lint_hls.lint(sources) == []


@pytest.mark.parametrize(
    ("snippet", "part"),
    [
        ("void f() { int* p = new int[4]; }", "heap"),
        ("void f() { std::vector<int> v; }", "std::vector"),
        ("#include <vector>\n", "<vector>"),
        ("struct A { virtual void f(); };", "run-time types"),
        ("void f() { throw 1; }", "exceptions"),
        ("void f() { static int count; }", "hidden state"),
        ("void f() { auto g = [&]() { }; }", "lambda"),
        ("float f(double x) { return x; }", "double"),
        ("int f(int n) { return n ? f(n - 1) : 0; }", "recursion"),
        ("int g(int n); int f(int n) { return g(n); } int g(int n) { return f(n); }", "recursion"),
    ],
)
def test_bad_code_is_refused(snippet: str, part: str) -> None:
    assert any(part in text for text in findings(snippet)), findings(snippet)


@pytest.mark.parametrize(
    "snippet",
    [
        "void f() { for (int k = 0; k < 3; ++k) { } }",
        "constexpr int f(int n) { return n ? f(n - 1) : 0; }",
        "// new std::vector\nvoid f() { }",
    ],
)
def test_good_code_is_accepted(snippet: str) -> None:
    assert findings(snippet) == []


def test_streams_have_one_writer_and_one_reader() -> None:
    assert findings(REGION % "") == []
    assert any("2 processes read it" in text for text in findings(REGION % '  SLICEFLOW_PROCESS("c", consume, data);'))
    assert any(
        "2 processes write it" in text for text in findings(REGION % '  SLICEFLOW_PROCESS("c", produce, 1, data);')
    )
    unused = findings(REGION % '  hls::stream<int, 2> other("other");')
    assert len([text for text in unused if "'other'" in text]) == 2


def test_a_change_of_the_kernel_is_seen() -> None:
    """The rules see through the real sources, not only through snippets."""
    sources = kernel()
    doubled = sources["layer.h"].replace("weight_beats, partials)", "weight_beats, finished)")
    assert len(lint_hls.lint({**sources, "layer.h": doubled})) == 2
