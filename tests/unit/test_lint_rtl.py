"""The lint of the SystemVerilog: it accepts the kernel, and each of its rules refuses something."""

from __future__ import annotations

import pytest

pytest.importorskip("pyslang", reason="needs the extra 'rtl'")

from scripts import lint_rtl
from sliceflow.devices.rtl.verilator import find_verilator
from sliceflow.hardware.kernel import TOP

GOOD = """module good #(parameter int unsigned BITS = 4) (
  input logic clk_i, input logic [BITS-1:0] a_i, output logic [BITS-1:0] q_o
);
  always_ff @(posedge clk_i) q_o <= a_i;
endmodule
"""


def write(folder, text, name="good.sv"):
    path = folder / name
    path.write_text(text, encoding="ascii")
    return [path]


def tools(folder, text, *, synthesis=False):
    """What Verilator and slang say of a small module."""
    files = write(folder, text)
    configuration = lint_rtl.Configuration(name="test", parameters={"BITS": 3}, synthesis=synthesis)
    return {
        "verilator": lint_rtl.lint_verilator(find_verilator(), files, "good", configuration),
        "slang": lint_rtl.lint_slang(files, "good", configuration),
    }


def test_the_kernel_has_good_names():
    files = lint_rtl.kernel_files()
    assert [path.stem for path in files[:2]] == ["descriptor_pkg", "kernel_pkg"]
    assert {"mul", "pad", "pool", TOP} <= {path.stem for path in files}
    assert lint_rtl.lint_names(files) == []


def test_slang_accepts_the_kernel():
    entry = next(entry for entry in lint_rtl.configurations() if entry.name == "all options")
    assert lint_rtl.lint_slang(lint_rtl.kernel_files(), TOP, entry) == ""


def test_a_good_module_is_accepted(tmp_path):
    assert lint_rtl.lint_names(write(tmp_path, GOOD)) == []
    assert tools(tmp_path, GOOD) == {"verilator": "", "slang": ""}


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("other.sv", GOOD, "called other, not good"),
        ("good.sv", GOOD + "module second; endmodule\n", "not good, second"),
        ("good.sv", GOOD.replace("a_i", "a_o"), "port a_o must end in _i"),
        ("good.sv", GOOD.replace("q_o", "q"), "port q must end in _o"),
        ("good.sv", GOOD.replace("output logic", "inout wire"), "port q_o must say input or output"),
        (f"{TOP}.sv", GOOD.replace("good", TOP), "port clk_i is none of AXI or Vitis"),
    ],
)
def test_names_that_are_refused(tmp_path, name, text, problem):
    assert any(problem in finding for finding in lint_rtl.lint_names(write(tmp_path, text, name)))


@pytest.mark.parametrize(
    ("tool", "text", "problem"),
    [
        ("verilator", GOOD.replace("<= a_i", "<= a_i[1:0]"), "WIDTHEXPAND"),
        ("verilator", GOOD.replace("BITS = 4", "BITS = 4, parameter int UNUSED = 1"), "UNUSEDPARAM"),
        (
            "slang",
            GOOD.replace("<= a_i", "<= later").replace("endmodule", "wire [2:0] later = a_i;\nendmodule"),
            "later",
        ),
        ("slang", GOOD.replace("always_ff @(posedge clk_i)", "always_comb if (clk_i)").replace("<=", "="), "latch"),
        ("slang", GOOD.replace("endmodule", "assign q_o = a_i;\nendmodule"), "q_o"),
    ],
)
def test_designs_that_are_refused(tmp_path, tool, text, problem):
    assert problem in tools(tmp_path, text)[tool]


def test_both_forms_of_the_multiplier_array_are_seen(tmp_path):
    text = GOOD.replace("<= a_i", "<= missing")
    for define, synthesis in (("`ifdef VERILATOR", False), ("`ifndef VERILATOR", True)):
        hidden = f"{define}\n{text}`else\n{GOOD}`endif\n"
        assert all("missing" in said for said in tools(tmp_path, hidden, synthesis=synthesis).values())
        assert not any(tools(tmp_path, hidden, synthesis=not synthesis).values())
