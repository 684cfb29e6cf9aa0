"""A trained network in other widths, end to end: quantize, compile, csim, against the reference and ONNX Runtime."""

from __future__ import annotations

import pytest

from models.data import Split, mnist5k
from scripts.figures.widths import measure
from sliceflow.errors import UserError


@pytest.fixture(scope="module")
def digits() -> Split:
    try:
        return mnist5k()
    except UserError as error:
        pytest.skip(error.what)


@pytest.mark.parametrize(
    ("profile", "activations", "weights"), [("w4a8-8x8", 8, 4), ("w8a16-8x8", 16, 8), ("int8-4x8", 8, 8)]
)
def test_digits_are_recognized_in_every_width(profile: str, activations: int, weights: int, digits: Split) -> None:
    found = measure(profile, digits, images=200, verified=2)
    assert (found["activations"], found["weights"], found["cpu_layers"]) == (activations, weights, 0)
    assert found["integers_compared"] > 50_000
    assert found["integers_differing"] == 0
    assert found["top1_csim"] > 0.96
    assert found["same_answers"] == 1
    # One step at rounding ties in eight bits; float32 sums are no finer than steps of sixteen bits.
    assert found["largest_steps"] <= (8 if activations == 16 else 1.01)
