"""Operators of ONNX Runtime that have the channels behind the places."""

from __future__ import annotations

import onnx_ir as ir

from sliceflow.frontend.forms.form import MICROSOFT, Form, nodes, whole
from sliceflow.passes.edit import new_node, unique_name
from sliceflow.passes.view import attribute, graph_of, input_at, rank

_FLAGGED = ("QLinearConv", "QLinearAveragePool", "QLinearGlobalAveragePool")
_RENAMED = {"NhwcMaxPool": "MaxPool"}


class ChannelsLast(Form):
    """They are put between two Transposes and lose their flag; NhwcMaxPool becomes MaxPool."""

    name = "channels-last"
    summary = "com.microsoft operators with channels_last are put between Transposes"

    @classmethod
    def note(cls, count: int) -> str:
        """One sentence for the user."""
        return f"operators with the channels last were put between Transposes: {nodes(count)}"

    def rewrite(self, node: ir.Node) -> bool:
        """Rewrite one node, once the rank of its input is known."""
        flagged = node.op_type in _FLAGGED and whole(node, "channels_last")
        if node.domain != MICROSOFT or not (flagged or node.op_type in _RENAMED):
            return False
        axes = _rank(node)
        if axes is None or axes < 3:
            return False
        node.attributes.pop("channels_last", None)
        if node.op_type in _RENAMED:
            node.op_type, node.domain, node.version = _RENAMED[node.op_type], "", None
        source, result = node.inputs[0], node.outputs[0]
        first = [0, axes - 1, *range(1, axes - 1)]
        assert source is not None  # its rank is known
        node.replace_input_with(
            0, new_node(node, "Transpose", [source], {"perm": first}, name=f"{node.name}_first", dtype=source.dtype)
        )
        _transpose_result(node, result, [0, *range(2, axes), 1])
        return True


def _rank(node: ir.Node) -> int | None:
    if node.op_type == "QLinearConv":
        return rank(input_at(node, 3))
    kernel = attribute(node, "kernel_shape")
    return rank(node.inputs[0]) if kernel is None else len(kernel) + 2


def _transpose_result(node: ir.Node, result: ir.Value, perm: list[int]) -> None:
    """Put a Transpose behind a node that takes over its output, name and readers and all."""
    graph = graph_of(node)
    node.resize_outputs(1)
    last = ir.node("Transpose", [result], {"perm": perm}, name=unique_name(graph, f"{node.name}_last"))
    moved = last.outputs[0]
    moved.type, moved.shape, result.shape = result.type, result.shape, None
    result.replace_all_uses_with(moved, replace_graph_outputs=True)
    last.replace_input_with(0, result)
    moved.name = result.name
    result.name = unique_name(graph, f"{node.name}_channels_first")
    graph.insert_after(node, last)
