"""Place: which nodes become accelerator layers, which stay on the CPU, and why."""

from __future__ import annotations

import dataclasses
import logging

import onnx_ir as ir

from sliceflow.hardware import cycles
from sliceflow.hardware.profile import Profile
from sliceflow.hardware.transfer import LINKS
from sliceflow.mapping.layout import copies_needed
from sliceflow.mapping.merge import Merger
from sliceflow.mapping.onnx_view import activation_quant
from sliceflow.mapping.plan import ConcatPlan, Core, LayerPlan, Refusal, TensorSpec
from sliceflow.mapping.strips import cover_whole, estimated_shape
from sliceflow.mapping.values import VIEWS, Values
from sliceflow.passes.view import constant, is_op

logger = logging.getLogger(__name__)

CPU_MACS_PER_SECOND = 10e9
"""Assumed rate of the host's cores; decides only whether a small island is worth its crossings."""
LINK = LINKS["pcie"]
"""Assumed link between host and accelerator."""


@dataclasses.dataclass
class Partition:
    """The graph, divided.

    Attributes:
        layers: accelerator layers, in the order of their first nodes.
        concats: concatenations in accelerator memory.
        refusals: why each other computing node stays on the CPU.
        order: position of every node in execution order.
        values: which values are tensors.
    """

    layers: list[LayerPlan]
    concats: list[ConcatPlan]
    refusals: dict[ir.Node, Refusal]
    order: dict[ir.Node, int]
    values: Values

    @property
    def units(self) -> list[LayerPlan | ConcatPlan]:
        """Layers and concatenations."""
        return [*self.layers, *self.concats]

    @property
    def mapped(self) -> set[ir.Node]:
        """Nodes that accelerator layers and concatenations execute."""
        return {node for unit in self.units for node in unit.nodes}


def is_glue(node: ir.Node) -> bool:
    """Whether a node only changes form: quantization and views. It goes where its readers are."""
    return is_op(node, "QuantizeLinear", "DequantizeLinear", *VIEWS)


def partition(
    model: ir.Model, profile: Profile, *, forbidden: dict[ir.Node, Refusal], keep_islands: bool = False
) -> Partition:
    """Divide a legalized graph with static shapes.

    Args:
        model: the graph.
        profile: the accelerator.
        forbidden: nodes that must stay on the CPU, with the reason to report.
        keep_islands: do not send small islands back to the CPU.
    """
    order = {node: number for number, node in enumerate(model.graph)}
    values = Values(profile)
    found = Partition([], [], dict(forbidden), order, values)
    taken = set(forbidden)
    merger = Merger(values, profile, order, taken)
    for node in order:
        if node in taken:
            continue
        outcome = _unit_at(node, merger)
        if outcome is None:
            continue
        if isinstance(outcome, Refusal):
            found.refusals[node] = outcome
            continue
        (found.concats if isinstance(outcome, ConcatPlan) else found.layers).append(outcome)  # type: ignore[arg-type]
        taken.update(n for n in outcome.nodes if not is_glue(n) or n is outcome.output.value.producer())
        for inner in outcome.nodes:
            found.refusals.pop(inner, None)
    _drop_concats_of_cpu(found)
    if not keep_islands:
        _drop_small_islands(found, profile)
    _copy_shared_parts(found)
    return found


def _unit_at(node: ir.Node, merger: Merger) -> LayerPlan | ConcatPlan | Refusal | None:
    if is_op(node, "Concat"):
        return merger.concat(node)
    if is_op(node, "QuantizeLinear"):
        # A quantized tensor brought to another scale is a table; any other QuantizeLinear is glue.
        source = node.inputs[0].producer() if node.inputs[0] is not None else None
        if source is None or not is_op(source, "DequantizeLinear") or constant(source.inputs[0]) is not None:
            return None
        if activation_quant(source) == activation_quant(node):
            return None
        outcome = merger.build(node)
        return outcome if isinstance(outcome, LayerPlan) else None
    return None if is_glue(node) else merger.build(node)


def _produced(found: Partition) -> dict[ir.Value, LayerPlan | ConcatPlan]:
    return {unit.output.value: unit for unit in found.units}


