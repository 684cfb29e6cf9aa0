"""Transform: put accelerator layers and CPU nodes in order, with a transform wherever a tensor crosses between them.

A crossing tensor is transformed once and shared by all its readers. Quantization and views at a crossing are part of
the transform where it can do them, and else run on the CPU with the nodes that need them.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Collection, Iterable, Sequence

import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.mapping.onnx_view import activation_quant
from sliceflow.mapping.partition import Partition, is_glue
from sliceflow.mapping.plan import ConcatPlan, LayerPlan, TensorSpec
from sliceflow.mapping.submodel import captured
from sliceflow.mapping.values import VIEWS
from sliceflow.passes.view import constant, input_at, is_op, static_shape

Unit = LayerPlan | ConcatPlan | ir.Node


@dataclasses.dataclass(frozen=True)
class ToDevice:
    """Write a host value into accelerator memory as ``tensor``."""

    value: ir.Value
    tensor: TensorSpec


@dataclasses.dataclass(frozen=True)
class ToHost:
    """Read ``tensor`` from accelerator memory as the host value ``value``."""

    value: ir.Value
    tensor: TensorSpec


@dataclasses.dataclass(frozen=True)
class CpuWork:
    """Nodes that run as one sub-model, on host values."""

    nodes: tuple[ir.Node, ...]
    inputs: tuple[ir.Value, ...]
    outputs: tuple[ir.Value, ...]


Action = ToDevice | ToHost | CpuWork | LayerPlan | ConcatPlan


class Scheduler:
    """Orders one partition."""

    def __init__(self, model: ir.Model, found: Partition) -> None:
        self._graph = model.graph
        self._found = found
        self._device: dict[ir.Value, LayerPlan | ConcatPlan] = {unit.output.value: unit for unit in found.units}
        self._specs = {unit.output.value: unit.output for unit in found.units}
        mapped = found.mapped
        self._cpu = [node for node in found.order if node not in mapped and not is_glue(node)]
        self._actions: list[Action] = []
        self._on_host: set[ir.Value] = set(self._graph.inputs)
        self._on_device: set[ir.Value] = set()

    def run(self) -> list[Action]:
        """All actions for one image, in order."""
        for cluster in self._clusters():
            if isinstance(cluster[0], ir.Node):
                self._cpu_work([unit for unit in cluster if isinstance(unit, ir.Node)])
            else:
                for unit in cluster:
                    self._device_unit(unit)  # type: ignore[arg-type]
        for output in self._graph.outputs:
            self._to_host(output)
        return self._actions

    # order ------------------------------------------------------------------------------------------------------

    def _clusters(self) -> Iterable[list[Unit]]:
        """Units in dependency order, runs of the same side as long as possible."""
        order = sorted(self._alive(), key=self._position)
        rank = {unit: index for index, unit in enumerate(order)}
        missing, readers = self._edges(rank)
        ready: dict[bool, list[int]] = {True: [], False: []}  # heaps of ranks; True: nodes for the CPU
        for unit in order:
            if not missing[unit]:
                heapq.heappush(ready[isinstance(unit, ir.Node)], rank[unit])
        cluster: list[Unit] = []
        on_cpu = True
        for _ in order:
            if not (ready[True] or ready[False]):
                raise UserError("the graph's layers depend on each other in a circle", fix="please report this model")
            if cluster and not ready[on_cpu]:
                yield cluster
                cluster = []
            if not cluster:
                on_cpu = min((ranks[0], side) for side, ranks in ready.items() if ranks)[1]
            unit = order[heapq.heappop(ready[on_cpu])]
            cluster.append(unit)
            for reader in readers[unit]:
                missing[reader] -= 1
                if not missing[reader]:
                    heapq.heappush(ready[isinstance(reader, ir.Node)], rank[reader])
        if cluster:
            yield cluster

    def _edges(self, units: Collection[Unit]) -> tuple[dict[Unit, int], dict[Unit, list[Unit]]]:
        """For each unit, how many others it needs, and which others need it."""
        missing: dict[Unit, int] = {}
        readers: dict[Unit, list[Unit]] = {unit: [] for unit in units}
        for unit in units:
            needs = {needed for needed in self._dependencies(unit) if needed in readers}
            missing[unit] = len(needs)
            for needed in needs:
                readers[needed].append(unit)
        return missing, readers

    def _position(self, unit: Unit) -> int:
        if isinstance(unit, ir.Node):
            return self._found.order[unit]
        return max((self._found.order[n] for n in unit.nodes if n in self._found.order), default=-1)

    def _alive(self) -> list[Unit]:
        """Units that some output of the model needs."""
        found: dict[Unit, None] = {}
        pending: list[Unit] = [unit for value in self._graph.outputs for unit in self._sources(value)]
        while pending:
            unit = pending.pop()
            if unit not in found:
                found[unit] = None
                pending += self._dependencies(unit)
        return list(found)

    def _dependencies(self, unit: Unit) -> list[Unit]:
        if isinstance(unit, ir.Node):
            return [source for value in captured(unit) for source in self._sources(value)]
        tensors = unit.parts if isinstance(unit, ConcatPlan) else unit.inputs
        return [source for tensor in tensors for source in self._sources(tensor.value)]

    def _sources(self, value: ir.Value) -> list[Unit]:
        """Units that must run before a value is there, looking through glue."""
        found: list[Unit] = []
        pending, seen = [value], set[ir.Value]()
        while pending:
            current = pending.pop()
            if current in seen or constant(current) is not None:
                continue
            seen.add(current)
            if current in self._device:
                found.append(self._device[current])
                continue
            node = current.producer()
            if node is None:
                continue
            if is_glue(node):
                pending += captured(node)
            else:
                found.append(node)
        return found

    # actions ----------------------------------------------------------------------------------------------------

    def _device_unit(self, unit: LayerPlan | ConcatPlan) -> None:
        for tensor in unit.parts if isinstance(unit, ConcatPlan) else unit.inputs:
            self._to_device(tensor)
        self._actions.append(unit)
        self._on_device.add(unit.output.value)

    def _to_device(self, tensor: TensorSpec) -> None:
        if tensor.value in self._on_device:
            return
        source = tensor.value
        node = source.producer()
        if tensor.quant is not None and node is not None and source not in self._on_host:
            real = input_at(node, 0)
            if is_op(node, "QuantizeLinear") and real is not None:
                source = real
        self._to_host(source)
        self._actions.append(ToDevice(source, tensor))
        self._on_device.add(tensor.value)

    def _to_host(self, value: ir.Value) -> None:
        if value in self._on_host or (constant(value) is not None and not value.is_graph_output()):
            return
        tensor = self._device_tensor(value)
        if tensor is not None:
            self._actions.append(ToHost(value, tensor))
            self._on_host.add(value)
            return
        node = value.producer()
        if node is None:
            raise UserError(
                f"the output {value.name!r} does not depend on any input", fix="remove it from the model's outputs"
            )
        self._cpu_work([node], value)

    def _device_tensor(self, value: ir.Value) -> TensorSpec | None:
        """The device tensor from which a transform alone makes this host value."""
        if value in self._device:
            return self._specs[value]
        node = value.producer()
        quant = None
        while node is not None and is_glue(node):
            if is_op(node, "DequantizeLinear", "QuantizeLinear"):
                found = activation_quant(node)
                if found is None or (quant is not None and found != quant):
                    return None
                if quant is None and is_op(node, "QuantizeLinear"):
                    return None
                quant = found
            elif is_op(node, *VIEWS) and static_shape(node.outputs[0]) is None:
                return None
            source = input_at(node, 0)
            if source in self._device:
                spec = self._specs[source]
                return spec if spec.quant == quant else None
            node = source.producer() if source is not None else None
        return None

    def _cpu_work(self, nodes: Sequence[ir.Node], wanted: ir.Value | None = None) -> None:
        """Run nodes on the CPU; returns ``wanted``, or whatever is read elsewhere."""
        inside = self._with_glue(nodes)
        produced = {value for node in inside for value in node.outputs}
        inputs: dict[ir.Value, None] = {}
        for node in inside:
            for value in captured(node):
                if value not in produced and constant(value) is None:
                    inputs[value] = None
        for value in inputs:
            self._to_host(value)
        leaving = set(inside)
        outputs = tuple(
            value
            for node in inside
            for value in node.outputs
            if value is wanted or (wanted is None and _read_outside(value, leaving))
        )
        self._actions.append(CpuWork(tuple(inside), tuple(inputs), outputs))
        self._on_host.update(outputs)

    def _with_glue(self, nodes: Sequence[ir.Node]) -> list[ir.Node]:
        """The nodes and the glue before them that no transform can do."""
        inside = set(nodes)
        pending = [value for node in nodes for value in captured(node)]
        while pending:
            value = pending.pop()
            node = value.producer()
            if node is None or node in inside or value in self._on_host or not is_glue(node):
                continue
            if self._device_tensor(value) is None:
                inside.add(node)
                pending += captured(node)
        return sorted(inside, key=self._found.order.__getitem__)


def _read_outside(value: ir.Value, inside: set[ir.Node]) -> bool:
    return value.is_graph_output() or any(reader not in inside for reader, _ in value.uses())
