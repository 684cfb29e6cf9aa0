"""Padding merged into layers: allowed and forbidden cases."""

from __future__ import annotations

import numpy as np
import pytest

from sliceflow.passes.explicit_windows import ExplicitWindows
from sliceflow.passes.merge_pad import MergePad
from tests.support.models import Graph, apply, assert_same_outputs, operators

PADS = [0, 0, 1, 0, 0, 0, 2, 1]


def pad(g, source, value=0.0, pads=PADS, axes=None, mode="constant", dtype="float32"):
    extra = [] if axes is None else [g.constant(axes, "int64")]
    return g.node("Pad", source, g.constant(pads, "int64"), g.constant(value, dtype), *extra, mode=mode)


def merged(model):
    import onnx_ir as ir

    ready, _ = apply(ExplicitWindows, model)
    return apply(MergePad, ir.to_proto(ready))


def test_into_conv():
    g = Graph(1)
    model = g.model(g.node("Conv", pad(g, g.input("N", 3, 5, 6)), g.random(4, 3, 3, 3), pads=[1, 0, 1, 2]))
    after, _ = merged(model)
    assert operators(after) == ["Conv"]
    assert list(after.graph.node(0).attributes["pads"].value) == [2, 0, 3, 3]
    assert_same_outputs(model, after)


def test_axes_are_followed():
    g = Graph(2)
    y = pad(g, g.input("N", 3, 5, 6), pads=[1, 0, 2, 1], axes=[-1, 2])
    model = g.model(g.node("Conv", y, g.random(4, 3, 3, 3)))
    after, _ = merged(model)
    assert list(after.graph.node(0).attributes["pads"].value) == [0, 1, 1, 2]
    assert_same_outputs(model, after)


@pytest.mark.parametrize("counts", [0, 1])
def test_into_average_pool(counts):
    g = Graph(3)
    y = pad(g, g.input("N", 3, 5, 6), pads=[0, 0, 1, 1, 0, 0, 1, 1])
    model = g.model(g.node("AveragePool", y, kernel_shape=[3, 3], strides=[2, 2], count_include_pad=counts))
    after, _ = merged(model)
    assert operators(after) == ["AveragePool"]
    assert_same_outputs(model, after)


def test_a_pool_that_does_not_count_its_own_padding_stays():
    g = Graph(4)
    y = pad(g, g.input("N", 3, 5, 6))
    model = g.model(g.node("AveragePool", y, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=0))
    assert merged(model)[1] == 0


@pytest.mark.parametrize("value", [-np.inf, np.finfo(np.float32).min])
def test_lowest_number_into_max_pool(value):
    g = Graph(5)
    y = pad(g, g.input("N", 3, 5, 6), value, pads=[0, 0, 1, 1, 0, 0, 1, 1])
    model = g.model(g.node("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2]))
    after, _ = merged(model)
    assert operators(after) == ["MaxPool"]
    assert_same_outputs(model, after)


def positive(g, kind, x):
    if kind == "Clip":
        return g.node("Clip", x, g.constant(0.0), g.constant(6.0))
    if kind in ("Add", "Concat"):
        parts = [g.node("Relu", x), g.node("MaxPool", g.node("Sigmoid", x), kernel_shape=[1, 1])]
        return g.node(kind, *parts, **({"axis": 1} if kind == "Concat" else {}))
    return g.node("Add", g.node("Relu", x), x) if kind == "half" else g.node(kind, x)


@pytest.mark.parametrize("before", ["Relu", "Clip", "Add", "Concat", "Tanh", "half"])
def test_zero_into_max_pool_behind_what_is_never_negative(before):
    g = Graph(6)
    y = positive(g, before, g.input("N", 3, 5, 6))
    model = g.model(g.node("MaxPool", pad(g, y, pads=[0, 0, 1, 1, 0, 0, 1, 1]), kernel_shape=[3, 3]))
    after, changes = merged(model)
    assert bool(changes) == (before not in ("Tanh", "half"))
    assert_same_outputs(model, after)


def test_through_a_quantized_tensor():
    for place in ("before", "between", "after"):
        g = Graph(7)
        x = g.input("N", 3, 5, 6)
        scale, zero = g.constant(0.02), g.constant(7, "uint8")
        y = g.node("QuantizeLinear", pad(g, x) if place == "before" else x, scale, zero)
        y = pad(g, y, 7, dtype="uint8") if place == "between" else y
        y = g.node("DequantizeLinear", y, scale, zero)
        y = pad(g, y) if place == "after" else y
        model = g.model(g.node("Conv", y, g.random(4, 3, 3, 3)))
        after, _ = merged(model)
        assert operators(after) == ["QuantizeLinear", "DequantizeLinear", "Conv"], place
        assert_same_outputs(model, after)


@pytest.mark.parametrize("why", ["value", "zero point", "channels", "negative", "mode", "second reader"])
def test_what_must_stay(why):
    g = Graph(8)
    x = g.input("N", 3, 5, 6)
    if why == "zero point":
        parameters = [g.constant(0.02), g.constant(7, "uint8")]
        y = pad(g, g.node("QuantizeLinear", x, *parameters), 0, dtype="uint8")
        y = g.node("DequantizeLinear", y, *parameters)
    else:
        pads = {"channels": [0, 1, 0, 0, 0, 0, 0, 0], "negative": [0, 0, -1, 0, 0, 0, 0, 0]}.get(why, PADS)
        y = pad(g, x, 1.0 if why == "value" else 0.0, pads=pads, mode="edge" if why == "mode" else "constant")
    channels = 4 if why == "channels" else 3
    results = [g.node("Conv", y, g.random(4, channels, 3, 3)), *([g.node("Relu", y)] if why == "second reader" else [])]
    assert merged(g.model(*results))[1] == 0
