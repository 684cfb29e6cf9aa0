"""From a float model to a program for a profile, in memory."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.frontend import serialize
from sliceflow.graph.program import Program
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model
from sliceflow.quantization import CalibrationData, QuantizationOptions, quantize
from sliceflow.quantization.quiet import notes_unlogged
from sliceflow.study.naming import named

Images = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Built:
    """A model as a profile takes it.

    Attributes:
        model: the quantized model, an ONNX file; the float one for float profiles.
        program: compiled from it.
        notes: what quantization has to say of this model's ranges.
    """

    model: bytes
    program: Program
    notes: tuple[str, ...] = ()


def build(model: ir.Model, profile: Profile, calibration: Images, name: str) -> Built:
    """Quantize (for integer profiles) and compile.

    Args:
        model: a normalized float model with one input; it is not changed.
        profile: the accelerator.
        calibration: ``[N, ...]``, inputs that resemble what the model will see.
        name: of the model.

    Raises:
        UserError: the model cannot be quantized, or nothing of it can be mapped.
    """
    notes: tuple[str, ...] = ()
    if not profile.is_float:
        options = QuantizationOptions.for_widths(profile.activation_bits, profile.weight_bits, threads=1)
        with notes_unlogged(), named("quantization"):
            result = quantize(model, CalibrationData({input_name(model): calibration}), options)
        model, notes = result.model, result.report.notes
    data = serialize(model, name)
    checksum = hashlib.sha256(data).hexdigest()
    with named("mapping"):
        program = compile_model(model, profile, name=name, source_sha256=checksum)
    return Built(data, program, notes)


def input_name(model: ir.Model) -> str:
    """Name of a model's only input.

    Raises:
        UserError: it has several.
    """
    names = [str(value.name) for value in model.graph.inputs]
    if len(names) != 1:
        raise UserError("only networks with one input can be measured", why=f"the inputs are {', '.join(names)}")
    return names[0]
