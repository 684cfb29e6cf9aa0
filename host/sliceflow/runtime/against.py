"""Compares a program's outputs with ONNX Runtime's execution of the model it came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.devices.base import Device
from sliceflow.errors import UserError
from sliceflow.graph.program import Program, TransformStep
from sliceflow.onnx_runtime import exact_session
from sliceflow.runtime.cpu import CpuLayers
from sliceflow.runtime.executor import Executor

Array = NDArray[Any]


def compare_with_onnx(
    program: Program, device: Device, inputs: Mapping[str, Array], model: Path | bytes, threads: int | None
) -> list[dict[str, Any]]:
    """Run both, image by image, and compare each output.

    Args:
        program: what the device has loaded.
        device: the device.
        inputs: an array for each input, the batch first.
        model: the quantized model that the program was made from.
        threads: for ONNX Runtime.

    Returns:
        For each output its name, ``max_error``, and whether that is ``in_steps`` of the output's scale or absolute
        (where a CPU layer makes the output).

    Raises:
        UserError: ONNX Runtime cannot run the model, or it has other outputs.
    """
    where = "the given model" if isinstance(model, bytes) else str(model)
    session = exact_session(model, threads, where=where)
    executor = Executor(program, device, CpuLayers(program, threads))
    names = [value.name for value in program.outputs]
    worst = dict.fromkeys(names, 0.0)
    for image in range(len(next(iter(inputs.values())))):
        feed = {name: array[image : image + 1] for name, array in inputs.items()}
        got = executor.run(feed)
        expected = session.run(names, session.typed(feed))
        for name, wanted in zip(names, expected, strict=True):
            if wanted.shape != got[name].shape:
                raise UserError(f"the output {name!r} has another shape there", where=where)
            difference = np.abs(wanted.astype(np.float64) - got[name].astype(np.float64))
            worst[name] = max(worst[name], float(difference.max(initial=0)))
    return [_entry(program, name, error) for name, error in worst.items()]


def _entry(program: Program, name: str, error: float) -> dict[str, Any]:
    for step in program.steps:
        if isinstance(step, TransformStep) and step.direction == "to_host" and step.value == name:
            scale = program.tensors[step.tensor].scale if step.dtype == "float32" else 1.0
            return {"output": name, "max_error": round(error / scale, 6), "in_steps": not program.profile.is_float}
    return {"output": name, "max_error": error, "in_steps": False}
