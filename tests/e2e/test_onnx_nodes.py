"""onnx's own generated node tests, for every operator of the accelerator's layers, on reference and csim."""

import dataclasses

import numpy as np
import pytest

from tests.support import onnx_nodes_run
from tests.support.onnx_nodes import OPERATORS, cases
from tests.support.onnx_nodes_run import FORMS, run_case

LEAST_MAPPED = {"float": 74, "qdq": 172}
"""What is mapped today; a smaller number means that the mapper takes less than it did."""


def of(op: str):
    return [case for case in cases() if case.op == op]


@pytest.mark.parametrize("op", OPERATORS)
def test_no_case_of_the_operator_fails(op: str) -> None:
    for case in of(op):
        for form in FORMS:
            outcome = run_case(case, form)
            assert outcome.status != "failed", f"{case.name} as {form}: {outcome.reason}"


@pytest.mark.parametrize("form", FORMS)
def test_as_many_are_mapped_as_before(form: str) -> None:
    mapped = [case for case in cases() if run_case(case, form, devices=()).status == "passed"]
    assert len(mapped) >= LEAST_MAPPED[form]


@pytest.mark.parametrize("form", FORMS)
def test_flipped_weight_bit_is_caught(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(case for case in of("Conv") if case.name == "basic_conv_with_padding")
    honest = onnx_nodes_run._program

    def damaged(*arguments):
        program = honest(*arguments)
        weights = program.weights.copy()
        weights[int(np.flatnonzero(weights)[-1])] ^= 0x40
        return dataclasses.replace(program, weights=weights)

    assert run_case(case, form).status == "passed"
    monkeypatch.setattr(onnx_nodes_run, "_program", damaged)
    for device in onnx_nodes_run.DEVICES:
        assert run_case(case, form, [device]).status == "failed"


def test_a_wrong_expectation_is_caught() -> None:
    case = of("Relu")[0]
    wrong = dataclasses.replace(case, expected=case.expected + np.float32(0.01))
    assert run_case(wrong, "float").status == "failed"
