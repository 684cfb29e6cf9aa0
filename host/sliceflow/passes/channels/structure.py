"""Operators that move channels without computing: joining, splitting, selecting, reshaping."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sliceflow.passes.channels.rule import CopyRule, Link, Opaque, one_to_one
from sliceflow.passes.channels.state import Masks, channels
from sliceflow.passes.edit import add_initializer, drop_unread
from sliceflow.passes.view import attribute, axis_of, constant, dims, graph_of, input_at, integers, is_op, rank


def _along_channels(node: ir.Node, default: int = 0) -> bool:
    size = rank(node.inputs[0])
    return size is not None and axis_of(int(attribute(node, "axis", default)), size) == 1


def _replace_constant(node: ir.Node, index: int, numbers: list[int]) -> None:
    old = node.inputs[index]
    value = add_initializer(graph_of(node), np.array(numbers, np.int64), f"{node.name}_cut")
    node.replace_input_with(index, value)
    drop_unread(graph_of(node), old)


class ConcatRule(CopyRule):
    """Tensors side by side."""

    def takes(self, node: ir.Node) -> bool:
        """Along the channels of activations."""
        counts = [channels(value) for value in node.inputs]
        return bool(counts) and None not in counts and channels(node.outputs[0]) is not None and _along_channels(node)

    def links(self, node: ir.Node) -> list[Link]:
        """Each input has its range."""
        links, offset = [], 0
        for value in node.inputs:
            count = channels(value)
            if value is not None and count is not None:
                links.append(Link(value, np.arange(count), node.outputs[0], offset + np.arange(count)))
                offset += count
        return links


class SplitRule(CopyRule):
    """A tensor in ranges of channels."""

    def takes(self, node: ir.Node) -> bool:
        """Along the channels, into parts of known sizes."""
        counts = [channels(value) for value in node.outputs]
        known = channels(node.inputs[0])
        return (
            known is not None
            and None not in counts
            and _along_channels(node)
            and sum(count or 0 for count in counts) == known
        )

    def links(self, node: ir.Node) -> list[Link]:
        """Each output has its range."""
        links, offset, source = [], 0, node.inputs[0]
        for value in node.outputs:
            count = channels(value)
            if source is not None and count is not None:
                links.append(Link(source, offset + np.arange(count), value, np.arange(count)))
                offset += count
        return links

    def cut(self, node: ir.Node, keep: Masks) -> None:
        """State the sizes."""
        node.attributes.pop("num_outputs", None)
        if len(node.inputs) < 2:
            node.resize_inputs(2)
        _replace_constant(node, 1, [int(keep[value].sum()) for value in node.outputs])


class SliceRule(CopyRule):
    """One range of channels."""

    def takes(self, node: ir.Node) -> bool:
        """Constant bounds along the channels only, step 1."""
        arguments = [integers(value) for value in node.inputs[1:5]]
        if channels(node.inputs[0]) is None or channels(node.outputs[0]) is None or len(arguments) < 3:
            return False
        starts, ends, axes, *steps = arguments
        size = rank(node.inputs[0]) or 0
        return (
            starts is not None
            and ends is not None
            and axes is not None
            and len(starts) == len(ends) == len(axes) == 1
            and axis_of(axes[0], size) == 1
            and steps in ([], [[1]])
            and len(self._range(node)) == channels(node.outputs[0])
        )

    def _range(self, node: ir.Node) -> range:
        start, end = (integers(value) or [0] for value in node.inputs[1:3])
        return range(channels(node.inputs[0]) or 0)[start[0] : end[0]]

    def links(self, node: ir.Node) -> list[Link]:
        """The range."""
        source, chosen = node.inputs[0], np.array(self._range(node), np.intp)
        return [Link(source, chosen, node.outputs[0], np.arange(len(chosen)))] if source is not None else []

    def cut(self, node: ir.Node, keep: Masks) -> None:
        """Correct the bounds."""
        source = node.inputs[0]
        if source is not None:
            start = int(keep[source][: self._range(node).start].sum())
            _replace_constant(node, 1, [start])
            _replace_constant(node, 2, [start + int(keep[node.outputs[0]].sum())])


class GatherRule(CopyRule):
    """Channels in any order, also several times."""

    def takes(self, node: ir.Node) -> bool:
        """A constant vector of indices along the channels."""
        index, count = constant(input_at(node, 1)), channels(node.inputs[0])
        if index is None or index.ndim != 1 or count is None or channels(node.outputs[0]) != index.size:
            return False
        return _along_channels(node) and bool(((-count <= index) & (index < count)).all())

    def links(self, node: ir.Node) -> list[Link]:
        """The indices."""
        source, index = node.inputs[0], constant(input_at(node, 1))
        if source is None or index is None:
            return []
        chosen = np.asarray(index, np.intp) % (channels(source) or 1)
        return [Link(source, chosen, node.outputs[0], np.arange(len(chosen)))]

    def cut(self, node: ir.Node, keep: Masks) -> None:
        """Renumber."""
        for link in self.links(node):
            number = np.cumsum(keep[link.source]) - 1
            chosen = link.source_index[keep[link.target]]
            _replace_constant(node, 1, [int(item) for item in number[chosen]])


class ReshapeRule(CopyRule):
    """Flatten and Reshape that keep the batch: a channel becomes columns, or columns become a channel."""

    def takes(self, node: ir.Node) -> bool:
        """One count of channels is a multiple of the other, and the batch stays first."""
        source, target = channels(node.inputs[0]), channels(node.outputs[0])
        if source is None or target is None or (source % target and target % source):
            return False
        if is_op(node, "Flatten"):
            return bool(attribute(node, "axis", 1) == 1)
        wanted = integers(input_at(node, 1))
        if wanted is None or len(wanted) < 2 or attribute(node, "allowzero", 0) or wanted[1] not in (0, -1, target):
            return False
        before, after = dims(node.inputs[0]) or (None,), dims(node.outputs[0]) or (None,)
        return wanted[0] == 0 or (before[0] is not None and before[0] == after[0])

    def links(self, node: ir.Node) -> list[Link]:
        """Blocks of columns."""
        value, target = node.inputs[0], node.outputs[0]
        source_count, target_count = channels(value) or 1, channels(target) or 1
        if value is None:
            return []
        every = np.arange(max(source_count, target_count))
        return [Link(value, every // (len(every) // source_count), target, every // (len(every) // target_count))]

    def cut(self, node: ir.Node, keep: Masks) -> None:
        """Correct the target shape."""
        wanted = integers(input_at(node, 1)) if is_op(node, "Reshape") else None
        if wanted is not None and wanted[1] > 0:
            wanted[1] = int(keep[node.outputs[0]].sum())
            _replace_constant(node, 1, wanted)


class SameChannelsRule(CopyRule):
    """Squeeze, Unsqueeze and Transpose behind the channel axis."""

    def takes(self, node: ir.Node) -> bool:
        """Batch and channels stay the first two axes."""
        if not super().takes(node):
            return False
        if is_op(node, "Transpose"):
            return list(attribute(node, "perm") or [])[:2] == [0, 1]
        size = max(rank(node.inputs[0]) or 0, rank(node.outputs[0]) or 0)
        axes = integers(input_at(node, 1))
        return axes is not None and all(axis_of(axis, size) > 1 for axis in axes)

    def links(self, node: ir.Node) -> list[Link]:
        """Channels correspond."""
        source = node.inputs[0]
        return [one_to_one(source, node.outputs[0])] if source is not None else []


class DepthToSpaceRule(CopyRule):
    """Channels become places of a larger map."""

    def takes(self, node: ir.Node) -> bool:
        """Known channels."""
        source, target = channels(node.inputs[0]), channels(node.outputs[0])
        return source is not None and target is not None and source == target * self._cells(node)

    def _cells(self, node: ir.Node) -> int:
        return int(attribute(node, "blocksize", 1)) ** 2

    def links(self, node: ir.Node) -> list[Link]:
        """Every output channel comes from as many channels as a block has cells."""
        source, target, cells = node.inputs[0], node.outputs[0], self._cells(node)
        if source is None:
            return []
        every, count = np.arange(channels(source) or 0), channels(target) or 1
        column_first = attribute(node, "mode", "DCR") == "CRD"
        return [Link(source, every, target, every // cells if column_first else every % count)]


class ShapeRule(Opaque):
    """The shape of a tensor, if nobody looks at the number of its channels."""

    def takes(self, node: ir.Node) -> bool:
        """The part that is read does not reach axis 1."""
        size = rank(node.inputs[0])
        if size is None or channels(node.inputs[0]) is None or node.outputs[0].is_graph_output():
            return False
        seen = range(size)[int(attribute(node, "start", 0)) : int(attribute(node, "end", size))]
        return 1 not in seen or all(_other_axis(reader, seen) for reader in node.outputs[0].consumers())

    def need(self, node: ir.Node, needed: Masks) -> None:
        """Nothing."""

    def tie(self, node: ir.Node, keep: Masks) -> None:
        """Nothing."""


def _other_axis(reader: ir.Node, seen: range) -> bool:
    index = integers(input_at(reader, 1)) if is_op(reader, "Gather") else None
    return bool(index) and all(-len(seen) <= i < len(seen) and seen[i] != 1 for i in index or ())
