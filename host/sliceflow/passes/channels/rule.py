"""What an operator does with channels: the interface, and the two commonest kinds."""

from __future__ import annotations

import abc
import dataclasses

import numpy as np
import onnx_ir as ir

from sliceflow.passes.channels.state import Constants, Index, Masks, Vector, channels


class Rule(abc.ABC):
    """What one family of operators does with channels. Called only for nodes that ``takes`` accepts."""

    @abc.abstractmethod
    def takes(self, node: ir.Node) -> bool:
        """Whether the rule describes this node."""

    @abc.abstractmethod
    def constants(self, node: ir.Node, known: Constants) -> None:
        """Add what follows for the outputs; nothing is always right."""

    @abc.abstractmethod
    def need(self, node: ir.Node, needed: Masks) -> None:
        """Add the input channels that the needed output channels depend on."""

    @abc.abstractmethod
    def tie(self, node: ir.Node, keep: Masks) -> None:
        """Add the channels that must stay because others do."""

    @abc.abstractmethod
    def cut(self, node: ir.Node, keep: Masks) -> None:
        """Rewrite attributes and constants for the channels that stay. Shapes are not its business."""


@dataclasses.dataclass(frozen=True)
class Link:
    """Channel ``source_index[k]`` of a source makes channel ``target_index[k]`` of the output, for every k.

    Attributes:
        tied: both stay or leave together. Not so where one source channel is broadcast over all outputs.
    """

    source: ir.Value
    source_index: Index
    target: ir.Value
    target_index: Index
    tied: bool = True


def one_to_one(source: ir.Value, target: ir.Value) -> Link:
    """The link of tensors whose channels correspond."""
    every = np.arange(channels(source) or 0)
    return Link(source, every, target, every)


class LinkedRule(Rule):
    """An operator in which every output channel comes from given input channels, by links."""

    @abc.abstractmethod
    def links(self, node: ir.Node) -> list[Link]:
        """The links of a node that the rule takes."""

    def takes(self, node: ir.Node) -> bool:
        """Inputs and output have known channels of the same number."""
        count = channels(node.outputs[0])
        return first_only(node) and count is not None and count == channels(node.inputs[0])

    def constants(self, node: ir.Node, known: Constants) -> None:
        """Nothing."""

    def need(self, node: ir.Node, needed: Masks) -> None:
        """A source is needed if its target is."""
        for link in self.links(node):
            needed.grow_at(link.source, link.source_index[needed[link.target][link.target_index]])

    def tie(self, node: ir.Node, keep: Masks) -> None:
        """Both ends of a tied link stay if one does."""
        for link in self.links(node):
            if link.tied:
                keep.grow_at(link.source, link.source_index[keep[link.target][link.target_index]])
                keep.grow_at(link.target, link.target_index[keep[link.source][link.source_index]])

    def cut(self, node: ir.Node, keep: Masks) -> None:
        """Nothing."""


class CopyRule(LinkedRule):
    """Links over which a constant passes unchanged."""

    def constants(self, node: ir.Node, known: Constants) -> None:
        """An output channel is constant if all of its sources are the same constant."""
        result: dict[ir.Value, Vector] = {}
        for link in self.links(node):
            vector = result.get(link.target)
            values = known.flat(link.source)[link.source_index]
            if vector is None:
                vector = result[link.target] = np.full(channels(link.target) or 0, np.nan)
            vector[link.target_index] = values
            differs = vector[link.target_index] != values  # several sources of one channel: the last was written
            vector[link.target_index[differs]] = np.nan
        for value, vector in result.items():
            known.set_flat(value, vector)


class Opaque(Rule):
    """An operator of which nothing is known."""

    def takes(self, node: ir.Node) -> bool:
        """Any node."""
        return True

    def constants(self, node: ir.Node, known: Constants) -> None:
        """Nothing."""

    def need(self, node: ir.Node, needed: Masks) -> None:
        """All inputs."""
        for value in node.inputs:
            needed.grow_all(value)

    def tie(self, node: ir.Node, keep: Masks) -> None:
        """All inputs and outputs stay."""
        for value in (*node.inputs, *node.outputs):
            keep.grow_all(value)

    def cut(self, node: ir.Node, keep: Masks) -> None:
        """Nothing."""


def first_only(node: ir.Node) -> bool:
    """Whether the node has an input, and only its first output is read."""
    return bool(node.inputs) and node.inputs[0] is not None and not any(value.uses() for value in node.outputs[1:])