def _drop_concats_of_cpu(found: Partition) -> None:
    """A concatenation with no part from the accelerator and no reader on it belongs to the CPU."""
    changed = True
    while changed:
        changed = False
        produced = _produced(found)
        read = {tensor.value for layer in found.layers for tensor in layer.inputs}
        read |= {part.value for concat in found.concats for part in concat.parts}
        for concat in list(found.concats):
            if concat.output.value not in read and not any(part.value in produced for part in concat.parts):
                found.concats.remove(concat)
                found.refusals[concat.nodes[0]] = Refusal("none of its inputs comes from the FPGA", "")
                changed = True


def _islands(found: Partition) -> list[list[LayerPlan | ConcatPlan]]:
    """Units connected through tensors that stay in accelerator memory."""
    produced = _produced(found)
    islands: dict[int, list[LayerPlan | ConcatPlan]] = {}
    home: dict[ir.Value, int] = {}
    for unit in sorted(found.units, key=lambda u: max(found.order.get(n, -1) for n in u.nodes)):
        sources = unit.parts if isinstance(unit, ConcatPlan) else unit.inputs
        joined = sorted({home[s.value] for s in sources if s.value in produced and s.value in home})
        number = joined[0] if joined else len(islands)
        while number in islands and not joined:
            number += 1
        members = islands.setdefault(number, [])
        for other in joined[1:]:
            moved = islands.pop(other)
            members += moved
            for member in moved:
                home[member.output.value] = number
        members.append(unit)
        home[unit.output.value] = number
    return list(islands.values())


def _drop_small_islands(found: Partition, profile: Profile) -> None:
    islands = _islands(found)
    if len(islands) < 2:
        return
    main = max(islands, key=lambda units: sum(u.macs for u in units if isinstance(u, LayerPlan)))
    produced = _produced(found)
    for island in islands:
        if island is main or _worth_crossing(island, produced, profile):
            continue
        for unit in island:
            (found.concats if isinstance(unit, ConcatPlan) else found.layers).remove(unit)  # type: ignore[arg-type]
            for node in unit.nodes:
                if not is_glue(node):
                    found.refusals[node] = Refusal(
                        "it would run on the FPGA, but so small an island costs more in transfers than it saves", ""
                    )


def _worth_crossing(
    island: list[LayerPlan | ConcatPlan], produced: dict[ir.Value, LayerPlan | ConcatPlan], profile: Profile
) -> bool:
    clocks, macs, sizes = 0, 0, list[int]()
    inside = {unit.output.value for unit in island}
    read: set[ir.Value] = set()
    for unit in island:
        sources = unit.parts if isinstance(unit, ConcatPlan) else unit.inputs
        read.update(s.value for s in sources)
        sizes += [_bytes(s, profile) for s in sources if s.value not in produced]
        if isinstance(unit, LayerPlan):
            layer = estimated_shape(unit, profile)
            cover_whole(layer, profile)
            clocks += cycles.predict(layer, profile).predicted
            macs += unit.macs + _elements(unit.output)
    sizes += [_bytes(unit.output, profile) for unit in island if unit.output.value not in read & inside]
    fpga = profile.seconds(clocks) + LINK.seconds(sum(sizes), len(sizes) + 1)
    return fpga <= macs / CPU_MACS_PER_SECOND


def _elements(tensor: TensorSpec) -> int:
    return tensor.channels * tensor.height * tensor.width


def _bytes(tensor: TensorSpec, profile: Profile) -> int:
    return _elements(tensor) * profile.activation_bytes


def _copy_shared_parts(found: Partition) -> None:
    """A tensor that is part of two concatenations is copied for the second one by a PASS layer."""
    for number, index in copies_needed(found.concats):
        concat = found.concats[number]
        part = concat.parts[index]
        copy = ir.Value(name=f"{part.name}_copy_{number}_{index}", shape=part.value.shape, type=part.value.type)
        spec = dataclasses.replace(part, value=copy)
        found.layers.append(
            LayerPlan(
                name=f"copy_{copy.name}",
                nodes=(),
                core=Core.PASS,
                input=part,
                output=spec,
                array_size=(part.height, part.width),
                main=part.quant,
                label=("copy",),
            )
        )
        parts = list(concat.parts)
        parts[index] = spec
        found.concats[number] = dataclasses.replace(concat, parts=tuple(parts))
