"""Windows of convolutions and pools, written out."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from sliceflow.passes.base import Pass
from sliceflow.passes.edit import set_attributes
from sliceflow.passes.view import attribute, dims, input_at, is_op, rank

_WINDOWED = ("Conv", "MaxPool", "AveragePool")


class ExplicitWindows(Pass):
    """Every Conv, MaxPool and AveragePool states its whole window.

    1. Conv takes ``kernel_shape`` from its weights, if absent.
    2. ``strides``, ``dilations`` (1), ``pads`` (0), ``group`` (1), ``ceil_mode``, ``count_include_pad`` (0) are
       written. An AveragePool whose dilations are 1 has none: ONNX Runtime's own fusion of a quantized one does not
       know that attribute.
    3. ``auto_pad`` VALID is no padding.
    4. ``auto_pad`` SAME_UPPER and SAME_LOWER become ``pads``: total padding ``(ceil(in / stride) - 1) * stride +
       (kernel - 1) * dilation + 1 - in``, at least 0; the odd cell goes to the end (UPPER) or the start (LOWER). With
       stride 1 the size of the input does not matter; otherwise a dynamic one leaves the node as it is until shapes
       are bound.
    5. ``ceil_mode`` becomes 0 where rounding up adds no window: a window must not begin behind the map.
    """

    name = "explicit-windows"
    summary = "write kernel, strides, dilations, pads and group of Conv and pools; resolve auto_pad"

    def rewrite(self, node: ir.Node) -> bool:
        """Complete one node."""
        if not is_op(node, *_WINDOWED):
            return False
        kernel = attribute(node, "kernel_shape") or _weights_window(node)
        if kernel is None:
            return False
        values: dict[str, Any] = {"kernel_shape": kernel}
        values["strides"] = attribute(node, "strides") or [1] * len(kernel)
        dilations = attribute(node, "dilations") or [1] * len(kernel)
        changed = False
        if node.op_type == "AveragePool" and set(dilations) == {1}:
            changed = node.attributes.pop("dilations", None) is not None
        else:
            values["dilations"] = dilations
        if node.op_type == "Conv":
            values["group"] = attribute(node, "group", 1)
        else:
            values["ceil_mode"] = attribute(node, "ceil_mode", 0)
        if node.op_type == "AveragePool":
            values["count_include_pad"] = attribute(node, "count_include_pad", 0)
        changed |= set_attributes(node, values)
        pads = _pads(node, kernel, values["strides"], dilations)
        if pads is None:
            return changed
        changed |= set_attributes(node, {"pads": pads})
        sizes = _floor_sizes(node, kernel, values["strides"], dilations, pads) if values.get("ceil_mode") else None
        if sizes is not None:  # shape inference counts the window that is none
            set_attributes(node, {"ceil_mode": 0})
            node.outputs[0].shape = ir.Shape([*(dims(node.inputs[0]) or ())[:2], *sizes])
            changed = True
        return node.attributes.pop("auto_pad", None) is not None or changed

    def ensures(self, model: ir.Model) -> None:
        """What has ``pads`` has all other attributes too."""
        for node in model.graph:
            incomplete = "pads" in node.attributes and "kernel_shape" not in node.attributes
            if is_op(node, *_WINDOWED) and incomplete and (node.op_type != "Conv" or _weights_window(node) is not None):
                raise ir.passes.PostconditionError(f"{node.name} has no kernel_shape")


def _weights_window(node: ir.Node) -> list[int] | None:
    """Rule 1."""
    found = dims(input_at(node, 1)) if node.op_type == "Conv" else None
    if found is None or len(found) < 3:
        return None
    window = [size for size in found[2:] if isinstance(size, int)]
    return window if len(window) == len(found) - 2 else None


def _pads(node: ir.Node, kernel: list[int], strides: list[int], dilations: list[int]) -> list[int] | None:
    """Rules 2 to 4; None if the input's size is needed and unknown."""
    mode = attribute(node, "auto_pad", "NOTSET") or "NOTSET"
    if mode == "NOTSET":
        return attribute(node, "pads") or [0] * (2 * len(kernel))
    if mode == "VALID":
        return [0] * (2 * len(kernel))
    found = dims(node.inputs[0])
    sizes = found[2:] if found is not None and rank(node.inputs[0]) == len(kernel) + 2 else [None] * len(kernel)
    begin, end = [], []
    for size, window, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        reach = (window - 1) * dilation
        if isinstance(size, int):
            total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
        elif stride == 1:
            total = reach
        else:
            return None
        small, large = total // 2, total - total // 2
        begin.append(large if mode == "SAME_LOWER" else small)
        end.append(small if mode == "SAME_LOWER" else large)
    return begin + end


def _floor_sizes(
    node: ir.Node, kernel: list[int], strides: list[int], dilations: list[int], pads: list[int]
) -> list[int] | None:
    """Rule 5: the size of the output without rounding up; None if rounding up adds windows, or sizes are unknown."""
    found = dims(node.inputs[0])
    if found is None or len(found) != len(kernel) + 2:
        return None
    result = []
    for axis, (size, window, stride, dilation) in enumerate(zip(found[2:], kernel, strides, dilations, strict=True)):
        if not isinstance(size, int):
            return None
        room = size + pads[axis] + pads[axis + len(kernel)] - (window - 1) * dilation - 1
        if room % stride and (room // stride + 1) * stride < size + pads[axis]:
            return None
        result.append(room // stride + 1)
    return result
