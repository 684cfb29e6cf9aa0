"""From a float model with one input to what a profile takes, in memory."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.build import Target, quantize_for
from sliceflow.errors import UserError
from sliceflow.frontend import serialize
from sliceflow.graph.program import Program
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import map_model, pack
from sliceflow.quantization import CalibrationData, QuantizationOptions
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
    if profile.is_float:
        mapped = map_model(model, profile)
    else:
        options = QuantizationOptions.for_widths(profile.activation_bits, profile.weight_bits, threads=1)
        target = Target(profile=profile, options=options)
        with notes_unlogged(), named("quantization and mapping"):
            samples = CalibrationData({input_name(model): calibration})
            result, mapped = quantize_for(model, target, samples, compared=False)
        model, notes = result.model, result.report.notes
    data = serialize(model, name)
    with named("mapping"):
        program = pack(mapped, profile, name=name, source_sha256=hashlib.sha256(data).hexdigest())
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
