"""Which tensors are provably not negative."""

import numpy as np
import pytest

from sliceflow.frontend import load_model
from sliceflow.passes.sign import never_negative
from tests.support.models import Graph


def build(kind: str) -> tuple[Graph, str]:
    g = Graph(1)
    x = g.node("Conv", g.input(1, 4, 6, 6), g.random(4, 4, 1, 1))
    relu = g.node("Relu", x)
    if kind == "clip":
        return g, g.node("Clip", x, g.constant(0.5), g.constant(2.0))
    if kind == "crossed clip":  # the upper bound wins
        return g, g.node("Clip", x, g.constant(0.0), g.constant(-1.0))
    if kind == "chain":
        pooled = g.node("MaxPool", g.quantize(relu), kernel_shape=[3, 3], pads=[1] * 4)
        return g, g.quantize(g.node("AveragePool", pooled, kernel_shape=[2, 2]), 0.1, 7)
    joins = {
        "sum": ("Add", relu, g.node("Sigmoid", x)),
        "sum with a negative": ("Add", relu, x),
        "difference": ("Sub", relu, relu),
    }
    if kind in joins:
        op, *operands = joins[kind]
        return g, g.node(op, *operands)
    if kind == "concat":
        return g, g.node("Concat", relu, g.node("HardSigmoid", x), axis=1)
    return g, {"relu": relu, "conv": x, "leaky": g.node("LeakyRelu", x)}[kind]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        *((kind, True) for kind in ("relu", "clip", "chain", "sum", "concat")),
        *((kind, False) for kind in ("conv", "leaky", "crossed clip", "sum with a negative", "difference")),
    ],
)
def test_sign(kind: str, expected: bool) -> None:
    g, value = build(kind)
    result = g.node("HardSwish", value)  # keeps the value inside the graph
    model = load_model(g.model(result))
    (reader,) = [node for node in model.graph if node.op_type == "HardSwish"]
    assert never_negative(reader.inputs[0]) is expected


def test_inputs_of_the_model_may_be_negative() -> None:
    g = Graph(2)
    model = load_model(g.model(g.node("Relu", g.input(1, 4, 6, 6))))
    assert not never_negative(model.graph.inputs[0])
    assert never_negative(model.graph.outputs[0])
    assert not never_negative(next(iter(load_model(_constant_add()).graph.outputs)))


def _constant_add():
    g = Graph(3)
    relu = g.node("Relu", g.input(1, 4, 6, 6))
    return g.model(g.node("Add", relu, g.constant(np.full((1, 4, 1, 1), -1.0))))
