"""The script that synthesizes the kernel: what it counts, once for each instance, and what it refuses."""

from __future__ import annotations

import pytest

from scripts.figures import synthesis
from sliceflow.errors import UserError

DESIGN = """module leaf(input logic clk_i, input logic signed [7:0] a_i, b_i, output logic signed [15:0] q_o);
  always_ff @(posedge clk_i) q_o <= 16'(a_i) * 16'(b_i);
endmodule
module top_of_two(input logic clk_i, input logic [31:0] a_i, output logic [31:0] q_o);
  leaf i_low(.clk_i, .a_i(a_i[7:0]), .b_i(a_i[15:8]), .q_o(q_o[15:0]));
  leaf i_high(.clk_i, .a_i(a_i[23:16]), .b_i(a_i[31:24]), .q_o(q_o[31:16]));
endmodule
module loops(input logic a_i, input logic [1:0] b_i, output logic q_o, output logic held_o);
  logic first, second;
  assign first = second ^ a_i;
  assign second = first & b_i[0];
  assign q_o = second;
  always_latch if (b_i[1]) held_o = a_i;
endmodule
"""


def result(**changes):
    base = {"run": "int8-8x8", "problems": [], "totals": synthesis.groups({"DSP48E2": 292})}
    return base | changes


def test_modules_are_counted_once_for_each_instance():
    statistics = {
        "modules": {
            "\\top": {"num_cells_by_type": {"LUT2": 1, "part$top.a": 1, "part$top.b": 2}},
            "\\part$top.a": {"num_cells_by_type": {"LUT2": 10, "FDRE": 4}},
            "\\part$top.b": {"num_cells_by_type": {"LUT3": 100, "leaf": 3}},
            "\\leaf": {"num_cells_by_type": {"FDSE": 1}},
            "\\unused": {"num_cells_by_type": {"LUT6": 1}},
        }
    }
    assert synthesis.by_module(statistics, "top") == {
        "leaf": {"instances": 6, "cells": {"FDSE": 6}},
        "part": {"instances": 3, "cells": {"FDRE": 4, "LUT2": 10, "LUT3": 200}},
        "top": {"instances": 1, "cells": {"LUT2": 1}},
    }


def test_kinds_of_cells():
    totals = synthesis.groups({"LUT1": 1, "LUT6": 2, "FDRE": 3, "FDSE": 4, "RAM32M16": 2, "RAM64X1D": 1, "LDCE": 5})
    assert (totals["lut"], totals["ff"], totals["ram_lut"], totals["latch"]) == (3, 7, 18, 5)


def test_runs_name_profiles_and_options():
    for run in synthesis.RUNS:
        assert synthesis.parameters_of(run)["CPI"] >= 2
    assert synthesis.parameters_of("int8-8x8+PACK=0+LUT_TAPS=3")["LUT_TAPS"] == 3
    with pytest.raises(UserError, match="no option 'CPI'"):
        synthesis.parameters_of("int8-8x8+CPI=4")


def test_what_must_not_be():
    assert synthesis.problems_of(result()) == []
    assert "301 DSP48E2" in synthesis.problems_of(result(totals=synthesis.groups({"DSP48E2": 301})))[0]
    assert "1 latches" in synthesis.problems_of(result(totals=synthesis.groups({"LDCE": 1})))[0]
    assert synthesis.problems_of(result(problems=["Warning: a loop"])) == ["int8-8x8: Warning: a loop"]


def test_yosys_counts_a_small_design(tmp_path):
    pytest.importorskip("pyosys", reason="needs the extra 'synthesis'")
    path = tmp_path / "design.sv"
    path.write_text(DESIGN, encoding="ascii")
    good = synthesis.synthesize([path], "top_of_two", {})
    assert good["problems"] == []
    modules = synthesis.by_module(good["statistics"], "top_of_two")
    assert (modules["leaf"]["instances"], modules["leaf"]["cells"]["DSP48E2"]) == (2, 2)
    bad = synthesis.synthesize([path], "loops", {})
    assert any("loop" in problem for problem in bad["problems"])
    assert synthesis.groups(synthesis.by_module(bad["statistics"], "loops")["loops"]["cells"])["latch"] == 1
