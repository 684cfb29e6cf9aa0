"""The one form of fully connected layers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sliceflow.passes.fully_connected import FullyConnected
from tests.support.models import Graph, apply, assert_same_outputs, operators

CANONICAL = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}


def gemm_of(model):
    node = next(node for node in model.graph if node.op_type == "Gemm")
    assert {name: item.value for name, item in node.attributes.items()} == CANONICAL
    return node


def test_matmul():
    g = Graph(1)
    model = g.model(g.node("MatMul", g.input("N", 5), g.random(5, 7)))
    after, _ = apply(FullyConnected, model)
    assert gemm_of(after).inputs[1].shape == (7, 5)
    assert_same_outputs(model, after)


@pytest.mark.parametrize("shape", [(7,), (1, 7), (1,), ()])
@pytest.mark.parametrize("first", [True, False])
def test_matmul_and_add(shape, first):
    g = Graph(2)
    y, bias = g.node("MatMul", g.input("N", 5), g.random(5, 7)), g.random(*shape)
    model = g.model(g.node("Add", bias, y) if first else g.node("Add", y, bias))
    after, _ = apply(FullyConnected, model)
    assert operators(after) == ["Gemm"]
    assert gemm_of(after).inputs[2].shape == (7,)
    assert_same_outputs(model, after)


@pytest.mark.parametrize(
    ("trans_a", "trans_b", "alpha", "beta"), list(itertools.product([0, 1], [0, 1], [1.0, -0.5], [1.0, 2.0]))
)
@pytest.mark.parametrize("bias", [None, (7,), (1, 7), ()])
def test_gemm(trans_a, trans_b, alpha, beta, bias):
    g = Graph(3)
    x = g.input(5, "N") if trans_a else g.input("N", 5)
    inputs = [x, g.random(7, 5) if trans_b else g.random(5, 7), *([] if bias is None else [g.random(*bias)])]
    model = g.model(g.node("Gemm", *inputs, transA=trans_a, transB=trans_b, alpha=alpha, beta=beta))
    after, _ = apply(FullyConnected, model)
    assert operators(after) == ["Transpose", "Gemm"][1 - trans_a :]
    assert gemm_of(after).inputs[1].shape == (7, 5)
    if not trans_a:
        assert_same_outputs(model, after)
    else:
        assert_same_outputs(_fixed(model), after, batches=[1])


def _fixed(model):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4
    return model


@pytest.mark.parametrize("axis", [None, 1])
def test_dequantized_matmul_keeps_its_integers(axis):
    g = Graph(4)
    y = g.node("MatMul", g.input("N", 5), g.dequantized([5, 7], axis=axis))
    model = g.model(g.node("Add", y, g.dequantized([7], dtype="int32")))
    after, _ = apply(FullyConnected, model)
    gemm = gemm_of(after)
    dequantize = gemm.inputs[1].producer()
    assert dequantize.inputs[0].shape == (7, 5)
    assert dequantize.inputs[0].const_value.numpy().dtype == np.int8
    assert axis is None or dequantize.attributes["axis"].value == 0
    assert gemm.inputs[2].producer().op_type == "DequantizeLinear"
    assert_same_outputs(model, after)


def test_alpha_goes_to_the_scale_of_dequantized_weights():
    g = Graph(5)
    model = g.model(g.node("Gemm", g.input("N", 5), g.dequantized([7, 5], axis=0), g.random(7), transB=1, alpha=0.5))
    after, _ = apply(FullyConnected, model)
    assert gemm_of(after).inputs[1].producer().op_type == "DequantizeLinear"
    assert_same_outputs(model, after)


def test_what_is_no_fully_connected_layer():
    g = Graph(6)
    x = g.input("N", 4, 5)
    rank_three = g.node("MatMul", x, g.random(5, 7))
    flat = g.node("Flatten", x)
    both_dynamic = g.node("MatMul", flat, g.node("Transpose", flat, perm=[1, 0]))
    assert apply(FullyConnected, g.model(rank_three, both_dynamic))[1] == 0


def test_a_bias_for_each_row_stays():
    g = Graph(7)
    model = g.model(g.node("Gemm", g.input(3, 5), g.random(5, 7), g.random(3, 1)))
    after, changes = apply(FullyConnected, model)
    assert changes == 0
    assert_same_outputs(model, after)


def test_an_add_of_something_read_elsewhere_stays():
    g = Graph(8)
    y = g.node("Gemm", g.input("N", 5), g.random(7, 5), transB=1, alpha=1.0, beta=1.0, transA=0)
    assert apply(FullyConnected, g.model(g.node("Add", y, g.random(7)), g.node("Relu", y)))[1] == 0
