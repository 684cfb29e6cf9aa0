"""The one way from a model to a program: decide what runs where, quantize that, map it.

Only what runs on the accelerator is quantized. What runs there is decided first, on the model as quantization would
leave it, with numbers that mean nothing (``quantization.neutral``): what the mapper sends to the CPU gets no
quantization points, which can change what else maps, so this is repeated until nothing changes. The same decision is
what ``check`` reports; it needs no samples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.frontend import notes_of
from sliceflow.frontend.forms import quantized_ops
from sliceflow.graph.program import Program
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import Finding, Mapped, findings, map_model, nothing_mapped, pack, refusals_of
from sliceflow.mapping.compiler import ASKED
from sliceflow.mapping.plan import Refusal
from sliceflow.quantization import (
    CalibrationData,
    QuantizationOptions,
    QuantizationReport,
    QuantizationResult,
    hold_back,
    integer_network,
    measure_quality,
    quantize,
    quantize_neutrally,
)
from sliceflow.quantization.calibration import Progress

_JOINED = Refusal("only the CPU reads it, and there each of its parts keeps a scale of its own", "")
_EXCLUDED = Refusal("you left it in float (--exclude)", "leave out --exclude")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """What a model is built for.

    Attributes:
        profile: the accelerator.
        options: how a float model is quantized for an integer profile; if None, to the integers that the profile has.
        cpu_nodes: names of nodes that stay on the CPU.
        input_shapes: shapes for dynamic inputs.
        unroll: let the host unroll the kernels of stems where that pays.
    """

    profile: Profile
    options: QuantizationOptions | None = None
    cpu_nodes: Collection[str] = ()
    input_shapes: Mapping[str, Sequence[int]] | None = None
    unroll: bool = True

    @property
    def quantization(self) -> QuantizationOptions:
        """The options of a quantization for this target."""
        return self.options or integer_options(self.profile)


@dataclasses.dataclass(frozen=True)
class Built:
    """A model as its target takes it.

    Attributes:
        model: quantized, if the target asks for it; as it was given otherwise.
        program: compiled from it.
        report: of the quantization, if there was one.
    """

    model: ir.Model
    program: Program
    report: QuantizationReport | None


def integer_options(profile: Profile | None = None, **choices: Any) -> QuantizationOptions:
    """Options of a quantization in which ``auto`` means the integer types that a profile has.

    Args:
        profile: the accelerator; eight bits without one.
        choices: as ``QuantizationOptions.for_widths`` takes them.
    """
    if profile is not None:
        choices |= {"activation_bits": profile.activation_bits, "weight_bits": profile.weight_bits}
    return QuantizationOptions.for_widths(**choices)


def is_quantized(model: ir.Model) -> bool:
    """Whether a model has quantized tensors, static or dynamic."""
    return bool(quantized_ops(model.graph))


def needs_quantization(model: ir.Model, profile: Profile) -> bool:
    """Whether a model has to be quantized before a profile can take it."""
    return not profile.is_float and not is_quantized(model)


def with_own_integers(model: ir.Model, profile: Profile, samples: CalibrationData | None = None) -> ir.Model:
    """The model, or, if it is an exported integer network for an integer profile, the same with its integers.

    See ``sliceflow.quantization.integer_network``. All functions here do this first.
    """
    return model if profile.is_float else integer_network.with_own_integers(model, profile.activation_bits, samples)


def preview(model: ir.Model, target: Target) -> Mapped:
    """A model mapped as ``build`` will map it, without samples; the numbers in the layers mean nothing.

    Args:
        model: from ``sliceflow.frontend.load_model``; it is not changed.
        target: what it is for.

    Raises:
        UserError: the model cannot be taken at all.
    """
    model = with_own_integers(model, target.profile)
    if not needs_quantization(model, target.profile):
        return _mapped(model, target, target.cpu_nodes)
    return _placed(model, target, _asked(model, target))[0]


def check(model: ir.Model, target: Target) -> tuple[list[Finding], int]:
    """Every node that will not run on the accelerator, and the multiply-accumulates that will; see ``preview``."""
    mapped = preview(model, target)
    return findings(mapped), mapped.fpga_macs


def quantize_for(
    model: ir.Model,
    target: Target,
    calibration: CalibrationData,
    *,
    compared: bool = True,
    progress: Progress | None = None,
) -> tuple[QuantizationResult, Mapped]:
    """Quantize what of a float model runs on the accelerator, and map the result.

    Args:
        model: a normalized float model; it is not changed.
        target: what it is for, with an integer profile.
        calibration: samples that resemble what the model will see.
        compared: compare the result with the float model, on samples that calibration does not see if there are enough.
        progress: see ``sliceflow.quantization.quantize``.

    Raises:
        UserError: nothing can run on the accelerator, or the model or the samples cannot be taken at all.
    """
    if target.profile.is_float:
        raise UserError(
            f"profile {target.profile.name!r} computes in floating point, so nothing is quantized for it",
            fix="choose an integer profile with --profile, or compile the model as it is",
        )
    exported = with_own_integers(model, target.profile, calibration)
    if exported is not model:
        report = _report_of(exported, target)
        return QuantizationResult(exported, report, ()), _mapped(exported, target, target.cpu_nodes)
    refusals = _asked(model, target)
    calibration = calibration.of(model)
    used, held_back = hold_back(calibration) if compared else (calibration, None)
    while True:
        placed, refusals = _placed(model, target, refusals)
        if placed.lowered is None:
            raise nothing_mapped(placed, target.profile)
        result = quantize(model, used, target.quantization, cpu_nodes=refusals, progress=progress)
        mapped = _mapped(result.model, target, refusals, keep_islands=True)
        late = _refused(mapped, refusals)  # only numbers beyond all measure, such as scales 2^31 apart
        if not late:
            break
        refusals |= late
    if compared:
        judge = used if held_back is None else held_back
        threads = target.quantization.threads
        quality = measure_quality(model, result, judge, held_back=held_back is not None, threads=threads)
        result = dataclasses.replace(result, report=dataclasses.replace(result.report, quality=quality))
    return result, mapped


def build(
    model: ir.Model,
    target: Target,
    calibration: CalibrationData | None = None,
    *,
    name: str,
    source_sha256: str = "",
    progress: Progress | None = None,
) -> Built:
    """Quantize a model if its target asks for it, and compile it.

    Args:
        model: from ``sliceflow.frontend.load_model``; it is not changed.
        target: what it is for.
        calibration: samples, for a float model on an integer profile.
        name: of the model.
        source_sha256: checksum of the file it came from.
        progress: see ``sliceflow.quantization.quantize``.

    Raises:
        UserError: samples are missing or do not fit, nothing can run on the accelerator, or the model cannot be taken
            at all.
    """
    report, model = None, with_own_integers(model, target.profile, calibration)
    if not needs_quantization(model, target.profile):
        mapped = _mapped(model, target, target.cpu_nodes)
    elif calibration is None:
        raise samples_missing(target.profile, where=name)
    else:
        result, mapped = quantize_for(model, target, calibration, progress=progress)
        model, report = result.model, result.report
    return Built(model, pack(mapped, target.profile, name=name, source_sha256=source_sha256), report)


def _report_of(exported: ir.Model, target: Target) -> QuantizationReport:
    """What became of a network whose integers were taken from its file."""
    return QuantizationReport(
        options=target.quantization,
        method="none: the file's own integers",
        samples=0,
        tensors=(),
        layers=(),
        float_nodes=(),
        notes=notes_of(exported),
    )


def samples_missing(profile: Profile, *, where: str) -> UserError:
    """The error of a float model on an integer profile without samples."""
    return UserError(
        "the model is not quantized, and there are no samples to quantize it with",
        where=where,
        why=f"profile {profile.name!r} computes with integers",
        fix="use `sliceflow deploy` with --calibration X.npz, `sliceflow quantize` first, or a float profile",
    )


def _asked(model: ir.Model, target: Target) -> dict[str, Refusal]:
    """The nodes that the user keeps off the accelerator."""
    names = {str(node.name) for node in model.graph}
    unknown = sorted(set(target.cpu_nodes) - names)
    if unknown:
        raise UserError(
            f"the model has no node called {', '.join(map(repr, unknown))}",
            fix="use the names that `sliceflow check` or the compile report prints",
        )
    return {**dict.fromkeys(target.quantization.exclude, _EXCLUDED), **dict.fromkeys(target.cpu_nodes, ASKED)}


def _placed(model: ir.Model, target: Target, refusals: dict[str, Refusal]) -> tuple[Mapped, dict[str, Refusal]]:
    """Find what runs on the CPU, and why, until leaving that in float changes nothing any more."""
    while True:
        neutral = quantize_neutrally(model, target.quantization, cpu_nodes=refusals)
        mapped = _mapped(neutral, target, refusals)
        new = _refused(mapped, refusals) | dict.fromkeys(_joined_for_the_cpu(mapped), _JOINED)
        if not new:
            return mapped, refusals
        refusals = {**refusals, **new}


def _joined_for_the_cpu(mapped: Mapped) -> list[str]:
    """Concatenations that no accelerator layer reads: there, parts of different ranges would share one scale."""
    merged = mapped.merged
    read = {tensor.value for layer in merged.layers for tensor in layer.inputs}
    read |= {part.value for concat in merged.concats for part in concat.parts}
    return [concat.name for concat in merged.concats if concat.output.value not in read]


def _refused(mapped: Mapped, known: Mapping[str, Refusal]) -> dict[str, Refusal]:
    """What else runs on the CPU, and why. In a model that is quantized here, being float is never the reason itself."""
    found = {}
    for node, refusal in refusals_of(mapped).items():
        if refusal.unquantized == "input":
            refusal = Refusal("its input stays in float", "")
        elif refusal.unquantized == "output":
            refusal = Refusal(
                f"quantization leaves {node.op_type} in float", "replace it if its time on the CPU matters"
            )
        if node.name not in known:
            found[str(node.name)] = refusal
    return found


def _mapped(
    model: ir.Model, target: Target, cpu_nodes: Collection[str] | Mapping[str, Refusal], *, keep_islands: bool = False
) -> Mapped:
    return map_model(
        model,
        target.profile,
        cpu_nodes=cpu_nodes,
        input_shapes=target.input_shapes,
        keep_islands=keep_islands,
        unroll=target.unroll,
    )
