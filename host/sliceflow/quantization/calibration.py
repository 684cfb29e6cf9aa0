"""Runs a float model over calibration data and collects a histogram of each tensor that will be quantized."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.quantization.dataset import CalibrationData
from sliceflow.quantization.histogram import Histogram
from sliceflow.quantization.options import QuantizationOptions
from sliceflow.quantization.sessions import observer, open_model, run

_LOG = logging.getLogger(__name__)
_LARGEST_BATCH = 32

Progress = Callable[[int, int], None]
"""Called with the samples done and the samples in all."""


def collect(
    model: ir.Model,
    names: Sequence[str],
    data: CalibrationData,
    options: QuantizationOptions,
    progress: Progress | None = None,
) -> dict[str, Histogram]:
    """Run the model and count the values of the named tensors.

    Activations are held for one batch at a time. The batch is as large as ``options.batch_megabytes`` allows; if one
    sample is too large already, its tensors are fetched in several runs. A model with a fixed batch keeps it, and its
    last batch is filled up with the first samples.

    Args:
        model: float model; it is not changed.
        names: tensors to observe.
        data: calibration samples, as ``CalibrationData.of`` knows them for this model.
        options: memory bound and threads.
        progress: called after each batch.

    Raises:
        UserError: ONNX Runtime refuses the model, or a tensor holds NaN or
            infinity.
    """
    histograms = {name: Histogram() for name in names}
    if not names:
        return histograms
    with tempfile.TemporaryDirectory(prefix="sliceflow-") as folder:
        session = open_model(observer(model, names), Path(folder), options.threads)
        batch, groups = data.together, [list(names)]
        done = 0
        while done < data.count:
            stop = min(done + (batch or 1), data.count)
            feed = data.batch(done, stop, fill=data.together)
            sizes: dict[str, int] = {}
            for group in groups:
                for name, value in zip(group, run(session, group, feed), strict=True):
                    sizes[name] = value.nbytes
                    _count(histograms[name], name, value, done, stop)
            if batch is None or done == 0:
                batch, groups = _plan(sizes, stop - done, options.batch_megabytes << 20, data.together)
            done = stop
            if progress is not None:
                progress(done, data.count)
    return histograms


def _count(histogram: Histogram, name: str, value: NDArray[np.float32], start: int, stop: int) -> None:
    if not histogram.add(value):
        raise UserError(
            "a tensor holds NaN or infinity during calibration",
            where=f"tensor {name!r}, samples {start}..{stop - 1}",
            why="no range can cover such a value",
            fix="check the model on these samples in float first",
        )


def _plan(sizes: dict[str, int], samples: int, budget: int, fixed: int | None) -> tuple[int, list[list[str]]]:
    """Batch size, and the tensors to fetch together, from the bytes of the first batch."""
    total = sum(sizes.values())
    batch = fixed or max(1, min(_LARGEST_BATCH, budget * samples // max(total, 1)))
    groups: list[list[str]] = [[]]
    held = 0
    for name, size in sizes.items():
        size = size * batch // samples
        if groups[-1] and held + size > budget:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += size
    _LOG.debug("calibration: %d bytes a sample, batches of %d, %d runs each", total // samples, batch, len(groups))
    return batch, groups
