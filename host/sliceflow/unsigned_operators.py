"""Integer operators of a model, with unsigned operands in the place of signed ones: the same sums.

ONNX Runtime adds pairs of u8 x s8 products in 16 bits on some processors, where they saturate; pairs of u8 x u8
products it does not. An operand and its zero point are both raised by 128, so that their difference stays what it was.
Nodes within the subgraphs of control flow are left as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


@dataclasses.dataclass(frozen=True)
class _Places:
    """Where an operator has its operands.

    Attributes:
        operands: positions of values and of their zero points.
        result_zero: position of the result's zero point, if it is quantized.
    """

    operands: tuple[tuple[int, int], ...]
    result_zero: int | None = None


_OPERATORS: Mapping[tuple[str, str], _Places] = {
    ("", "QLinearConv"): _Places(((0, 2), (3, 5)), 7),
    ("", "QLinearMatMul"): _Places(((0, 2), (3, 5)), 7),
    ("", "MatMulInteger"): _Places(((0, 2), (1, 3))),
    ("com.microsoft", "QGemm"): _Places(((0, 2), (3, 5)), 8),
    ("com.microsoft", "MatMulIntegerToFloat"): _Places(((0, 4), (1, 5))),
    ("com.microsoft", "DynamicQuantizeMatMul"): _Places(((1, 3),)),
}
NAMES = tuple(name.encode() for _, name in _OPERATORS)
"""Names of these operators, as they stand in a file."""


def with_unsigned_operands(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model whose integer operators read, and write, no signed bytes.

    Args:
        model: the model. Weights may lie in other files.
    """
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except onnx.shape_inference.InferenceError:  # ONNX Runtime says what is wrong with the model
        inferred = model
    graph = inferred.graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        types.setdefault(value.name, value.type.tensor_type.elem_type)
    raised = _Raised({name for name, kind in types.items() if kind == onnx.TensorProto.INT8})
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes = [made for node in copy.graph.node for made in raised.rewritten(node)]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    if raised.changed:
        copy.graph.initializer.extend(raised.constants())
    return copy


class _Raised:
    """Makes the nodes that raise values by 128, each once.

    Args:
        signed: names of the values of type int8.
    """

    def __init__(self, signed: set[str]) -> None:
        self._signed, self._done = signed, set[str]()
        self.changed = False

    def constants(self) -> list[onnx.TensorProto]:
        """What the made nodes read."""
        import numpy as np
        from onnx import numpy_helper

        kinds = {_OFFSET: np.int32(128), _ZERO: np.uint8(128)}
        return [numpy_helper.from_array(np.asarray(value), name) for name, value in kinds.items()]

    def rewritten(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """The node with unsigned operands, between the nodes that it needs."""
        places = _OPERATORS.get((node.domain, node.op_type))
        if places is None:
            return [node]
        made: list[onnx.NodeProto] = []
        for value, zero in places.operands:
            if len(node.input) > value and node.input[value] in self._signed:
                node.input.extend([""] * (zero + 1 - len(node.input)))
                node.input[value] = self._raise(node.input[value], made)
                node.input[zero] = self._raise(node.input[zero], made) if node.input[zero] else _ZERO
                self.changed = True
        zero_at = places.result_zero
        if zero_at is None or len(node.input) <= zero_at or node.input[zero_at] not in self._signed:
            return [*made, node]
        node.input[zero_at] = self._raise(node.input[zero_at], made)
        self.changed = True
        result, node.output[0] = node.output[0], f"{node.output[0]}{_SUFFIX}/result"
        self._signed.add(result)
        return [*made, node, *_shifted(node.output[0], result, "Sub")]

    def _raise(self, name: str, made: list[onnx.NodeProto]) -> str:
        """Name of the value raised by 128; the nodes are added to ``made`` where they are first needed."""
        if name not in self._done:
            self._done.add(name)
            made += _shifted(name, name + _SUFFIX, "Add")
        return name + _SUFFIX


_SUFFIX = "/sliceflow/unsigned"
_OFFSET, _ZERO = "sliceflow/unsigned/offset", "sliceflow/unsigned/zero"


def _shifted(source: str, result: str, operator: str) -> list[onnx.NodeProto]:
    """Nodes that add 128 to signed bytes, or take it from unsigned ones."""
    from onnx import TensorProto, helper

    wide, moved = f"{source}{_SUFFIX}/wide", f"{source}{_SUFFIX}/moved"
    kind = TensorProto.UINT8 if operator == "Add" else TensorProto.INT8
    return [
        helper.make_node("Cast", [source], [wide], to=TensorProto.INT32),
        helper.make_node(operator, [wide, _OFFSET], [moved]),
        helper.make_node("Cast", [moved], [result], to=kind),
    ]
