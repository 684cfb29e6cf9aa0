"""The three transformations in order, and the pre-flight check."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TypedDict, Unpack

import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.frontend import bind_shapes, input_axes
from sliceflow.frontend.forms import refuse_dynamic
from sliceflow.graph.consistency import DTYPES
from sliceflow.graph.program import Program
from sliceflow.hardware.profile import Profile
from sliceflow.mapping.emit import emit
from sliceflow.mapping.legalize import legalize
from sliceflow.mapping.lower import DoesNotFitError
from sliceflow.mapping.lowered import Lowered, lower_layers
from sliceflow.mapping.partition import Partition, is_glue, partition
from sliceflow.mapping.plan import Refusal
from sliceflow.mapping.schedule import Action, CpuWork, Scheduler
from sliceflow.mapping.submodel import verify_size
from sliceflow.mapping.unroll import unroll_stems
from sliceflow.passes.macs import macs_of
from sliceflow.passes.view import constant, is_op, static_shape

logger = logging.getLogger(__name__)

ASKED = Refusal("you asked for the CPU (--cpu)", "leave out --cpu")
"""The reason of nodes that the user keeps on the CPU."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """A node that does not run on the accelerator.

    Attributes:
        node, op: its name and operator.
        shapes: shapes of its activation inputs, e.g. ``1x64x56x56``.
        reason: why it stays on the CPU.
        fix: what its owner can do.
        macs: multiply-accumulates that it takes along; None if their number is not known.
    """

    node: str
    op: str
    shapes: tuple[str, ...]
    reason: str
    fix: str
    macs: int | None


@dataclasses.dataclass(frozen=True)
class Mapped:
    """A model divided, ordered and lowered: all that decides what runs where, before any constant is packed.

    Attributes:
        model: the legalized graph.
        merged: the accelerator layers and why other nodes are none.
        final: the same with the stems that the host unrolls.
        actions: the schedule with its transforms.
        lowered: the layers; None if there is none.
    """

    model: ir.Model
    merged: Partition
    final: Partition
    actions: Sequence[Action]
    lowered: Lowered | None

    @property
    def fpga_macs(self) -> int:
        """Multiply-accumulates of one image on the accelerator."""
        return sum(unit.macs for unit in self.merged.layers)

    @property
    def on_fpga(self) -> set[str]:
        """Names of the nodes that accelerator layers and concatenations execute."""
        return {str(node.name) for node in self.merged.mapped}


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


class MapOptions(TypedDict, total=False):
    """What else can be asked of the mapping; ``map_model`` says what each means."""

    cpu_nodes: Collection[str] | Mapping[str, Refusal]
    input_shapes: Mapping[str, Sequence[int]] | None
    keep_islands: bool
    unroll: bool


def compile_model(
    model: ir.Model, profile: Profile, *, name: str, source_sha256: str, **options: Unpack[MapOptions]
) -> Program:
    """Compile a normalized model; see ``map_model`` for the arguments and errors."""
    return trace_compilation(model, profile, name=name, source_sha256=source_sha256, **options).program


def trace_compilation(
    model: ir.Model, profile: Profile, *, name: str, source_sha256: str, **options: Unpack[MapOptions]
) -> Trace:
    """Compile a normalized model and keep what each step made; see ``map_model`` for the arguments.

    Raises:
        UserError: nothing can run on the accelerator, or the model cannot be taken at all.
    """
    return trace(map_model(model, profile, **options), profile, name=name, source_sha256=source_sha256)


def map_model(
    model: ir.Model,
    profile: Profile,
    *,
    cpu_nodes: Collection[str] | Mapping[str, Refusal] = (),
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    keep_islands: bool = False,
    unroll: bool = True,
) -> Mapped:
    """Decide what runs where. A layer that cannot be lowered goes to the CPU, and the steps run again.

    Args:
        model: from ``sliceflow.frontend.load_model``, quantized (QDQ) for integer profiles.
        profile: the accelerator.
        cpu_nodes: names of nodes that must stay on the CPU. If it is not the user's wish, with the reasons to report;
            names that the graph no longer has are then passed over.
        input_shapes: shapes for dynamic inputs.
        keep_islands: keep small islands on the accelerator even where the crossings cost more.
        unroll: let the host unroll the kernels of stems where that pays (``sliceflow.mapping.unroll``).

    Raises:
        UserError: the model cannot be taken at all.
    """
    bound = bind_shapes(model, input_shapes=input_shapes)
    _verify_interface(bound)
    forbidden = _forbidden(bound, cpu_nodes)
    legalize(bound, forbidden)
    while True:
        merged = partition(bound, profile, forbidden=forbidden, keep_islands=keep_islands)
        if not merged.layers:
            return Mapped(bound, merged, merged, (), None)
        final = unroll_stems(merged, profile) if unroll else merged
        actions = Scheduler(bound, final).run()
        for action in actions:
            if isinstance(action, CpuWork):
                verify_size(action.nodes)
        try:
            return Mapped(bound, merged, final, actions, lower_layers(actions, profile))
        except DoesNotFitError as error:
            logger.info("%s stays on the CPU: %s", error.plan.name, error.reason)
            refusal = Refusal(error.reason, error.fix)
            added = {node: refusal for node in error.plan.nodes if not is_glue(node)}
            if not added:
                raise UserError(error.reason, where=f"layer {error.plan.name}") from error
            forbidden |= added


def trace(mapped: Mapped, profile: Profile, *, name: str, source_sha256: str = "") -> Trace:
    """A mapped model with its program; see ``pack``."""
    program = pack(mapped, profile, name=name, source_sha256=source_sha256)
    return Trace(mapped.merged, mapped.actions, program)


def _verify_interface(model: ir.Model) -> None:
    """Refuse inputs and outputs that no program can take or give."""
    for kind, values in (("input", model.graph.inputs), ("output", model.graph.outputs)):
        for value in values:
            if value.dtype is not None and value.dtype.numpy().name not in DTYPES:
                raise UserError(
                    f"an {kind} holds no numbers that a program can {'take' if kind == 'input' else 'give'}",
                    where=f"{kind} {value.name!r}",
                    why=f"its type is {value.dtype.name}",
                    fix=f"export the model with an {kind} of numbers, such as float32 or int64",
                )


def pack(mapped: Mapped, profile: Profile, *, name: str, source_sha256: str = "") -> Program:
    """The program of a mapped model.

    Raises:
        UserError: nothing can run on the accelerator.
    """
    if mapped.lowered is None:
        refuse_dynamic(mapped.model.graph)
        raise nothing_mapped(mapped, profile)
    return emit(
        mapped.model, mapped.final, mapped.actions, mapped.lowered, profile, name=name, source_sha256=source_sha256
    )


def check(model: ir.Model, profile: Profile, **options: Unpack[MapOptions]) -> tuple[list[Finding], int]:
    """Every node that does not run on the accelerator, in one go; see ``map_model`` for the arguments.

    Returns:
        The findings in execution order, and the multiply-accumulates that do run on the accelerator.
    """
    mapped = map_model(model, profile, **options)
    return findings(mapped), mapped.fpga_macs


def findings(mapped: Mapped) -> list[Finding]:
    """Every node of a mapped model that does not run on the accelerator, in execution order."""
    found = []
    for node, refusal in refusals_of(mapped).items():
        dims = [static_shape(value) for value in node.inputs if value is not None and not _is_constant(value)]
        found.append(
            Finding(
                node=str(node.name),
                op=node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}",
                shapes=tuple("x".join(map(str, d)) if d is not None else "?" for d in dims),
                reason=refusal.reason,
                fix=refusal.fix or "none needed",
                macs=macs_of(node),
            )
        )
    return found


def refusals_of(mapped: Mapped) -> dict[ir.Node, Refusal]:
    """Why each node that does not run on the accelerator does not, in execution order."""
    on_fpga, merged = mapped.merged.mapped, mapped.merged
    unknown = Refusal("it is not part of any accelerator layer", "")
    return {
        node: merged.refusals.get(node, unknown) for node in merged.order if node not in on_fpga and not is_glue(node)
    }


def _is_constant(value: ir.Value) -> bool:
    """Whether a value is a weight: a constant, or a dequantized one."""
    node = value.producer()
    source = node.inputs[0] if node is not None and is_op(node, "DequantizeLinear") else value
    return constant(source) is not None


def _forbidden(model: ir.Model, cpu_nodes: Collection[str] | Mapping[str, Refusal]) -> dict[ir.Node, Refusal]:
    by_name = {str(node.name): node for node in model.graph}
    if isinstance(cpu_nodes, Mapping):
        return {by_name[name]: reason for name, reason in cpu_nodes.items() if name in by_name}
    unknown = sorted(set(cpu_nodes) - set(by_name))
    if unknown:
        raise UserError(
            f"the model has no node called {', '.join(map(repr, unknown))}",
            fix="use the names that `sliceflow check` or the compile report prints",
        )
    return {by_name[name]: ASKED for name in cpu_nodes}


def nothing_mapped(mapped: Mapped, profile: Profile) -> UserError:
    """The error of a model of which no layer runs on the accelerator."""
    found = mapped.merged
    reasons = [
        f"input {value.name!r} of shape {list(value.shape)} is one whole sample, no batch ({value.why})"
        for value in input_axes(mapped.model)
        if value.why
    ]
    reasons += [f"{node.name} ({node.op_type}): {why.reason}" for node, why in list(found.refusals.items())[:5]]
    layers = [why for node, why in found.refusals.items() if node.op_type in ("Conv", "Gemm")]
    fixes = [why.fix for why in layers if why.fix]
    fix = f"{fixes[0]}; `sliceflow check` shows every node" if fixes else "run `sliceflow check` for every node"
    if not profile.is_float and layers and all(why.unquantized for why in layers):
        fix = "quantize it first: `sliceflow quantize`, or `sliceflow deploy` with --calibration"
    return UserError(
        f"no layer of the model can run on {profile.name}", why="; ".join(reasons) or "it has no nodes", fix=fix
    )
