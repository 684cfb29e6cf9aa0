"""Operators that ONNX Runtime fuses, taken apart, against ONNX Runtime on the original."""

from __future__ import annotations

import pytest

from sliceflow.frontend import load_model, notes_of
from tests.support.models import Graph, assert_same_outputs

CONTRIB = {"domain": "com.microsoft"}


def conv(g: Graph, x: str, *more: str, **attributes) -> str:
    return g.node("FusedConv", x, g.random(5, 4, 3, 3), g.random(5), *more, **CONTRIB, **attributes)


def rows(g: Graph, x: str) -> str:
    return g.node("Flatten", g.node("GlobalAveragePool", x))


CASES = {
    "relu": lambda g, x: conv(g, x, activation="Relu", pads=[1, 1, 1, 1]),
    "leaky": lambda g, x: conv(g, x, activation="LeakyRelu", activation_params=[0.2]),
    "clip": lambda g, x: conv(g, x, activation="Clip", activation_params=[-0.1, 0.5]),
    "hard": lambda g, x: conv(g, x, activation="HardSigmoid", activation_params=[0.3, 0.6]),
    "sum": lambda g, x: conv(g, x, conv(g, x, activation="Tanh"), activation="Relu"),
    "gemm": lambda g, x: g.node(
        "FusedGemm", rows(g, x), g.random(6, 4), g.random(6), transB=1, activation="Relu", **CONTRIB
    ),
    "gemm leaky": lambda g, x: g.node(
        *("FusedGemm", rows(g, x), g.random(4, 6), g.random(6)),
        **{"alpha": 0.5, "activation": "LeakyRelu", "activation_alpha": 0.3, **CONTRIB},
    ),
    "matmul": lambda g, x: g.node("FusedMatMul", x, g.random(5, 6), transB=1, alpha=0.5, **CONTRIB),
    "matmul of both": lambda g, x: g.node("FusedMatMul", x, x, transA=1, **CONTRIB),
    "gelu": lambda g, x: g.node("Gelu", x, **CONTRIB),
    "fast": lambda g, x: g.node("FastGelu", x, g.random(6), **CONTRIB),
    "bias": lambda g, x: g.node("BiasGelu", x, g.random(6), **CONTRIB),
    "quick": lambda g, x: g.node("QuickGelu", x, alpha=1.5, **CONTRIB),
}


@pytest.mark.parametrize("name", CASES)
def test_meaning(name):
    g = Graph(1, opset=17, ir_version=8)
    g.domains["com.microsoft"] = 1
    model = g.model(CASES[name](g, g.input("N", 4, 8, 6)))
    after = load_model(model)
    assert {node.domain for node in after.graph} == {""}
    assert "had fused" in notes_of(after)[0]
    assert_same_outputs(model, after)
