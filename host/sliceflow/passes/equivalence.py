"""Whether two models compute the same, by running both."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.onnx_runtime import OnnxSession, exact_session

logger = logging.getLogger(__name__)

_LARGE = 1 << 16
"""Bytes from which on a tensor is handed over in memory."""
_PART = 1 << 18
"""Values that are compared at a time, so that they stay in the cache."""
_OPEN_SIZES = (64, 224, 32, 16, 8)
"""Sizes to try for dimensions that the model leaves open, except the batch."""


def largest_difference(before: ir.Model | bytes | Path, after: ir.Model, *, seed: int = 0) -> float | None:
    """Run two models on the same random input, in ONNX Runtime.

    Args:
        before: the model to compare with.
        after: the model in question; its inputs say what is fed.
        seed: of the inputs.

    Returns:
        The largest difference of an output element, as a share of the largest element of that output; infinite if
        shapes, types or integers differ. None if the first model cannot be run.
    """
    feed, expected = _expected(before, after, seed)
    if expected is None:
        return None
    found = _Runner(after).run(feed)
    if found is None or len(found) != len(expected):
        return float("inf")
    return max((_difference(a, b) for a, b in zip(expected, found, strict=True)), default=0.0)


def _expected(
    before: ir.Model | bytes | Path, after: ir.Model, seed: int
) -> tuple[dict[str, NDArray[Any]], list[NDArray[Any]] | None]:
    """A feed that the first model takes, and its outputs; the session, which may be large, goes."""
    reference = _Runner(before)
    for size in _OPEN_SIZES:
        feed = random_feed(after, seed, size)
        expected = reference.run(feed) if feed is not None else None
        if feed is not None and expected is not None:
            return feed, expected
    return {}, None


def random_feed(model: ir.Model, seed: int, open_size: int) -> dict[str, NDArray[Any]] | None:
    """Random values for the inputs, batch 1: normally distributed numbers, small integers.

    Args:
        model: the model.
        seed: of the values.
        open_size: for dimensions that are not fixed, the first excepted.

    Returns:
        Values by name; None if an input is no tensor of numbers with a known rank.
    """
    rng = np.random.default_rng(seed)
    feed: dict[str, NDArray[Any]] = {}
    for value in model.graph.inputs:
        if value.shape is None or value.dtype is None or value.dtype == ir.DataType.STRING:
            return None
        sizes = [d if isinstance(d, int) else open_size if i else 1 for i, d in enumerate(value.shape)]
        kind = value.dtype.numpy()
        whole = np.dtype(kind).kind in "iub"
        normal = np.float64 if kind == np.float64 else np.float32  # float32 takes half of the memory
        drawn = rng.integers(0, 2, sizes) if whole else rng.standard_normal(sizes, normal)
        feed[str(value.name)] = drawn.astype(kind, copy=False)
    return feed


class _Runner:
    """A session without graph rewrites of its own, or none if the model is refused."""

    def __init__(self, model: ir.Model | bytes | Path) -> None:
        self._session: OnnxSession | None = None
        try:
            source, weights = _detached(model) if isinstance(model, ir.Model) else (model, {})
            self._session = exact_session(source, where="a model to compare", level="none", weights=weights)
        except Exception as error:  # protobuf has no base class for its errors
            logger.info("ONNX Runtime cannot load the model: %s", error)

    def run(self, feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]] | None:
        """All outputs; None if the model does not run."""
        if self._session is None:
            return None
        try:
            return [np.asarray(array) for array in self._session.run(None, feed)]
        except UserError as error:
            logger.info("ONNX Runtime cannot run the model: %s", error)
            return None


def _detached(model: ir.Model) -> tuple[bytes, dict[str, NDArray[Any]]]:
    """A model as a message without its large weights, which a message may not be able to hold, and these."""
    copy, weights = model.clone(), dict[str, NDArray[Any]]()
    for name, value in copy.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or tensor.nbytes < _LARGE:
            continue
        array = tensor.numpy()
        if array.dtype.kind in "fiub" and array.nbytes == tensor.nbytes:
            weights[name] = np.ascontiguousarray(array)
            place = ir.ExternalTensor("memory", 0, tensor.nbytes, tensor.dtype, shape=ir.Shape(array.shape), name=name)
            value.const_value = place
    return ir.to_proto(copy).SerializeToString(), weights


def _difference(expected: NDArray[Any], found: NDArray[Any]) -> float:
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return float("inf")
    if expected.dtype.kind != "f":
        return 0.0 if np.array_equal(expected, found) else float("inf")
    largest = off = 0.0
    for start in range(0, expected.size, _PART):
        a, b = (array.reshape(-1)[start : start + _PART].astype(np.float64) for array in (expected, found))
        finite = np.isfinite(a)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return float("inf")
        largest = max(largest, float(np.abs(a[finite]).max(initial=0.0)))
        off = max(off, float(np.abs(a[finite] - b[finite]).max(initial=0.0)))
    return off / largest if largest > 0 else (float("inf") if off > 0 else 0.0)
