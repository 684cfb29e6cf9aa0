"""Runs generated node tests through the whole tool chain and judges the answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from sliceflow.errors import UserError
from sliceflow.frontend import load_model
from sliceflow.graph.program import Program
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import check, compile_model
from sliceflow.onnx_runtime import exact_session
from sliceflow.quantization import CalibrationData, QuantizationOptions, quantize
from sliceflow.runtime.session import Session
from tests.support.onnx_nodes import INTEGER, Array, Case, NotApplicableError, copied, float_ready, lifted
from tests.support.onnx_nodes_qdq import Quantizer, integer_form, small_integers

FORMS = {"float": "fp32-4x4", "qdq": "int8-8x8"}
"""The forms and the profiles that they run on."""
DEVICES = ("reference", "csim")
_GLUE = ("QuantizeLinear", "DequantizeLinear", "Reshape", "Flatten")
_QUANTIZED_WHOLE = ("BatchNormalization", "Sum")
"""Operators that only our own quantizer meets in the form that is mapped: folded, and as several Adds."""
_LEAST_OPSET = 13
_NEAR_TIE = 1e-4
"""Distance to a rounding tie, in steps, within which ONNX Runtime's float arithmetic may decide either way."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one case in one form.

    Attributes:
        name, op, form: which.
        status: ``passed``, ``failed`` or ``not applicable``.
        reason: for the last two.
        layers: the accelerator layers, as reports name them.
        values, ties: values compared, and how many are one step off at a rounding tie.
    """

    name: str
    op: str
    form: str
    status: str
    reason: str = ""
    layers: tuple[str, ...] = ()
    values: int = 0
    ties: int = 0


def run_case(case: Case, form: str, devices: Sequence[str] = DEVICES) -> Outcome:
    """Run one case in one form on all devices."""
    try:
        made = _formed(case, form)
        program = _program(made, form)
    except NotApplicableError as error:
        return Outcome(case.name, case.op, form, "not applicable", str(error))
    expected, near = _oracle(made, form)
    layers = tuple(layer.op for layer in program.fpga_layers)
    ties = 0
    for device in devices:
        with Session(program, device=device, threads=1) as session:
            got = session.run(None, made.inputs)[0]
        problem, off = _compare(got, expected, near, program, form)
        ties = max(ties, off)
        if problem:
            return Outcome(case.name, case.op, form, "failed", f"{device}: {problem}", layers)
    return Outcome(case.name, case.op, form, "passed", layers=layers, values=int(expected.size), ties=ties)


def _formed(case: Case, form: str) -> Case:
    if case.op in INTEGER:
        if form == "float":
            raise NotApplicableError("it computes with integers")
        return integer_form(lifted(copied(case)))
    integers = small_integers(lifted(copied(case))) if form == "qdq" else None
    if integers is not None:
        return integers
    made = float_ready(case)
    if form == "float":
        return made
    if case.op in _QUANTIZED_WHOLE:
        data = CalibrationData(made.inputs)
        model = quantize(load_model(made.model), data, QuantizationOptions(method="minmax", threads=1)).model
        return dataclasses.replace(made, model=ir.to_proto(model))
    if made.model.opset_import[0].version < _LEAST_OPSET:  # Q and DQ are younger
        made = dataclasses.replace(made, model=ir.to_proto(load_model(made.model)))
    return Quantizer(made, np.random.default_rng(len(case.name))).run()


def _program(case: Case, form: str) -> Program:
    """The program; a node that computes on the CPU makes the case not applicable, for the mapper's own reason."""
    profile = Profile.load(FORMS[form])
    try:
        model = load_model(case.model)
        findings, _ = check(model, profile)
    except UserError as error:
        raise NotApplicableError("; ".join(filter(None, (error.what, error.why)))) from error
    reasons = dict.fromkeys(f"{finding.op}: {finding.reason}" for finding in findings if finding.op not in _GLUE)
    if reasons:
        raise NotApplicableError("; ".join(reasons))
    try:
        program = compile_model(model, profile, name=case.name, source_sha256="0" * 64, keep_islands=True)
    except UserError as error:
        raise NotApplicableError(f"{error.what}; {error.why}") from error
    for layer in program.layers:
        if layer.placement == "cpu" and layer.op not in _GLUE:
            raise NotApplicableError(f"{layer.op}: {layer.reason}")
    return program


def _oracle(case: Case, form: str) -> tuple[Array, Array | None]:
    """The expected output, and where it lies next to a rounding tie (None: nowhere)."""
    if form == "float":
        return _exact(case), None
    if case.op in INTEGER or case.expected.dtype.kind in "iu":
        return case.expected, None
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    last = next(node for node in model.graph.node if model.graph.output[0].name in node.output)
    quantizer = next((node for node in model.graph.node if last.input[0] in node.output), None)
    if last.op_type != "DequantizeLinear" or quantizer is None or quantizer.op_type != "QuantizeLinear":
        return _run(model, case)[0], None
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(quantizer.input[0]))
    scales = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    answer, real = _run(model, case)
    with np.errstate(invalid="ignore"):
        steps = real.astype(np.float64) / float(scales[quantizer.input[1]].reshape(-1)[0])
        near = np.abs(np.abs(steps - np.floor(steps)) - 0.5) < _NEAR_TIE
    return answer, near


def _exact(case: Case) -> Array:
    """The case's own output; where its author wrote it down with few digits, what onnx's evaluator makes of it."""
    if not np.array_equal(case.expected, case.expected.round(4)):
        return case.expected
    computed = np.asarray(ReferenceEvaluator(case.model).run(None, case.inputs)[0])
    np.testing.assert_allclose(computed, case.expected, rtol=1e-3, atol=1e-7, err_msg=case.name)
    return computed


def _run(model: onnx.ModelProto, case: Case) -> list[Array]:
    try:
        session = exact_session(model.SerializeToString(), 1, where=case.name, level="none")
        return session.run(None, case.inputs)
    except UserError:  # newer operators are unknown to ONNX Runtime
        return list(ReferenceEvaluator(model).run(None, case.inputs))


def _compare(got: Array, expected: Array, near: Array | None, program: Program, form: str) -> tuple[str, int]:
    if got.shape != expected.shape:
        return f"its output has shape {got.shape}, not {expected.shape}", 0
    difference = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    difference[got == expected] = 0  # equal infinities
    if form == "float":
        finite = np.abs(expected[np.isfinite(expected)]).max(initial=0)
        worst = float(np.nan_to_num(difference, nan=np.inf).max(initial=0))
        return ("" if worst <= 1e-5 * finite + 1e-6 else f"it is off by {worst:g}"), 0
    step = 1.0
    if expected.dtype.kind == "f":
        step = program.tensors[program.fpga_layers[-1].outputs[0]].scale
    steps = difference / step
    allowed = np.zeros(expected.shape) if near is None else near * 1.0
    wrong = steps > allowed + 1e-3
    off = int((steps > 1e-3).sum())
    return (
        f"{int(wrong.sum())} of {wrong.size} values differ, by up to {steps.max():g} steps" if wrong.any() else ""
    ), off
