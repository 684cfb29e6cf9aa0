"""Explicit windows and global pools."""

from __future__ import annotations

import numpy as np
import pytest

from sliceflow.passes.explicit_windows import ExplicitWindows
from sliceflow.passes.to_global_pool import ToGlobalPool
from tests.support.models import Graph, apply, assert_same_outputs, operators, run_model


def conv_or_pool(g, op, kernel, **window):
    x = g.input("N", 3, 7, 8)
    if op == "Conv":
        return g.node(op, x, g.random(4, 3, kernel, kernel), **window)
    return g.node(op, x, kernel_shape=[kernel] * 2, **window)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (2, 1, 1), (3, 2, 1), (2, 3, 1)])
@pytest.mark.parametrize("op", ["Conv", "MaxPool", "AveragePool"])
def test_auto_pad(mode, kernel, stride, dilation, op):
    g = Graph(1)
    window = {"auto_pad": mode, "strides": [stride] * 2, "dilations": [dilation] * 2}
    model = g.model(conv_or_pool(g, op, kernel, **window))
    after, _ = apply(ExplicitWindows, model)
    attributes = after.graph.node(0).attributes
    assert "auto_pad" not in attributes
    assert {"kernel_shape", "strides", "pads"} <= set(attributes)
    assert ("dilations" in attributes) == (op != "AveragePool" or dilation > 1)
    assert_same_outputs(model, after)


@pytest.mark.parametrize(("mode", "pads"), [("SAME_UPPER", [1, 1, 2, 2]), ("SAME_LOWER", [2, 2, 1, 1])])
def test_auto_pad_of_a_dilated_window(mode, pads):
    """ONNX Runtime refuses SAME with dilations, so the specification's formula is the oracle."""
    g = Graph(6)
    after, _ = apply(ExplicitWindows, g.model(conv_or_pool(g, "Conv", 2, auto_pad=mode, dilations=[3, 3])))
    assert list(after.graph.node(0).attributes["pads"].value) == pads
    (result,) = run_model(after, {"x": np.zeros((1, 3, 7, 8), np.float32)})
    assert result.shape[2:] == (7, 8)


def test_same_padding_of_an_open_map_needs_stride_one():
    for stride, resolved in ((1, True), (2, False)):
        g = Graph(2)
        window = {"kernel_shape": [2, 2], "strides": [stride] * 2, "auto_pad": "SAME_UPPER"}
        model = g.model(g.node("MaxPool", g.input("N", 3, "H", "W"), **window))
        after, _ = apply(ExplicitWindows, model)
        assert ("pads" in after.graph.node(0).attributes) == resolved
        assert_same_outputs(model, after)


@pytest.mark.parametrize(("op", "pool"), [("ReduceMean", "GlobalAveragePool"), ("ReduceMax", "GlobalMaxPool")])
@pytest.mark.parametrize("axes", [[2, 3], [-1, -2]])
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions(op, pool, axes, keep):
    g = Graph(3)
    model = g.model(g.node("Relu", g.node(op, g.input("N", 3, 5, 4), g.constant(axes, "int64"), keepdims=keep)))
    after, _ = apply(ToGlobalPool, model)
    assert operators(after) == [pool, *([] if keep else ["Flatten"]), "Relu"]
    assert_same_outputs(model, after)


def test_window_over_the_whole_map():
    g = Graph(4)
    model = g.model(g.node("AveragePool", g.input("N", 3, 5, 4), kernel_shape=[5, 4]))
    after, _ = apply(ToGlobalPool, model)
    assert operators(after) == ["GlobalAveragePool"]
    assert_same_outputs(model, after)


def test_reductions_over_other_axes_stay():
    g = Graph(5)
    x = g.input("N", 3, 5, 4)
    other = g.node("ReduceMean", x, g.constant([1], "int64"))
    everything = g.node("ReduceMean", x)
    assert apply(ToGlobalPool, g.model(other, everything))[1] == 0
