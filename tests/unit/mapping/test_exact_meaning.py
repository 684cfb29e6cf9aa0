"""A few of the networks of ``scripts/figures/exact_meaning.py``."""

import pytest

from scripts.figures.exact_meaning import broken, summary
from tests.support.exact_networks import examine


@pytest.mark.parametrize("first", range(0, 30, 10))
def test_networks_keep_to_their_meaning(first: int) -> None:
    results = [examine(seed, "reference") for seed in range(first, first + 10)]
    assert not [found for found in results if broken(found)]
    figures = summary(results)
    assert figures["nothing_mapped"] < 5
    assert figures["with_cpu_layers"] > 3
    assert figures["values"] > 10_000
