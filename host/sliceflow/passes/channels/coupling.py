"""Channels that are coupled: those that stay or go together, by residual sums, concatenations, depthwise layers."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np
import onnx_ir as ir

from sliceflow.passes.channels.linear import Linear
from sliceflow.passes.channels.rule import LinkedRule, Opaque
from sliceflow.passes.channels.state import Index, Mask, Vector, channels
from sliceflow.passes.channels.structure import ShapeRule
from sliceflow.passes.channels.table import LAYERS, rule_of
from sliceflow.passes.view import is_op


@dataclasses.dataclass(frozen=True)
class CoupledChannels:
    """Interchangeable channels: each of them lives in the same tensors.

    Attributes:
        name: the layer that makes them, the first one of several; unique.
        members: for each tensor where they are, ``[channels, places]``: several places in one tensor behind a Flatten,
            or where a tensor is joined with itself.
        importance: L2 norm of all weights that make a channel, ``[channels]``; depthwise layers left out.
    """

    name: str
    members: dict[ir.Value, Index]
    importance: Vector

    @property
    def size(self) -> int:
        """Channels."""
        return len(self.importance)

    def places(self, value: ir.Value, chosen: Mask) -> Mask:
        """Where chosen channels are in a tensor, ``[C]``."""
        mask = np.zeros(channels(value) or 0, np.bool_)
        if value in self.members:
            mask[self.members[value][chosen]] = True
        return mask


def coupled_channels(graph: ir.Graph) -> list[CoupledChannels]:
    """The groups of channels of which any might be dropped, in the order of their layers.

    Channels of inputs and outputs of the model are not among them, nor those that meet a node that is not understood,
    or a convolution of several groups that is not depthwise.
    """
    labels = _Labels(graph)
    where: dict[int, list[tuple[ir.Value, int]]] = collections.defaultdict(list)
    for value, places in labels.values.items():
        for channel, label in enumerate(labels.of(places).tolist()):
            if not labels.fixed[label]:
                where[label].append((value, channel))
    alike: dict[tuple[int, ...], list[int]] = collections.defaultdict(list)
    for label, unit in where.items():
        alike[tuple(labels.values[value].start for value, _ in unit)].append(label)
    makers = [(linear, linear.norms()) for node in graph if (linear := dense_layer(node)) is not None]
    groups, names = [], collections.Counter[str]()
    for found in alike.values():
        members = _members([where[label] for label in sorted(found)])
        made = [(linear, norms) for linear, norms in makers if linear.node.outputs[0] in members]
        if made:
            squares = sum(np.square(norms[members[linear.node.outputs[0]]]).sum(axis=1) for linear, norms in made)
            name = str(made[0][0].node.name)
            names[name] += 1
            name = name if names[name] == 1 else f"{name}#{names[name]}"
            groups.append(CoupledChannels(name, members, np.sqrt(np.asarray(squares, np.float64))))
    order = {node.outputs[0]: index for index, node in enumerate(graph)}
    return sorted(groups, key=lambda group: min(order.get(value, -1) for value in group.members))


def dense_layer(node: ir.Node) -> Linear | None:
    """The layer of a node that mixes all of its input channels; None for any other node."""
    linear = Linear.of(node) if is_op(node, *LAYERS) else None
    return linear if linear is not None and len(linear.weights) == 1 else None


class _Labels:
    """A number for each channel of each tensor, equal for those that are coupled.

    Attributes:
        values: positions of each tensor's channels among all.
        fixed: for each number, whether the channels must stay.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.values: dict[ir.Value, range] = {}
        total = 0
        for value in (*graph.inputs, *(output for node in graph for output in node.outputs)):
            count = channels(value)
            if count is not None:
                self.values[value] = range(total, total + count)
                total += count
        self._label = np.arange(total)
        held = np.zeros(total, np.bool_)
        for value in (*graph.inputs, *graph.outputs, *_read_inside(graph, list(self.values))):
            self._hold(held, value)
        self._join(_pairs(graph, self, held))
        self.fixed = np.zeros(total, np.bool_)
        np.logical_or.at(self.fixed, self._label, held)

    def of(self, places: range) -> Index:
        """The numbers at these positions."""
        return self._label[places.start : places.stop]

    def _hold(self, held: Mask, value: ir.Value | None) -> None:
        places = self.values.get(value) if value is not None else None
        if places is not None:
            held[places.start : places.stop] = True

    def _join(self, pairs: list[tuple[Index, Index]]) -> None:
        """Give both ends of each pair the smaller of their numbers, until nothing changes."""
        changed = True
        while changed:
            before = self._label.copy()
            for a, b in (*pairs, *reversed(pairs)):
                least = np.minimum(self._label[a], self._label[b])
                np.minimum.at(self._label, a, least)
                np.minimum.at(self._label, b, least)
            changed = bool((before != self._label).any())

    def pair(self, source: ir.Value, source_index: Index, target: ir.Value, target_index: Index) -> tuple[Index, Index]:
        """Positions of channels of two tensors."""
        return self.values[source].start + source_index, self.values[target].start + target_index

    def hold_all(self, held: Mask, node: ir.Node) -> None:
        """All channels around a node must stay."""
        for value in (*node.inputs, *node.outputs):
            self._hold(held, value)


def _pairs(graph: ir.Graph, labels: _Labels, held: Mask) -> list[tuple[Index, Index]]:
    found = []
    for node in graph:
        rule = rule_of(node)
        if isinstance(rule, LinkedRule):
            found += [
                labels.pair(link.source, link.source_index, link.target, link.target_index)
                for link in rule.links(node)
                if link.tied and link.source in labels.values
            ]
        elif isinstance(rule, Opaque):
            if not isinstance(rule, ShapeRule):
                labels.hold_all(held, node)
        elif dense_layer(node) is None:
            linear = Linear.of(node)
            if linear is not None and linear.weights.shape[1] == linear.weights.shape[2] == 1:
                every = np.arange(len(linear.weights))
                found.append(labels.pair(linear.source, every, node.outputs[0], every))
            else:
                labels.hold_all(held, node)
    return found


def _read_inside(graph: ir.Graph, values: list[ir.Value]) -> list[ir.Value]:
    """Tensors that the body of a branch or a loop reads."""
    return [value for value in values if any(reader.graph is not graph for reader, _ in value.uses())]


def _members(units: list[list[tuple[ir.Value, int]]]) -> dict[ir.Value, Index]:
    found: dict[ir.Value, list[list[int]]] = collections.defaultdict(list)
    for unit in units:
        places: dict[ir.Value, list[int]] = collections.defaultdict(list)
        for value, channel in unit:
            places[value].append(channel)
        for value, channels_of in places.items():
            found[value].append(channels_of)
    return {value: np.array(rows, np.intp) for value, rows in found.items()}
