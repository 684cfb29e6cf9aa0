"""Multiply-accumulates of a node: products of data with weights, or of data with data, that are summed up.

Elementwise arithmetic, pooling and interpolation count as none. What computes products whose number does not follow
from the shapes is unknown (None), never zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import onnx
import onnx_ir as ir

from sliceflow.passes.view import attribute, dims, input_at, integers, is_op, scalar

MICROSOFT = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""
_Rule = Callable[[ir.Node, int], int | None]
_NO_PRODUCTS = frozenset(
    {"BiasGelu", "BiasSoftmax", "BiasSplitGelu", "FastGelu", "Gelu", "Inverse", "NhwcMaxPool", "QLinearAdd"}
    | {"QLinearAveragePool", "QLinearConcat", "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMul"}
    | {"QLinearReduceMean", "QLinearSigmoid", "QLinearSoftmax", "QLinearWhere", "QuickGelu", "QuantizeLinear"}
    | {"DequantizeLinear", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "RotaryEmbedding", "Pad"}
    | {"SimplifiedLayerNormalization", "GroupNorm", "EmbedLayerNormalization", "QEmbedLayerNormalization", "Trilu"}
)
"""Operators of ONNX Runtime without products that are summed."""
_UNCOUNTED = frozenset({"DFT", "STFT", "SequenceMap"})
"""Standard operators whose products are not counted by shapes."""


def macs_of(node: ir.Node, images: int = 1) -> int | None:
    """Multiply-accumulates of a node for one image.

    Args:
        node: with the shapes that are known.
        images: how many the tensors hold; a first dimension that is a symbol counts as so many.

    Returns:
        The number, 0 for operators without sums of products, None where it is not known.
    """
    rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx", MICROSOFT) else None
    if rule is None:
        return _without_rule(node)
    count = rule(node, images)
    return None if count is None else -(-count // images)


def total(counts: Iterable[int | None]) -> int | None:
    """The sum of counts; None if one of them is not known."""
    found = list(counts)
    return None if None in found else sum(count or 0 for count in found)


def _without_rule(node: ir.Node) -> int | None:
    if node.domain == MICROSOFT:
        return 0 if node.op_type in _NO_PRODUCTS else None
    if node.domain not in ("", "ai.onnx") or node.op_type in _UNCOUNTED:
        return None
    return 0 if onnx.defs.has(node.op_type, "") else None


def _sizes(value: ir.Value | None, images: int) -> list[int] | None:
    found = dims(value)
    if found is None:
        return None
    sizes = [images if index == 0 and not isinstance(size, int) else size for index, size in enumerate(found)]
    known = [size for size in sizes if isinstance(size, int)]
    return known if len(known) == len(sizes) else None


def _each_cell(places: ir.Value | None, weights: ir.Value | None, images: int) -> int | None:
    """Every cell of a map meets the weights of one of its channels."""
    cells, kernel = _sizes(places, images), _sizes(weights, images)
    return None if cells is None or kernel is None else math.prod(cells) * math.prod(kernel[1:])


def _conv(weights: int) -> _Rule:
    return lambda node, images: _each_cell(node.outputs[0], input_at(node, weights), images)


def _conv_transpose(node: ir.Node, images: int) -> int | None:
    return _each_cell(node.inputs[0], input_at(node, 1), images)


def _product(right: int) -> _Rule:
    """A matrix product: every value of the left operand meets each column of the right one."""

    def rule(node: ir.Node, images: int) -> int | None:
        left, other = _sizes(node.inputs[0], images), _sizes(input_at(node, right), images)
        if not left or not other:
            return None
        if len(other) <= 2:
            columns = other[0 if attribute(node, "transB", 0) else 1] if len(other) == 2 else 1
            return math.prod(left) * columns
        result, inner = _sizes(node.outputs[0], images), -2 if attribute(node, "transA", 0) else -1
        return None if result is None or len(left) < 2 else math.prod(result) * left[inner]

    return rule


def _recurrent(node: ir.Node, images: int) -> int | None:
    """LSTM, GRU, RNN: both matrices of all directions, for each step of each sequence."""
    data, *matrices = (_sizes(input_at(node, index), images) for index in range(3))
    if data is None or len(data) != 3 or any(matrix is None for matrix in matrices):
        return None
    return math.prod(data[:2]) * sum(math.prod(matrix) for matrix in matrices if matrix is not None)


def _attention(node: ir.Node, images: int) -> int | None:
    """Queries by keys, and their weights by values. ONNX's Attention, and MultiHeadAttention of ONNX Runtime."""
    query, key, value = (_sizes(input_at(node, index), images) for index in range(3))
    past = input_at(node, 4 if node.domain != MICROSOFT else 6)
    if query is None or key is None or value is None or not len(query) == len(key) == len(value) or past is not None:
        return None
    if len(query) == 4:
        return math.prod(query[:3]) * key[2] * (query[3] + value[3])
    heads, of_values = _heads(node)
    if len(query) != 3 or heads is None or of_values is None or value[2] % of_values:
        return None
    return query[0] * query[1] * key[1] * (query[2] + heads * (value[2] // of_values))


def _heads(node: ir.Node) -> tuple[int | None, int | None]:
    """Heads of the queries and of the values."""
    if node.domain == MICROSOFT:
        heads = attribute(node, "num_heads")
        return heads, heads
    return attribute(node, "q_num_heads"), attribute(node, "kv_num_heads")


def _self_attention(node: ir.Node, images: int) -> int | None:
    """Attention of ONNX Runtime projects its input to queries, keys and values itself."""
    data, weights = _sizes(input_at(node, 0), images), _sizes(input_at(node, 1), images)
    past = input_at(node, 8 if node.op_type == "QAttention" else 4)
    if data is None or weights is None or len(data) != 3 or len(weights) != 2 or past is not None:
        return None
    batch, steps, width = data
    parts = attribute(node, "qkv_hidden_sizes") or [weights[1] // 3] * 3
    products: int = width * weights[1] + steps * (parts[0] + parts[2])
    return batch * steps * products


def _any_attention(node: ir.Node, images: int) -> int | None:
    return (_self_attention if node.domain == MICROSOFT else _attention)(node, images)


def _einsum(node: ir.Node, images: int) -> int | None:
    """Two operands: every combination of the indices that occur. One: sums without products."""
    equation = str(attribute(node, "equation", "")).replace(" ", "").split("->")[0]
    terms = equation.split(",")
    if len(terms) == 1:
        return 0
    shapes = [_sizes(value, images) for value in node.inputs]
    if len(terms) != 2 or len(shapes) != 2 or "." in equation:
        return None
    extents: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        if shape is None or len(shape) != len(term):
            return None
        for index, size in zip(term, shape, strict=True):
            extents[index] = max(extents.get(index, 1), size)
    return math.prod(extents.values())


def _quantized_rows(node: ir.Node, images: int) -> int | None:
    """MatMulNBits: weights in a form of their own, their size in attributes."""
    left, columns = _sizes(node.inputs[0], images), attribute(node, "N")
    return None if left is None or not isinstance(columns, int) else math.prod(left) * columns


def _if(node: ir.Node, images: int) -> int | None:
    """Known where both branches cost the same."""
    counts = {_body(node, name, images) for name in ("then_branch", "else_branch")}
    return counts.pop() if len(counts) == 1 else None


def _loop(node: ir.Node, images: int) -> int | None:
    """Known where the body has none, or always runs a constant number of times."""
    body = _body(node, "body", images)
    if not body:
        return body
    rounds, condition = integers(input_at(node, 0)), input_at(node, 1)
    forever = condition is None or scalar(condition) == 1
    if rounds is None or len(rounds) != 1 or not forever or not _goes_on(node.attributes["body"].as_graph()):
        return None
    return max(0, rounds[0]) * body


def _goes_on(body: ir.Graph) -> bool:
    """Whether a loop's body hands its condition on, or answers with a true constant."""
    result: ir.Value | None = body.outputs[0]
    maker = result.producer() if result is not None else None
    if is_op(maker, "Identity"):
        assert maker is not None  # an Identity
        result = maker.inputs[0]
    return result is body.inputs[1] or scalar(result) == 1


def _scan(node: ir.Node, images: int) -> int | None:
    body, count = _body(node, "body", images), attribute(node, "num_scan_inputs")
    if not body:
        return body
    axes: Sequence[int] = attribute(node, "scan_input_axes") or [0]
    found = _sizes(node.inputs[len(node.inputs) - int(count)], images) if count else None
    return None if not found or not -len(found) <= axes[0] < len(found) else found[axes[0]] * body


def _body(node: ir.Node, name: str, images: int) -> int | None:
    """All nodes of a sub-graph, once."""
    found = node.attributes.get(name)
    if found is None or found.type != ir.AttributeType.GRAPH:
        return None
    counts = [macs_of(inner, images) for inner in found.as_graph()]
    sum_of_all = total(counts)
    return None if sum_of_all is None else sum_of_all * images


_RULES: dict[str, _Rule] = {
    **dict.fromkeys(("Conv", "ConvInteger", "DeformConv", "FusedConv", "NhwcConv", "NhwcFusedConv"), _conv(1)),
    "QLinearConv": _conv(3),
    "ConvTranspose": _conv_transpose,
    **dict.fromkeys(("Gemm", "FusedGemm", "MatMul", "FusedMatMul", "TransposeMatMul", "MatMulInteger"), _product(1)),
    **dict.fromkeys(("MatMulInteger16", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"), _product(1)),
    **dict.fromkeys(("QGemm", "QLinearMatMul"), _product(3)),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"), _recurrent),
    "Attention": _any_attention,
    "QAttention": _self_attention,
    "MultiHeadAttention": _attention,
    "Einsum": _einsum,
    "MatMulNBits": _quantized_rows,
    "If": _if,
    "Loop": _loop,
    "Scan": _scan,
}
