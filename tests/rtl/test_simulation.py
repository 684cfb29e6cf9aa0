"""The runner itself: what passes, what fails, and what a failure says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rtl.support.simulation import closure, simulate

COUNTER = """
module counter #(parameter int WIDTH = 8) (input logic clk_i, input logic rst_i, output logic [WIDTH-1:0] count_o);
  always_ff @(posedge clk_i) count_o <= rst_i ? '0 : count_o + WIDTH'(1);
endmodule
"""
MODULE = "tests.rtl.cocotb_counter"


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    source = tmp_path / "counter.sv"
    source.write_text(COUNTER, encoding="ascii")
    return source


@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
def test_parameters_reach_the_module(counter: Path, simulator: str) -> None:
    for width, expected in ((8, 10), (3, 2)):
        done = simulate(
            "counter",
            MODULE,
            {"WIDTH": width},
            sources=[counter],
            simulator=simulator,
            tests=["counts"],
            environment={"EXPECTED": str(expected)},
        )
        assert done.tests == ("counts",)


def failure(counter: Path, **options) -> str:
    with pytest.raises(pytest.fail.Exception) as caught:
        simulate("counter", MODULE, {"WIDTH": 8}, sources=[counter], **options)
    return str(caught.value)


def test_a_failing_test_says_what_and_with_which_seed(counter: Path) -> None:
    text = failure(counter, tests=["counts"], environment={"EXPECTED": "11"}, seed=4711)
    assert f"{MODULE} on counter(WIDTH=8) on verilator, seed 4711" in text
    assert "counts: counted 10" in text


def test_a_simulation_without_end_is_killed(counter: Path) -> None:
    assert "killed after 3 seconds" in failure(counter, tests=["waits_for_ever"], timeout=3)


def test_no_test_is_a_failure(counter: Path) -> None:
    assert "no test ran" in failure(counter, tests=["misspelt"])


def test_code_that_does_not_compile_is_shown(counter: Path) -> None:
    counter.write_text(COUNTER.replace("endmodule", "assign nothing[1] = unknown;\nendmodule"), encoding="ascii")
    assert "does not build" in failure(counter)


def test_what_a_module_uses_comes_before_it(tmp_path: Path) -> None:
    (tmp_path / "a_user.sv").write_text("module a_user import z_pkg::*; (); m_part i(); endmodule // not_used\n")
    (tmp_path / "m_part.sv").write_text("module m_part import z_pkg::*; (); endmodule\n")
    (tmp_path / "z_pkg.sv").write_text("package z_pkg; endpackage\n")
    (tmp_path / "not_used.sv").write_text("module not_used (); endmodule\n")
    found = closure("a_user", sorted(tmp_path.glob("*.sv")))
    assert [path.stem for path in found] == ["z_pkg", "m_part", "a_user"]
