"""Simplification changes no output, and leaves nothing that it could remove."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sliceflow.frontend import load_model
from sliceflow.passes.channels import Closure, needed
from sliceflow.passes.merge_constants import MergeConstants
from sliceflow.passes.propagate_constants import PropagateConstants
from sliceflow.passes.simplify import SimplifyOptions, simplify
from tests.support.models import random_feeds, run_model
from tests.support.pruned_networks import random_pruned, small_pruned
from tests.support.pruning_oracle import fewest_kept


def simplified(model: onnx.ModelProto) -> ir.Model:
    result = load_model(model)
    simplify(result, SimplifyOptions(check=False))
    return result


def assert_exact(
    before: onnx.ModelProto, after: ir.Model, sizes: tuple[int, ...], seed: int, limit: float = 1e-5
) -> None:
    for size in sizes:
        feeds = random_feeds(before, 2, seed, open_size=size)
        for expected, found in zip(run_model(before, feeds), run_model(after, feeds), strict=True):
            assert expected.shape == found.shape
            difference = np.abs(expected - found).max() / np.abs(expected).max()
            assert difference <= limit, f"seed {seed}, size {size}: {difference}"


@pytest.mark.parametrize("seed", range(60))
def test_random_networks_of_any_size(seed):
    model = random_pruned(seed, None)
    after = simplified(model)
    assert_exact(model, after, (16, 24), seed)


@pytest.mark.parametrize("seed", range(100, 140))
def test_random_networks_of_one_size(seed):
    model = random_pruned(seed, 12)
    after = simplified(model)
    assert_exact(model, after, (12,), seed)


@pytest.mark.parametrize("seed", range(200, 230))
def test_random_networks_with_scatter_and_multiples(seed):
    model = random_pruned(seed, None)
    after = load_model(model)
    simplify(after, SimplifyOptions(check=False, scatter=float(seed % 3), multiple=1 + seed % 4))
    assert_exact(model, after, (16, 24), seed)


@pytest.mark.parametrize("seed", range(80))
def test_all_that_a_union_permits_is_gone(seed):
    network, model = small_pruned(seed)
    must, more = fewest_kept(network, model)
    result = load_model(model)
    for step in (PropagateConstants(), MergeConstants()):
        step(result)
    keep = Closure(result.graph, needed(result.graph)).keep
    kept: dict[int, set[bool]] = {}
    values = {value.name: mask for value, mask in keep.items()}
    for layer in network.layers:
        for number, stays in zip(layer.classes, values.get(layer.output, ()), strict=layer.output in values):
            kept.setdefault(network.find(number), set()).add(bool(stays))
    assert all(len(stays) == 1 for stays in kept.values()), f"seed {seed}: a class is torn apart"
    stay = {number for number, stays in kept.items() if True in stays}
    assert stay >= must & set(kept), f"seed {seed}: too much is gone"
    assert len(stay - must) == more, f"seed {seed}: {sorted(stay - must)} stay; {more} would do"
