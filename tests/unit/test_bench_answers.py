"""What the timed int8 answers are worth, where they are no numbers too."""

import dataclasses
import json

import numpy as np
import pytest

from sliceflow.bench import answers
from sliceflow.bench.answers import compare_answers
from tests.support.models import Graph


def test_infinities_and_nan_leave_a_document_without_them():
    """0 * inf and log(0): the same on both sides, so no difference."""
    g = Graph(0)
    x = g.quantize(g.input("N", 4), scale=0.1, zero=0)
    logarithm = g.node("Log", x)
    model = g.model(logarithm, g.node("Mul", logarithm, x), x).SerializeToString()
    images = [{"x": np.array([[0, 0.2, 0.5, 1]], np.float32)}]
    found = compare_answers({"int8": model, "fp32": model}, images, None, 1)
    assert (found.max_error, found.sqnr_db, found.differ, found.exact_db) == (0, None, False, None)
    json.dumps(dataclasses.asdict(found), allow_nan=False)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_no_number_on_one_side_only_is_the_worst_difference(wrong):
    right = [np.array([[1.0, 2.0, np.inf]])]
    found = answers._ratio(right, [np.array([[1.0, wrong, np.inf]])])
    assert found < -100
    assert np.isfinite(found)
