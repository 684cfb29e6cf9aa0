"""Folding of batch normalization and per-channel arithmetic, one graph for each rule."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from sliceflow.passes.batch_norm_to_conv import BatchNormToConv
from sliceflow.passes.fold_affine import FoldAffineBackward, FoldAffineForward
from tests.support.models import Graph, apply, assert_same_outputs, operators


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("group", [1, 2])
def test_batch_norm_behind_conv(bias, group):
    g = Graph(1)
    inputs = [g.input("N", 4, 6, 6), g.random(6, 4 // group, 3, 3), *([g.random(6)] if bias else [])]
    model = g.model(g.node("Relu", g.batch_norm(g.node("Conv", *inputs, pads=[1, 1, 1, 1], group=group), 6)))
    after, changes = apply(FoldAffineBackward, model)
    assert (changes, operators(after)) == (1, ["Conv", "Relu"])
    assert_same_outputs(model, after)


@pytest.mark.parametrize("group", [1, 2])
def test_batch_norm_behind_conv_transpose(group):
    g = Graph(2)
    y = g.node("ConvTranspose", g.input("N", 4, 5, 5), g.random(4, 3, 2, 2), strides=[2, 2], group=group)
    model = g.model(g.batch_norm(y, 3 * group))
    after, _ = apply(FoldAffineBackward, model)
    assert operators(after) == ["ConvTranspose"]
    assert_same_outputs(model, after)


def test_batch_norm_behind_gemm():
    g = Graph(3)
    model = g.model(g.batch_norm(g.node("Gemm", g.input("N", 5), g.random(7, 5), g.random(7), transB=1), 7))
    after, _ = apply(FoldAffineBackward, model)
    assert operators(after) == ["Gemm"]
    assert_same_outputs(model, after)


@pytest.mark.parametrize(
    ("op", "shape", "first"),
    [
        *(("Mul", (5, 1, 1), False), ("Mul", (1, 5, 1, 1), True), ("Mul", (), False), ("Add", (5, 1, 1), True)),
        *(("Sub", (5, 1, 1), False), ("Sub", (1, 5, 1, 1), True), ("Div", (1, 5, 1, 1), False), ("Add", (1,), False)),
    ],
)
def test_arithmetic_behind_conv(op, shape, first):
    g = Graph(4)
    y, c = g.node("Conv", g.input("N", 3, 5, 5), g.random(5, 3, 3, 3)), g.random(*shape, low=0.5)
    model = g.model(g.node(op, c, y) if first else g.node(op, y, c))
    after, _ = apply(FoldAffineBackward, model)
    assert operators(after) == ["Conv"]
    assert_same_outputs(model, after)


def test_a_whole_chain_of_affine_nodes_is_folded():
    g = Graph(5)
    y = g.batch_norm(g.node("Conv", g.input("N", 3, 5, 5), g.random(5, 3, 3, 3)), 5)
    model = g.model(g.node("Add", g.node("Mul", y, g.random(5, 1, 1)), g.random(5, 1, 1)))
    after, changes = apply(FoldAffineBackward, model)
    assert (changes, operators(after)) == (3, ["Conv"])
    assert_same_outputs(model, after)


def test_dequantized_weights_keep_their_integers():
    g = Graph(6)
    x, w = g.input("N", 3, 5, 5), g.dequantized([4, 3, 3, 3])
    y = g.node("Conv", x, w, g.dequantized([4], dtype="int32"))
    model = g.model(g.node("Mul", y, g.random(4, 1, 1, low=0.5)))
    after, _ = apply(FoldAffineBackward, model)
    assert operators(after) == ["DequantizeLinear", "Conv"]
    dequantize = after.graph.node(0)
    stored = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == "c0")
    assert dequantize.attributes["axis"].value == 0
    assert dequantize.inputs[1].shape == dequantize.inputs[2].shape == (4,)
    np.testing.assert_array_equal(dequantize.inputs[0].const_value.numpy(), stored)
    assert_same_outputs(model, after)


def test_a_negative_factor_does_not_go_to_integer_weights():
    g = Graph(7)
    y = g.node("Conv", g.input("N", 3, 5, 5), g.dequantized([4, 3, 3, 3], axis=0))
    model = g.model(g.node("Mul", y, g.constant(np.array([1, -1, 2, 1]).reshape(4, 1, 1))))
    assert apply(FoldAffineBackward, model)[1] == 0


@pytest.mark.parametrize("why", ["second reader", "model output", "quantized between", "varies over width"])
def test_what_must_stay_behind_a_layer(why):
    g = Graph(8)
    y = g.node("Conv", g.input("N", 3, 5, 5), g.random(5, 3, 3, 3))
    z = g.quantize(y) if why == "quantized between" else y
    scaled = g.node("Mul", z, g.random(1, 3) if why == "varies over width" else g.random(5, 1, 1))
    results = {"second reader": [g.node("Relu", y), scaled], "model output": [y, scaled]}.get(why, [scaled])
    assert apply(FoldAffineBackward, g.model(*results))[1] == 0


@pytest.mark.parametrize("group", [1, 2])
def test_batch_norm_before_a_conv_without_padding(group):
    g = Graph(9)
    y = g.batch_norm(g.node("Relu", g.input("N", 4, 5, 5)), 4)
    model = g.model(g.node("Conv", y, g.random(6, 4 // group, 3, 3), pads=[0, 0, 0, 0], group=group))
    after, _ = apply(FoldAffineForward, model)
    assert operators(after) == ["Relu", "Conv"]
    assert_same_outputs(model, after)


def test_a_scale_before_a_padded_conv_is_folded_but_a_shift_is_not():
    for op, folded in (("Mul", True), ("Add", False)):
        g = Graph(10)
        y = g.node(op, g.input("N", 4, 5, 5), g.random(4, 1, 1))
        model = g.model(g.node("Conv", y, g.random(6, 4, 3, 3), pads=[1, 1, 1, 1]))
        after, changes = apply(FoldAffineForward, model)
        assert bool(changes) == folded
        assert_same_outputs(model, after)


def test_arithmetic_before_gemm():
    g = Graph(11)
    y = g.node("Sub", g.input("N", 5), g.random(5))
    model = g.model(g.node("Gemm", y, g.random(7, 5), g.random(7), transB=1))
    after, _ = apply(FoldAffineForward, model)
    assert operators(after) == ["Gemm"]
    assert_same_outputs(model, after)


def test_batch_norm_alone_becomes_a_depthwise_conv():
    g = Graph(12)
    model = g.model(g.node("Relu", g.batch_norm(g.node("Relu", g.input("N", 4, 5, 5)), 4)))
    after, _ = apply(BatchNormToConv, model)
    assert operators(after) == ["Relu", "Conv", "Relu"]
    assert after.graph.node(1).attributes["group"].value == 4
    assert_same_outputs(model, after)


def test_batch_norm_of_rank_two_stays():
    g = Graph(13)
    assert apply(BatchNormToConv, g.model(g.batch_norm(g.input("N", 4), 4)))[1] == 0


def test_a_flipped_weight_is_noticed():
    """The comparison of this suite fails if one folded weight is wrong."""
    g = Graph(14)
    model = g.model(g.batch_norm(g.node("Conv", g.input("N", 3, 5, 5), g.random(5, 3, 3, 3)), 5))
    after, _ = apply(FoldAffineBackward, model)
    weights = after.graph.node(0).inputs[1]
    bits = weights.const_value.numpy().copy()
    bits.view(np.uint32).flat[7] ^= 1 << 22
    weights.const_value = ir.Tensor(bits, name=weights.name)
    with pytest.raises(AssertionError):
        assert_same_outputs(model, after)
