"""Dynamic quantization: activations get their scale from each input, at run time.

The accelerator's scales are constants. But dynamic quantization is an approximation of a float model that the file
still holds, up to the rounding of the weights, so it is undone: weights are integers times scale in float, and what
quantized activations goes. The result can be quantized with samples like any float model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.frontend.forms.form import MICROSOFT, Form, nodes
from sliceflow.frontend.forms.qdq import become_product
from sliceflow.passes.edit import add_initializer, become
from sliceflow.passes.view import attribute, constant, graph_of, input_at, is_op

_Floats = NDArray[np.float32]


class Dynamic(Form):
    """DynamicQuantizeLinear and the integer products behind it become float operators.

    1. ConvInteger or MatMulInteger of the quantized tensor and constant weights, whose result is cast to float and
       multiplied by the scale (times a constant), becomes Conv or MatMul of the tensor before and the weights minus
       their zero point; the scale becomes 1.
    2. MatMulIntegerToFloat, and a DequantizeLinear that only undoes the quantization, likewise.
    3. DynamicQuantizeMatMul and DynamicQuantizeLSTM become MatMul and LSTM.

    A DynamicQuantizeLinear with any other reader stays, and all its readers do.
    """

    name = "dynamic-quantization"
    summary = "dynamic quantization is undone: DynamicQuantizeLinear goes, weights become float"

    exact = False

    @classmethod
    def note(cls, count: int) -> str:
        """One sentence for the user."""
        return (
            f"dynamic quantization was undone: {nodes(count)}; weights are integers times scale in float32, and the "
            f"model is a float model to be quantized with --calibration"
        )

    def rewrite(self, node: ir.Node) -> bool:
        """Undo one node."""
        if node.domain == MICROSOFT and node.op_type == "DynamicQuantizeMatMul":
            return _undo_matmul(node, None, (1, 2, 3, 4))
        if node.domain == MICROSOFT and node.op_type == "DynamicQuantizeLSTM":
            return _undo_lstm(node)
        return is_op(node, "DynamicQuantizeLinear") and _undo_linear(node)


def _undo_linear(node: ir.Node) -> bool:
    source, graph = node.inputs[0], graph_of(node)
    if source is None or len(node.outputs) != 3 or any(output.is_graph_output() for output in node.outputs):
        return False
    stored, scale, zero = node.outputs
    readers = {reader for reader, _ in stored.uses()}
    products: set[ir.Node] = set()
    for reader in readers:
        found = _products(reader, node) if reader.graph is graph else None
        if found is None:
            return False
        products |= found
    if any(reader not in readers for reader, _ in zero.uses()) or not _only_scales(scale, readers | products):
        return False
    for reader in sorted(readers, key=lambda each: str(each.name)):
        _undo_reader(reader, source)
    scale.replace_all_uses_with(add_initializer(graph, np.ones((), np.float32), f"{scale.name}_undone"))
    graph.remove(node, safe=True)
    return True


def _only_scales(scale: ir.Value, known: set[ir.Node]) -> bool:
    """Whether nobody else reads the scale or a constant multiple of it."""
    for reader, _ in scale.uses():
        product = reader.outputs[0]
        factor = is_op(reader, "Mul") and not product.is_graph_output() and all(u in known for u, _ in product.uses())
        if reader not in known and not factor:
            return False
    return True


def _products(reader: ir.Node, node: ir.Node) -> set[ir.Node] | None:
    """The multiplications by the scale behind a reader of the integers; None if it cannot be undone."""
    stored, scale, zero = node.outputs
    if is_op(reader, "DequantizeLinear"):
        return set() if list(reader.inputs) == [stored, scale, zero] else None
    if reader.domain == MICROSOFT and reader.op_type == "MatMulIntegerToFloat":
        operands = reader.inputs[0] is stored and reader.inputs[2] is scale and input_at(reader, 4) is zero
        return set() if operands and _weights(reader, 1, 3, 5) is not None else None
    if not is_op(reader, "ConvInteger", "MatMulInteger") or reader.inputs[0] is not stored:
        return None
    sums = reader.outputs[0]
    if input_at(reader, 2) is not zero or _weights(reader, 1, None, 3) is None or sums.is_graph_output():
        return None
    found: set[ir.Node] = set()
    for cast, _ in sums.uses():
        if not is_op(cast, "Cast") or attribute(cast, "to") != ir.DataType.FLOAT or cast.outputs[0].is_graph_output():
            return None
        found |= {product for product, _ in cast.outputs[0].uses()}
    scaled = all(is_op(each, "Mul") and sum(_is_multiple(v, scale) for v in each.inputs) == 1 for each in found)
    return found if scaled else None


def _is_multiple(value: ir.Value | None, scale: ir.Value) -> bool:
    """Whether a value is the scale, or a constant times it."""
    producer = value.producer() if value is not None else None
    if value is scale or not is_op(producer, "Mul"):
        return value is scale
    assert producer is not None  # a Mul
    first, second = producer.inputs
    return (first is scale and constant(second) is not None) or (second is scale and constant(first) is not None)


def _undo_reader(reader: ir.Node, source: ir.Value) -> None:
    if is_op(reader, "DequantizeLinear"):
        become(reader, "Identity", [source])
    elif is_op(reader, "ConvInteger", "MatMulInteger"):
        weights, attributes = _weights(reader, 1, None, 3), {n: attribute(reader, n) for n in reader.attributes}
        assert weights is not None  # _products looked
        operands = [source, add_initializer(graph_of(reader), weights, f"{reader.name}_weights")]
        become(reader, reader.op_type.removesuffix("Integer"), operands, attributes)
    else:
        _undo_matmul(reader, source, (1, 3, 5, 6))
    reader.outputs[0].dtype = ir.DataType.FLOAT


def _undo_matmul(node: ir.Node, source: ir.Value | None, places: tuple[int, int, int, int]) -> bool:
    """A product with a float result becomes MatMul, and Add where it has a bias.

    Args:
        node: the product.
        source: its left operand; input 0 if None.
        places: inputs that hold weights, scale, zero point and bias.
    """
    weights, bias = _weights(node, *places[:3]), input_at(node, places[3])
    left = node.inputs[0] if source is None else source
    if weights is None or left is None:
        return False
    operands = [left, add_initializer(graph_of(node), weights, f"{node.name}_weights")]
    become_product(node, operands, bias)
    return True


def _weights(node: ir.Node, stored: int, scale: int | None, zero: int) -> _Floats | None:
    """Constant integer weights as floats; None if they, their scale or their zero point is no constant.

    Parameters for each output belong to axis 0 of a convolution, and to the last axis of a matrix.
    """
    array = constant(input_at(node, stored))
    if array is None or array.dtype.kind not in "iu" or array.ndim < 2:
        return None
    of_conv = is_op(node, "ConvInteger")
    values = array.astype(np.float32)
    for index, place in ((0, zero), (1, scale)):
        value = input_at(node, place) if place is not None else None
        if value is None:
            continue
        parameter = _fitting(constant(value), array.shape[0 if of_conv else -1])
        if parameter is None:
            return None
        wide = parameter.reshape(-1, *[1] * (array.ndim - 1)) if of_conv and parameter.ndim else parameter
        values = values * wide if index else values - wide
    return values


def _fitting(parameter: NDArray[Any] | None, count: int) -> _Floats | None:
    """A constant scale or zero point as one number, or one for each of ``count`` outputs."""
    if parameter is None or parameter.dtype.kind not in "fiu" or parameter.size not in (1, count):
        return None
    if max(parameter.shape, default=1) != parameter.size:
        return None
    return parameter.astype(np.float32).reshape(-1 if parameter.size > 1 else ())


def _undo_lstm(node: ir.Node) -> bool:
    """Its matrices lie the other way round than those of LSTM, with a scale for each direction or for each column."""
    matrices = [_recurrent(node, place, place_of_scale) for place, place_of_scale in ((1, 8), (2, 10))]
    if matrices[0] is None or matrices[1] is None:
        return False
    graph, kept = graph_of(node), [input_at(node, index) for index in (0, 3, 4, 5, 6, 7)]
    w, r = add_initializer(graph, matrices[0], f"{node.name}_w"), add_initializer(graph, matrices[1], f"{node.name}_r")
    attributes = {name: attribute(node, name) for name in node.attributes}
    inputs = [kept[0], w, r, *kept[1:]]
    while inputs[-1] is None:
        inputs.pop()
    become(node, "LSTM", inputs, attributes)
    node.domain, node.version = "", None
    return True


def _recurrent(node: ir.Node, place: int, place_of_scale: int) -> _Floats | None:
    stored, scale = constant(input_at(node, place)), constant(input_at(node, place_of_scale))
    zero = constant(input_at(node, place_of_scale + 1))
    if stored is None or stored.ndim != 3 or scale is None or scale.ndim not in (1, 2):
        return None
    if zero is None and input_at(node, place_of_scale + 1) is not None:
        return None
    count = stored.shape[0]
    sizes = (count, count * stored.shape[2])
    if any(each is not None and (each.dtype.kind not in "fiu" or each.size not in sizes) for each in (scale, zero)):
        return None
    centred = stored.astype(np.float32) - (0 if zero is None else zero.astype(np.float32).reshape(count, 1, -1))
    return np.ascontiguousarray((centred * scale.astype(np.float32).reshape(count, 1, -1)).transpose(0, 2, 1))
