"""Weights in integers, and nothing else."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.frontend.forms.form import Form, nodes, whole
from sliceflow.passes.edit import drop_unread, replace_by_constant
from sliceflow.passes.evaluate import check_size
from sliceflow.passes.view import axis_of, constant, graph_of, input_at, is_op


class WeightOnly(Form):
    """Where no activation is quantized, a DequantizeLinear of a constant is storage, and becomes a float constant.

    Applies to models without QuantizeLinear, and without DequantizeLinear of anything that is computed or fed.
    """

    name = "weight-only"
    summary = "dequantized constants become float constants where no activation is quantized"

    exact = False

    @classmethod
    def note(cls, count: int) -> str:
        """One sentence for the user."""
        return (
            f"only weights are stored in integers: {nodes(count)} became float32 constants, and the model is a float "
            f"model to be quantized with --calibration"
        )

    def begin(self, model: ir.Model) -> None:
        """Look for quantized activations."""
        self._applies = not any(
            node.op_type == "DynamicQuantizeLinear" or node.op_type.startswith("Q") or _of_activation(node)
            for node in model.graph
        )

    def rewrite(self, node: ir.Node) -> bool:
        """Rewrite one node."""
        if not self._applies or not is_op(node, "DequantizeLinear") or node.outputs[0].is_graph_output():
            return False
        array = _dequantized(node)
        if array is None:
            return False
        inputs, graph = list(node.inputs), graph_of(node)
        replace_by_constant(node, array)
        graph.remove(node, safe=True)
        drop_unread(graph, *inputs)
        return True


def _of_activation(node: ir.Node) -> bool:
    return node.op_type == "DequantizeLinear" and constant(input_at(node, 0)) is None


def _dequantized(node: ir.Node) -> NDArray[np.float32] | None:
    stored, scale, zero = (constant(input_at(node, index)) for index in range(3))
    if stored is None or scale is None or (zero is None and input_at(node, 2) is not None):
        return None
    if scale.dtype != np.float32 or not stored.dtype.name.removeprefix("u").startswith("int"):
        return None
    if zero is not None and zero.dtype != stored.dtype:
        return None
    check_size(stored.shape, 4)
    values = stored.astype(np.float32)
    for number, parameter in ((0, zero), (1, scale)):
        if parameter is None:
            continue
        wide = _spread(parameter.astype(np.float32), values.shape, node)
        values = values * wide if number else values - wide
    return values


def _spread(parameter: NDArray[np.float32], shape: tuple[int, ...], node: ir.Node) -> NDArray[np.float32]:
    """A scale or zero point against a tensor: one number, one for each index of an axis, or one for each block.

    Raises:
        ValueError: it does not fit.
    """
    if parameter.size == 1:
        return parameter.reshape(())
    axis, block = axis_of(whole(node, "axis", 1), len(shape)), whole(node, "block_size")
    wanted = (*shape[:axis], -(-shape[axis] // block), *shape[axis + 1 :]) if block > 0 else (shape[axis],)
    if parameter.shape != wanted:
        raise ValueError(f"the scale or zero point has shape {parameter.shape}, not {wanted}")
    if block > 0:
        return np.repeat(parameter, min(block, shape[axis]), axis)[tuple(slice(size) for size in shape)]
    return parameter.reshape([-1 if index == axis else 1 for index in range(len(shape))])
