"""The onnx package's generated node tests, as models for the accelerator.

A case carries a model of one operator (or the function body that defines it), inputs, and expected outputs. Weights,
biases, scales and other parameters that a case feeds as inputs become initializers. Then a case takes one or both
forms:

- *float*: the model as it is, for a float profile; the case's own output is the oracle.
- *qdq*: activations, weights and bias quantized with scales that are powers of two, for an integer profile. ONNX
  Runtime's answer to the same model is the oracle. Operators that are integer already are written as Q, DQ and the
  float operator, and the case's own output is the oracle.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]

LAYERS = ("Conv", "Gemm", "MatMul", "BatchNormalization")
FUNCTIONS = (
    *("Abs", "Celu", "Clip", "Cos", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log"),
    *("Mish", "Neg", "PRelu", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sin", "Softplus", "Softsign", "Sqrt", "Swish"),
    *("Tanh", "ThresholdedRelu"),
)
POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")
JOINS = ("Add", "Sum", "Concat")
MOVES = ("Resize", "Upsample", "Flatten", "Pad")
INTEGER = ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "QuantizeLinear", "DequantizeLinear")
OPERATORS = (*LAYERS, *FUNCTIONS, *POOLS, *JOINS, *MOVES, *INTEGER)
"""The operators of the accelerator's layers."""
_READ_BY_A_LAYER = ("Concat", "Flatten", "Pad", "QuantizeLinear", "DequantizeLinear")
"""Operators that are no layer by themselves: a layer that changes nothing is put behind them."""


@dataclasses.dataclass
class Case:
    """One generated test.

    Attributes:
        name: without the leading ``test_``.
        op: the operator under test.
        model: with parameters as initializers and data as inputs.
        inputs: by name.
        expected: the output's values.
    """

    name: str
    op: str
    model: onnx.ModelProto
    inputs: dict[str, Array]
    expected: Array

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes of its graph."""
        return list(self.model.graph.node)


class NotApplicableError(Exception):
    """A case that has no such form; says why."""


@functools.cache
def cases() -> tuple[Case, ...]:
    """All cases of the operators, by operator and name."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [case for case in collect_testcases(None) if case.model is not None and case.data_sets]
    plain = {case.name: case.model.graph.node[0].op_type for case in found if len(case.model.graph.node) == 1}
    kept = []
    for case in found:
        base = re.sub(r"_expanded.*$", "", case.name)
        op = plain.get(base, "")
        if op in OPERATORS and "training_mode" not in case.name:
            kept.append(_case(case, op))
    return tuple(sorted(kept, key=lambda case: (OPERATORS.index(case.op), case.name)))


def _case(case: Any, op: str) -> Case:
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    values, outputs = case.data_sets[0]
    arrays = {value.name: _array(data) for value, data in zip(model.graph.input, values, strict=False)}
    parameters = _parameters(model, op)
    for value in list(model.graph.input):
        if value.name in parameters:
            model.graph.initializer.append(numpy_helper.from_array(arrays.pop(value.name), value.name))
            model.graph.input.remove(value)
    del model.graph.output[1:]
    made = Case(case.name.removeprefix("test_"), op, model, arrays, _array(outputs[0]))
    used = {name for node in case.model.graph.node for name in node.output} & {o.name for o in case.model.graph.output}
    if op == "MaxPool" and len(used) > 1:
        model.graph.output.append(case.model.graph.output[1])  # the indices stay wanted, so that the mapper says so
    return made


def _array(data: Any) -> Array:
    return numpy_helper.to_array(data) if isinstance(data, TensorProto) else np.asarray(data)


def _parameters(model: onnx.ModelProto, op: str) -> set[str]:
    """Names of the inputs that are no data."""
    names = [value.name for value in model.graph.input]
    return set() if op in JOINS else set(names[1:])


# forms ---------------------------------------------------------------------------------------------------------------


def float_ready(case: Case) -> Case:
    """A copy of a float32 case whose operator is a layer, or is read by one.

    Raises:
        NotApplicableError: it is no float32 case.
    """
    _require_float32(case)
    made = lifted(copied(case))
    return _read_by_layer(made) if case.op in _READ_BY_A_LAYER else made


def copied(case: Case) -> Case:
    """A case of its own to rewrite."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    return dataclasses.replace(case, model=model, inputs=dict(case.inputs))


def _require_float32(case: Case) -> None:
    for name, array in case.inputs.items():
        if array.dtype != np.float32:
            raise NotApplicableError(f"its data {name!r} is {array.dtype}")
    if case.expected.dtype != np.float32:
        raise NotApplicableError(f"its output is {case.expected.dtype}")


def lifted(case: Case) -> Case:
    """A vector has no batch; for elementwise operators it is taken as one image of as many channels."""
    if case.op not in (*FUNCTIONS, "Add", "Sum", "QuantizeLinear", "DequantizeLinear"):
        return case
    if any(array.ndim != 1 for array in case.inputs.values()) or case.expected.ndim != 1:
        return case
    for value in (*case.model.graph.input, *case.model.graph.output):
        value.type.tensor_type.shape.dim.insert(0, onnx.TensorShapeProto.Dimension(dim_value=1))
    case.inputs = {name: array[None] for name, array in case.inputs.items()}
    case.expected = case.expected[None]
    return case


def _read_by_layer(case: Case) -> Case:
    """Append a layer that multiplies by one, so that the case's output must pass the accelerator."""
    graph, shape = case.model.graph, case.expected.shape
    source = graph.output[0].name
    if len(shape) == 2:
        weights = np.eye(shape[1], dtype=np.float32)
        node = helper.make_node("Gemm", [source, "ones"], ["through"], name="through", transB=1)
    elif len(shape) in (3, 4):
        weights = np.ones((shape[1], 1, *(1 for _ in shape[2:])), np.float32)
        node = helper.make_node("Conv", [source, "ones"], ["through"], name="through", group=shape[1])
    else:
        raise NotApplicableError(f"its output of shape {shape} is nothing that a layer reads")
    graph.node.append(node)
    graph.initializer.append(numpy_helper.from_array(weights, "ones"))
    replace_output(graph, "through", shape, TensorProto.FLOAT)
    return case


def replace_output(graph: onnx.GraphProto, name: str, shape: Sequence[int], dtype: int) -> None:
    """Give a graph one output."""
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(name, dtype, shape))
