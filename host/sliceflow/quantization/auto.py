"""Chooses the method that finds the ranges by what each of them makes of the model's outputs.

No method is best for all networks (docs/benchmarks/calibration_methods.md), and the error of a tensor does not say what
the layers behind it make of it: rounding errors average out in sums of many products, clipped values do not. Errors at
the layer that reads a tensor proved to be no better guide: the layers behind it count as well. So each candidate is
tried as a whole, on a few calibration samples, with weights left float, since their error is the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.quantization.comparison import Comparison, comparable
from sliceflow.quantization.dataset import CalibrationData
from sliceflow.quantization.options import QuantizationOptions
from sliceflow.quantization.placement import place
from sliceflow.quantization.rewrite import Rewriter
from sliceflow.quantization.scales import Affine

CANDIDATES = ("mse", "minmax", "percentile")
"""Methods that are tried; of equals the first is taken."""
_FEWEST = 4


def choose(
    model: ir.Model, data: CalibrationData, options: QuantizationOptions, candidates: Sequence[Mapping[str, Affine]]
) -> int:
    """Index of the candidate with the least relative error power, summed over the outputs; of equals the first.

    Args:
        model: float model; it is not changed.
        data: calibration samples; 4 to 64 of them are used.
        options: which nodes stay float; threads.
        candidates: for each, the scale of each group of tensors that share one, by the name of its leader.

    Raises:
        UserError: ONNX Runtime cannot run the model.
    """
    comparison = Comparison(model)
    for candidate in candidates:
        draft = model.clone()
        placement = place(draft.graph, options.exclude)
        leaders = {placement.groups.leader(value) for value in placement.points}
        Rewriter(draft.graph, placement, {leader: candidate[str(leader.name)] for leader in leaders}).add_points()
        comparison.add_whole(draft)
    signal = np.zeros(len(comparison.outputs))
    noise = np.zeros((len(candidates), len(comparison.outputs)))

    def receive(index: int, exact: list[NDArray[Any]], found: list[NDArray[Any]]) -> None:
        for output, (one, other) in enumerate(zip(exact, found, strict=True)):
            if one.shape == other.shape and one.dtype.kind == "f":
                with np.errstate(invalid="ignore"):
                    error = np.square(one.astype(np.float64) - other)
                signal[output] += float(np.square(one[np.isfinite(one)].astype(np.float64)).sum())
                noise[index, output] += float(error[np.isfinite(one)].sum())

    data, batch = comparable(model, data, fewest=_FEWEST)
    comparison.run(data, batch=batch, threads=options.threads, receive=receive)
    relative = np.divide(noise, signal, out=np.zeros_like(noise), where=signal > 0).sum(axis=1)
    return int(np.argmin(np.nan_to_num(relative, nan=np.inf)))
