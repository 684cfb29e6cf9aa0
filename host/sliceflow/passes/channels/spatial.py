"""Operators that look around in each channel by itself: pools, resizing, padding, reductions over the map."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sliceflow.passes.channels.rule import CopyRule, Link, one_to_one
from sliceflow.passes.channels.state import Constants, Masks, channels
from sliceflow.passes.edit import add_initializer, drop_unread
from sliceflow.passes.view import attribute, axis_of, constant, graph_of, input_at, integers, rank, scalar


class _ChannelByChannel(CopyRule):
    def links(self, node: ir.Node) -> list[Link]:
        """Channels correspond."""
        source = node.inputs[0]
        return [one_to_one(source, node.outputs[0])] if source is not None else []


class PoolRule(_ChannelByChannel):
    """Maximum and global pools: a constant stays what it is; padding is not counted."""


class AveragePoolRule(_ChannelByChannel):
    """A constant stays what it is unless padded zeros are counted: then it is a multiple of one map."""

    def constants(self, node: ir.Node, known: Constants) -> None:
        """Where the padding counts, only zero stays constant."""
        bordered = "auto_pad" in node.attributes or any(attribute(node, "pads", [0])) or attribute(node, "ceil_mode", 0)
        if not (bordered and attribute(node, "count_include_pad", 0)):
            super().constants(node, known)
            return
        source, target = node.inputs[0], node.outputs[0]
        if source is not None:
            vector = known.flat(source)
            known.set_flat(target, np.where(vector == 0, 0.0, np.nan))
            known.set_multiples(target, np.where(vector == 0, np.nan, vector))


class ReduceRule(_ChannelByChannel):
    """Mean, maximum or minimum over the map."""

    def takes(self, node: ir.Node) -> bool:
        """The axes are known and leave batch and channels alone."""
        size, axes = rank(node.inputs[0]), integers(input_at(node, 1))
        if not super().takes(node) or size is None or not axes:
            return False
        return all(axis_of(axis, size) > 1 for axis in axes)


class PadRule(_ChannelByChannel):
    """Padding of the map."""

    def takes(self, node: ir.Node) -> bool:
        """The amounts are known, and none for batch and channels."""
        size, amounts = rank(node.inputs[0]), integers(input_at(node, 1))
        if not super().takes(node) or size is None or amounts is None or input_at(node, 3) is not None:
            return False
        return len(amounts) == 2 * size and not any(amounts[axis] for axis in (0, 1, size, size + 1))

    def constants(self, node: ir.Node, known: Constants) -> None:
        """A constant that differs from the border does not stay constant."""
        super().constants(node, known)
        if attribute(node, "mode", "constant") == "constant":
            filling = scalar(input_at(node, 2)) if input_at(node, 2) is not None else 0.0
            vector = known.flat(node.outputs[0])
            known.set_flat(node.outputs[0], np.where(vector == filling, vector, np.nan))


class ResizeRule(_ChannelByChannel):
    """Resizing of the map by weights that add up to one."""

    def takes(self, node: ir.Node) -> bool:
        """Scales or sizes are known, and leave batch and channels alone."""
        if not super().takes(node) or attribute(node, "coordinate_transformation_mode") == "tf_crop_and_resize":
            return False
        size = rank(node.inputs[0]) or 0
        axes = [axis_of(axis, size) for axis in attribute(node, "axes") or range(size)]
        if 0 not in axes and 1 not in axes:
            return True
        if axes != list(range(size)):
            return False
        scales, sizes = constant(input_at(node, 2)), integers(input_at(node, 3))
        if scales is not None and scales.size == size:
            return bool((scales.reshape(-1)[:2] == 1).all())
        return sizes is not None and len(sizes) == size and sizes[1] == channels(node.inputs[0])

    def cut(self, node: ir.Node, keep: Masks) -> None:
        """Correct the size of the channel axis, if sizes are given for all axes."""
        old, sizes = input_at(node, 3), integers(input_at(node, 3))
        if sizes is None or not sizes or attribute(node, "axes"):
            return
        sizes[1] = int(keep[node.outputs[0]].sum())
        value = add_initializer(graph_of(node), np.array(sizes, np.int64), f"{node.name}_sizes")
        node.replace_input_with(3, value)
        drop_unread(graph_of(node), old)
