"""The three transformations in order, and the pre-flight check."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TypedDict, Unpack

import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.frontend import bind_shapes
from sliceflow.graph.program import Program
from sliceflow.graph.validate import validate_program
from sliceflow.hardware.profile import Profile
from sliceflow.mapping.emit import emit
from sliceflow.mapping.legalize import legalize
from sliceflow.mapping.lower import DoesNotFitError
from sliceflow.mapping.partition import Partition, is_glue, macs_of, partition
from sliceflow.mapping.plan import LayerPlan, Refusal
from sliceflow.mapping.schedule import Action, Scheduler
from sliceflow.mapping.unroll import unroll_stems
from sliceflow.passes.view import constant, is_op, static_shape

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Finding:
    """A node that does not run on the accelerator.

    Attributes:
        node, op: its name and operator.
        shapes: shapes of its activation inputs, e.g. ``1x64x56x56``.
        reason: why it stays on the CPU.
        fix: what its owner can do.
        macs: multiply-accumulates that it takes along.
    """

    node: str
    op: str
    shapes: tuple[str, ...]
    reason: str
    fix: str
    macs: int


@dataclasses.dataclass(frozen=True)
class Trace:
    """The intermediate results of a compilation, for dumps and drawings.

    Attributes:
        merged: the accelerator layers and why other nodes are none.
        actions: the schedule with its transforms.
        program: the result.
    """

    merged: Partition
    actions: Sequence[Action]
    program: Program


class CompileOptions(TypedDict, total=False):
    """What else can be asked of a compilation; ``trace_compilation`` says what each means."""

    cpu_nodes: Collection[str]
    input_shapes: Mapping[str, Sequence[int]] | None
    keep_islands: bool
    unroll: bool


def compile_model(
    model: ir.Model, profile: Profile, *, name: str, source_sha256: str, **options: Unpack[CompileOptions]
) -> Program:
    """Compile a normalized model; see ``trace_compilation`` for the arguments and errors."""
    return trace_compilation(model, profile, name=name, source_sha256=source_sha256, **options).program


def trace_compilation(
    model: ir.Model,
    profile: Profile,
    *,
    name: str,
    source_sha256: str,
    cpu_nodes: Collection[str] = (),
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    keep_islands: bool = False,
    unroll: bool = True,
) -> Trace:
    """Compile a normalized model and keep what each step made.

    Args:
        model: from ``sliceflow.frontend.load_model``, quantized (QDQ) for integer profiles.
        profile: the accelerator.
        name: name of the model.
        source_sha256: checksum of the file it came from.
        cpu_nodes: names of nodes that must stay on the CPU.
        input_shapes: shapes for dynamic inputs.
        keep_islands: keep small islands on the accelerator even where the crossings cost more.
        unroll: let the host unroll the kernels of stems where that pays (``sliceflow.mapping.unroll``).

    Raises:
        UserError: nothing can run on the accelerator, or the model cannot be taken at all.
    """
    bound = bind_shapes(model, input_shapes=input_shapes)
    legalize(bound)
    forbidden = _forbidden(bound, cpu_nodes)
    while True:
        merged = partition(bound, profile, forbidden=forbidden, keep_islands=keep_islands)
        if not merged.layers:
            raise _nothing_mapped(merged, profile)
        mapped = unroll_stems(merged, profile) if unroll else merged
        actions = Scheduler(bound, mapped).run()
        try:
            program = emit(bound, mapped, actions, profile, name=name, source_sha256=source_sha256)
        except DoesNotFitError as error:
            logger.info("%s stays on the CPU: %s", error.plan.name, error.reason)
            refusal = Refusal(error.reason, error.fix)
            added = {node: refusal for node in error.plan.nodes if not is_glue(node)}
            if not added:
                raise UserError(error.reason, where=f"layer {error.plan.name}") from error
            forbidden |= added
            continue
        validate_program(
            program.descriptors, profile, program.program.size, program.weights.size, program.activation_words
        )
        return Trace(merged, actions, program)


def check(
    model: ir.Model,
    profile: Profile,
    *,
    cpu_nodes: Collection[str] = (),
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> tuple[list[Finding], int]:
    """Every node that does not run on the accelerator, in one go.

    Args:
        model: a normalized model, quantized for integer profiles.
        profile: the accelerator.
        cpu_nodes: names of nodes that must stay on the CPU.
        input_shapes: shapes for dynamic inputs.

    Returns:
        The findings in execution order, and the multiply-accumulates that do run on the accelerator.
    """
    bound = bind_shapes(model, input_shapes=input_shapes)
    legalize(bound)
    found = partition(bound, profile, forbidden=_forbidden(bound, cpu_nodes))
    mapped = found.mapped
    findings = []
    for node in found.order:
        if node in mapped or is_glue(node):
            continue
        refusal = found.refusals.get(node, Refusal("it is not part of any accelerator layer", ""))
        dims = [static_shape(value) for value in node.inputs if value is not None and not _is_constant(value)]
        findings.append(
            Finding(
                node=str(node.name),
                op=node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}",
                shapes=tuple("x".join(map(str, d)) if d is not None else "?" for d in dims),
                reason=refusal.reason,
                fix=refusal.fix or "none needed",
                macs=macs_of(node),
            )
        )
    return findings, sum(unit.macs for unit in found.layers if isinstance(unit, LayerPlan))


def _is_constant(value: ir.Value) -> bool:
    """Whether a value is a weight: a constant, or a dequantized one."""
    node = value.producer()
    source = node.inputs[0] if node is not None and is_op(node, "DequantizeLinear") else value
    return constant(source) is not None


def _forbidden(model: ir.Model, cpu_nodes: Collection[str]) -> dict[ir.Node, Refusal]:
    by_name = {str(node.name): node for node in model.graph}
    unknown = sorted(set(cpu_nodes) - set(by_name))
    if unknown:
        raise UserError(
            f"the model has no node called {', '.join(map(repr, unknown))}",
            fix="use the names that `sliceflow check` or the compile report prints",
        )
    return {by_name[name]: Refusal("you asked for the CPU (--cpu)", "leave out --cpu") for name in cpu_nodes}


def _nothing_mapped(found: Partition, profile: Profile) -> UserError:
    reasons = [f"{node.name} ({node.op_type}): {why.reason}" for node, why in list(found.refusals.items())[:5]]
    quantized = any(node.op_type == "QuantizeLinear" for node in found.order)
    layers = [why.fix for node, why in found.refusals.items() if node.op_type in ("Conv", "Gemm") and why.fix]
    fix = f"{layers[0]}; `sliceflow check` shows every node" if layers else "run `sliceflow check` for every node"
    if not profile.is_float and not quantized:
        fix = "quantize it first: `sliceflow quantize`, or `sliceflow deploy` with --calibration"
    return UserError(
        f"no layer of the model can run on {profile.name}", why="; ".join(reasons) or "it has no nodes", fix=fix
    )
