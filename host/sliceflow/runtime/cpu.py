"""CPU layers: sub-models that ONNX Runtime executes, exactly as their graphs say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.graph.program import CpuStep, Program
from sliceflow.onnx_runtime import Level, exact_session


class CpuLayers:
    """The sub-models of a program, ready to run. Safe to use from several threads.

    Args:
        program: the program.
        threads: threads within an operator; all cores if omitted.

    Raises:
        UserError: ONNX Runtime is missing or refuses a sub-model.
    """

    def __init__(self, program: Program, threads: int | None) -> None:
        layers = {step.model: step.layer for step in program.steps if isinstance(step, CpuStep)}
        level: Level = "all" if program.profile.is_float else "extended"  # what follows rounds to integers
        self._sessions = {
            key: exact_session(model, threads, where=f"CPU layer {layers[key]!r}", level=level)
            for key, model in program.cpu_models.items()
        }

    def run(self, step: CpuStep, values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Execute a step on host values.

        Raises:
            UserError: ONNX Runtime fails.
        """
        feed = {name: values[name] for name in step.inputs}
        results = self._sessions[step.model].run(step.outputs, feed)
        return {name: np.asarray(result) for name, result in zip(step.outputs, results, strict=True)}
