"""ConvInteger and MatMulInteger with constant scales: integer sums that are cast to float and multiplied."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.frontend.forms.form import Form, nodes
from sliceflow.frontend.forms.qdq import dequantize, numbers
from sliceflow.passes.edit import add_initializer, become
from sliceflow.passes.view import attribute, constant, graph_of, input_at, is_op, only_consumer, scalar


class IntegerProducts(Form):
    """ConvInteger or MatMulInteger, Cast to float and Mul by constants become Conv or MatMul of dequantized operands.

    The factor is the product of the scales of data and weights. That of the data is the one of the QuantizeLinear that
    made it, or 1; the rest belongs to the weights, one number or one for each output.
    """

    name = "integer-products"
    summary = "ConvInteger and MatMulInteger with constant scales become Conv and MatMul of dequantized operands"

    @classmethod
    def note(cls, count: int) -> str:
        """One sentence for the user."""
        return f"integer products with constant scales became QuantizeLinear/DequantizeLinear: {nodes(count)}"

    def rewrite(self, node: ir.Node) -> bool:
        """Rewrite one node."""
        if not is_op(node, "ConvInteger", "MatMulInteger"):
            return False
        cast = only_consumer(node.outputs[0])
        product = only_consumer(cast.outputs[0]) if cast is not None and is_op(cast, "Cast") else None
        if cast is None or product is None or not is_op(product, "Mul"):
            return False
        factor = constant(product.inputs[1 if product.inputs[0] is cast.outputs[0] else 0])
        stored, weights = node.inputs[0], node.inputs[1]
        if attribute(cast, "to") != ir.DataType.FLOAT or stored is None or weights is None or factor is None:
            return False
        if constant(weights) is None or numbers(input_at(node, 2), weights) == 0 or numbers(input_at(node, 3)) == 0:
            return False
        return _rewrite(node, product, stored, weights, factor)


def _rewrite(node: ir.Node, product: ir.Node, stored: ir.Value, weights: ir.Value, factor: NDArray[np.float32]) -> bool:
    zeros = input_at(node, 2), input_at(node, 3)
    array = constant(weights)
    axis = 0 if is_op(node, "ConvInteger") else -1
    scale = _of_outputs(factor, array, axis)
    if scale is None or (zeros[0] is not None and scalar(zeros[0]) is None):
        return False
    graph, data = graph_of(node), _scale_of(stored)
    each = axis % array.ndim if max(scale.size, numbers(zeros[1])) > 1 else None  # type: ignore[union-attr]
    own = add_initializer(graph, np.asarray(scale / data, np.float32), f"{node.name}_weight_scale")
    grid = add_initializer(graph, data, f"{node.name}_data_scale")
    operands = [dequantize(product, stored, grid, zeros[0]), dequantize(product, weights, own, zeros[1], axis=each)]
    attributes = {name: attribute(node, name) for name in node.attributes}
    become(product, node.op_type.removesuffix("Integer"), operands, attributes)
    product.name, node.name = node.name, product.name
    return True


def _of_outputs(
    factor: NDArray[np.float32], weights: NDArray[np.integer] | None, axis: int
) -> NDArray[np.float32] | None:
    """A factor as one number or one for each output; None if it varies otherwise."""
    if weights is None or weights.ndim < 2:
        return None
    if factor.size == 1:
        return factor.reshape(())
    place = -1 if axis == -1 else 1 - weights.ndim  # of the channels, counted from the end of the result
    right = factor.ndim >= -place and factor.shape[place] == factor.size == weights.shape[axis]
    return factor.reshape(-1) if right else None


def _scale_of(stored: ir.Value) -> NDArray[np.float32]:
    producer = stored.producer()
    scale = constant(input_at(producer, 1)) if producer is not None and is_op(producer, "QuantizeLinear") else None
    return np.ones((), np.float32) if scale is None or scale.size != 1 else scale.reshape(()).astype(np.float32)
