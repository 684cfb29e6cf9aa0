"""Files around a build: what ``quantize``, ``compile`` and ``deploy`` share."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sliceflow.cli import output
from sliceflow.graph.artifact import SOURCE_LIMIT, may_be_replaced, save_program
from sliceflow.graph.program import Program
from sliceflow.hardware.profile import Profile

if TYPE_CHECKING:
    import onnx_ir as ir

    from sliceflow.quantization import CalibrationData, QuantizationOptions, QuantizationReport

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


def load_calibration(model: ir.Model, source: CalibrationSource) -> CalibrationData:
    """Calibration samples from a file or folder, prepared for a model's inputs."""
    from sliceflow.quantization import CalibrationData

    return CalibrationData.load(
        source.path,
        list(model.graph.inputs),
        limit=source.samples,
        mean=_one_or_all(source.mean),
        std=_one_or_all(source.std),
        scale=source.scale,
    )


def _one_or_all(numbers: Sequence[float] | None) -> Sequence[float] | float | None:
    return numbers[0] if numbers is not None and len(numbers) == 1 else numbers


@dataclasses.dataclass(frozen=True)
class Made:
    """What a build made.

    Attributes:
        program: compiled from the model.
        report: of the quantization, if one was needed.
        notes: on how the file was read.
    """

    program: Program
    report: QuantizationReport | None
    notes: tuple[str, ...]


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

    def run(self) -> Made:
        """Load, quantize if needed, compile, save.

        Raises:
            UserError: the model, the data or the target is at fault.
        """
        from sliceflow.build import (
            Target,
            build,
            is_quantized,
            needs_quantization,
            samples_missing,
            with_own_integers,
        )
        from sliceflow.frontend import load_model, notes_of

        profile = Profile.load(self.profile)
        if self.target.exists():
            may_be_replaced(self.target)  # before minutes of work, not after
        model = load_model(self.model, input_shapes=self.shapes)
        sources = self._given(is_quantized(model))
        if "fp32" in sources and notes_of(model):  # the file is in float16, or quantized in a way that was undone
            sources |= self._kept("fp32", model)
        data, as_given = None, model
        if needs_quantization(model, profile) and self.calibration is not None:
            data = load_calibration(model, self.calibration)
        model = with_own_integers(model, profile, data)
        if needs_quantization(model, profile) and data is None:
            raise samples_missing(profile, where=str(self.model))
        target = Target(
            profile=profile,
            options=self.options,
            cpu_nodes=self.cpu_nodes,
            input_shapes=self.shapes,
            unroll=self.unroll,
        )
        with output.progress("calibration") if data is not None else contextlib.nullcontext() as report:
            built = build(model, target, data, name=self.model.stem, source_sha256=_sha256(self.model), progress=report)
        if self.keep_sources and (built.report is not None or model is not as_given):
            sources |= self._kept("int8", built.model)
        save_program(built.program, self.target, sources)
        return Made(built.program, built.report, notes_of(model))

    def _kept(self, kind: str, model: ir.Model) -> dict[str, bytes]:
        """A model in memory as a file, if it is not too large to keep."""
        from sliceflow.frontend import serialize
        from sliceflow.frontend.write import tensor_bytes

        if tensor_bytes(model) > SOURCE_LIMIT:
            logger.info("the %s model is not kept in the artifact: it is large", kind)
            return {}
        return {kind: serialize(model, str(self.model), source=self.model)}

    def _given(self, already_quantized: bool) -> dict[str, bytes]:
        """The given file, if it is one file and not too large to keep."""
        if not self.keep_sources or self.model.stat().st_size > SOURCE_LIMIT or _has_external_data(self.model):
            logger.info("%s is not kept in the artifact: it is large, or has its weights in other files", self.model)
            return {}
        return {"int8" if already_quantized else "fp32": self.model.read_bytes()}


def _has_external_data(path: Path) -> bool:
    import onnx

    model: Any = onnx.load(path, load_external_data=False)  # load_model has read it before: it is sound
    return any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
