"""From a model file to an artifact: what ``quantize``, ``compile`` and ``deploy`` share."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sliceflow.cli import output
from sliceflow.errors import UserError
from sliceflow.graph.artifact import SOURCE_LIMIT, may_be_replaced, save_program
from sliceflow.graph.program import Program, Value
from sliceflow.hardware.profile import Profile

if TYPE_CHECKING:
    import onnx_ir as ir

    from sliceflow.quantization import QuantizationOptions, QuantizationReport

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CalibrationSource:
    """Where calibration samples come from, and how they are prepared.

    Attributes:
        path: file or folder.
        samples: use only the first so many.
        mean, std, scale: a sample becomes ``(x * scale - mean) / std``.
    """

    path: Path
    samples: int | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    scale: float | None = None


def is_quantized(model: ir.Model) -> bool:
    """Whether a model has quantized tensors, static or dynamic."""
    from sliceflow.frontend.forms import quantized_ops

    return bool(quantized_ops(model.graph))


def quantized(
    model: ir.Model, calibration: CalibrationSource, options: QuantizationOptions
) -> tuple[ir.Model, QuantizationReport]:
    """Quantize a float model with calibration data from a file or folder, and compare the two."""
    from sliceflow.quantization import CalibrationData, hold_back, measure_quality, quantize

    data = CalibrationData.load(
        calibration.path,
        list(model.graph.inputs),
        limit=calibration.samples,
        mean=_one_or_all(calibration.mean),
        std=_one_or_all(calibration.std),
        scale=calibration.scale,
    )
    used, held_back = hold_back(data)
    with output.progress("calibration") as report:
        result = quantize(model, used, options, progress=report)
    judged_by = used if held_back is None else held_back
    quality = measure_quality(model, result, judged_by, held_back=held_back is not None, threads=options.threads)
    return result.model, dataclasses.replace(result.report, quality=quality)


def _one_or_all(numbers: Sequence[float] | None) -> Sequence[float] | float | None:
    return numbers[0] if numbers is not None and len(numbers) == 1 else numbers


def integer_options(profile: Profile | None = None, **choices: Any) -> QuantizationOptions:
    """Options of a quantization in which ``auto`` means the integer types that a profile has.

    Args:
        profile: the accelerator; eight bits without one.
        choices: as ``QuantizationOptions.for_widths`` takes them.
    """
    from sliceflow.quantization import QuantizationOptions

    if profile is not None:
        choices |= {"activation_bits": profile.activation_bits, "weight_bits": profile.weight_bits}
    return QuantizationOptions.for_widths(**choices)


def as_if_quantized(model: ir.Model, shapes: dict[str, list[int]] | None, profile: Profile) -> ir.Model:
    """A float model as quantization would leave it, but for the ranges, which come from one random sample.

    Where a node runs does not depend on them.
    """
    from sliceflow.frontend import bind_shapes
    from sliceflow.quantization import CalibrationData, quantize
    from sliceflow.quantization.quiet import notes_unlogged
    from sliceflow.runtime.values import random_inputs

    bound = bind_shapes(model, input_shapes=shapes)
    inputs = [
        Value(
            name=str(value.name),
            shape=tuple(size if isinstance(size, int) else 1 for size in (value.shape or ())),
            dtype=value.dtype.numpy().name if value.dtype is not None else "float32",
        )
        for value in bound.graph.inputs
    ]
    data = CalibrationData(random_inputs(inputs, 1, seed=0))
    with notes_unlogged():  # they are on ranges, which are random
        return quantize(bound, data, integer_options(profile, method="minmax")).model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Build:
    """One way from a model to an artifact.

    Attributes:
        model: the ONNX file.
        profile: name or path of the profile.
        target: folder to make.
        cpu_nodes: nodes that stay on the CPU.
        shapes: shapes of free inputs.
        calibration: samples for a float model on an integer profile.
        options: how to quantize.
        keep_sources: store the models in the artifact, for ``bench``.
        unroll: let the host unroll the kernels of stems where that pays.
    """

    model: Path
    profile: str
    target: Path
    cpu_nodes: Sequence[str] = ()
    shapes: dict[str, list[int]] | None = None
    calibration: CalibrationSource | None = None
    options: QuantizationOptions | None = None
    keep_sources: bool = True
    unroll: bool = True

    def run(self) -> tuple[Program, QuantizationReport | None]:
        """Load, quantize if needed, compile, save.

        Returns:
            The program, and what quantization did if it was needed.

        Raises:
            UserError: the model, the data or the target is at fault.
        """
        from sliceflow.frontend import load_model, notes_of, serialize
        from sliceflow.mapping import compile_model

        profile = Profile.load(self.profile)
        if self.target.exists():
            may_be_replaced(self.target)  # before minutes of work, not after
        model = load_model(self.model, input_shapes=self.shapes)
        sources = self._given(is_quantized(model))
        if "fp32" in sources and notes_of(model):  # the file is in float16, or quantized in a way that was undone
            sources["fp32"] = serialize(model, str(self.model))
        report = None
        if not profile.is_float and not is_quantized(model):
            model, report = self._quantize(model, profile)
            sources["int8"] = serialize(model, str(self.model))
        program = compile_model(
            model,
            profile,
            name=self.model.stem,
            source_sha256=_sha256(self.model),
            cpu_nodes=self.cpu_nodes,
            input_shapes=self.shapes,
            unroll=self.unroll,
        )
        save_program(program, self.target, _small_enough(sources) if self.keep_sources else {})
        return program, report

    def _quantize(self, model: ir.Model, profile: Profile) -> tuple[ir.Model, QuantizationReport]:
        if self.calibration is None:
            raise UserError(
                "the model is not quantized, and there are no samples to quantize it with",
                where=str(self.model),
                why=f"profile {profile.name!r} computes with integers",
                fix="use `sliceflow deploy` with --calibration X.npz, `sliceflow quantize` first, or a float profile",
            )
        return quantized(model, self.calibration, self.options or integer_options(profile))

    def _given(self, already_quantized: bool) -> dict[str, bytes]:
        """The given file, if it is one file and not too large to keep."""
        if not self.keep_sources or self.model.stat().st_size > SOURCE_LIMIT or _has_external_data(self.model):
            logger.info("%s is not kept in the artifact: it is large, or has its weights in other files", self.model)
            return {}
        return {"int8" if already_quantized else "fp32": self.model.read_bytes()}


def _small_enough(sources: dict[str, bytes]) -> dict[str, bytes]:
    for kind, data in sources.items():
        if len(data) > SOURCE_LIMIT:
            logger.info("the %s model (%d bytes) is not kept in the artifact", kind, len(data))
    return {kind: data for kind, data in sources.items() if len(data) <= SOURCE_LIMIT}


def _has_external_data(path: Path) -> bool:
    import onnx

    model: Any = onnx.load(path, load_external_data=False)  # load_model has read it before: it is sound
    return any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
