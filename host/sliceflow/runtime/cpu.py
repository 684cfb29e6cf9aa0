"""CPU layers: sub-models that ONNX Runtime executes. The only place of the runtime that imports it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.graph.program import CpuStep, Program


def ort_session(model: bytes | str, threads: int | None, *, where: str) -> Any:
    """An ONNX Runtime session on the CPU.

    Args:
        model: serialized model, or its path.
        threads: threads within an operator; all cores if omitted.
        where: for messages.

    Raises:
        UserError: ONNX Runtime is missing or refuses the model.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            "ONNX Runtime is missing", where=where, why="it executes the CPU layers", fix="pip install onnxruntime"
        ) from error
    refusals = []
    # Some versions turn a valid pair of quantizers into an invalid one (MaxPool between int8 pairs, opset 21): what is
    # refused is tried again without that rewrite.
    for rewrite in (True, False):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        if not rewrite:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has one class for each status and no base below Exception
            refusals.append(error)
    raise UserError("ONNX Runtime refuses the model", where=where, why=told_by(refusals[0])) from refusals[0]


def fed_to(session: Any, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """A feed for a program in the types that the model it came from declares: float16 or float64 for our float32."""
    floats = {"tensor(float16)": np.float16, "tensor(double)": np.float64}
    wanted = {value.name: floats.get(value.type) for value in session.get_inputs()}
    return {
        name: array if wanted.get(name) is None or array.dtype.kind != "f" else array.astype(wanted[name])
        for name, array in feed.items()
    }


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
        self._sessions = {
            key: ort_session(model, threads, where=f"CPU layer {layers[key]!r}")
            for key, model in program.cpu_models.items()
        }

    def run(self, step: CpuStep, values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Execute a step on host values.

        Raises:
            UserError: ONNX Runtime fails.
        """
        where = f"CPU layer {step.layer!r}"
        feed = {name: values[name] for name in step.inputs}
        try:
            results = self._sessions[step.model].run(list(step.outputs), feed)
        except Exception as error:  # see ort_session
            raise UserError("ONNX Runtime cannot run the layer", where=where, why=told_by(error)) from error
        return {name: np.asarray(result) for name, result in zip(step.outputs, results, strict=True)}


def told_by(error: Exception) -> str:
    """What ONNX Runtime says, on one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
