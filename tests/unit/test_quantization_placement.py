"""Each placement rule on a small graph."""

import numpy as np
import pytest
from quantization_graphs import Net, View, quantized, run, snr


def check(net, *outputs, points, **options):
    """Quantize, compare the set of points, and hold both ways of running it to the float model."""
    model = net.model(*outputs)
    x = net.samples()
    result = quantized(model, x, **options)
    view = View(result)
    assert set(view.points()) == set(points)
    assert [o.name for o in view.proto.graph.output] == list(outputs)
    for rewritten in (True, False):
        for real, integer in zip(run(model, x), run(view.proto, x, rewritten=rewritten), strict=True):
            assert snr(real, integer) > 25
    return view


@pytest.mark.parametrize("op", ["Relu", "Clip"])
def test_clamp_belongs_to_its_convolution(op):
    net = Net(3, 8, 8)
    bounds = [] if op == "Relu" else [net.const(np.float32(0)), net.const(np.float32(6))]
    a = net.op(op, net.conv("x", 8), *bounds, out="a")
    net.conv(a, 8, out="y")
    view = check(net, "y", points={"x", "a", "y"})
    assert view.fed_by(view.node(op)) == "Conv"
    assert view.points()["a"][1:] == (0, "uint8")


def test_clamp_of_a_shared_convolution_is_apart():
    net = Net(3, 8, 8)
    c = net.conv("x", 8, out="c")
    net.op("Add", net.op("Relu", c, out="r"), c, out="y")
    view = check(net, "y", points={"x", "c", "y"})  # x + relu(x) is one function of c
    assert view.fed_by(view.node("Relu")) == "DequantizeLinear"


@pytest.mark.parametrize(
    "op", ["HardSwish", "LeakyRelu", "Sigmoid", "Tanh", "Mish", "Gelu", "Elu", "Softplus", "PRelu"]
)
def test_other_functions_stand_between_two_points(op):
    net = Net(3, 8, 8)
    slope = [net.const(np.full((1,), 0.2, np.float32))] if op == "PRelu" else []
    a = net.op(op, net.conv("x", 8, out="c"), *slope, out="a")
    net.conv(a, 4, out="y")
    view = check(net, "y", points={"x", "c", "a", "y"})
    assert view.fed_by(view.node(op)) == "DequantizeLinear"


def test_prelu_with_many_slopes_stays_float():
    net = Net(3, 8, 8)
    slopes = net.const(np.linspace(0.1, 0.9, 8, dtype=np.float32).reshape(8, 1, 1))
    net.conv(net.op("PRelu", net.conv("x", 8, out="c"), slopes, out="a"), 4, out="y")
    model, x = net.model("y"), net.samples()
    assert quantized(model, x).report.float_nodes == ("node_a",)


def test_silu_and_decomposed_gelu_are_one_function():
    net = Net(3, 8, 8)
    c = net.conv("x", 8, out="c")
    s = net.op("Mul", c, net.op("Sigmoid", c), out="s")
    d = net.conv(s, 8, out="d")
    e = net.op("Erf", net.op("Div", d, net.const(np.float32(np.sqrt(2)))))
    half = net.op("Mul", d, net.const(np.float32(0.5)))
    net.op("Mul", half, net.op("Add", e, net.const(np.float32(1))), out="y")
    check(net, "y", points={"x", "c", "s", "d", "y"})


def test_a_function_is_cut_where_its_inside_is_read():
    net = Net(3, 8, 8)
    c = net.conv("x", 8, out="c")
    s = net.op("Sigmoid", c, out="s")
    net.op("Mul", c, s, out="m")
    net.conv(s, 4, out="y")
    view = check(net, "y", "m", points={"x", "c", "s", "y"})  # m is a product of two tensors, which stays float
    assert view.producer["m"].op_type == "Mul"


def test_residual_takes_the_accumulator_of_the_later_branch():
    net = Net(3, 8, 8)
    a = net.op("Relu", net.conv("x", 8), out="a")
    first, second = net.conv(a, 8, out="first"), net.conv(a, 8, out="second")
    net.op("Relu", net.op("Add", second, first), out="y")
    view = check(net, "y", points={"x", "a", "first", "y"})
    assert [view.fed_by(view.node("Add"), i) for i in (0, 1)] == ["Conv", "DequantizeLinear"]
    assert view.fed_by(view.node("Relu", 1)) == "Add"


def test_residual_with_a_shared_convolution_has_points_on_both():
    net = Net(3, 8, 8)
    a, b = net.conv("x", 8, out="a"), net.op("Tanh", net.conv("x", 8, out="c"), out="b")
    total = net.op("Add", a, b, out="total")
    net.op("Add", net.conv(total, 8, out="d"), a, out="y")
    view = check(net, "y", points={"x", "a", "c", "b", "total", "y"})
    assert view.fed_by(view.node("Add"), 0) == "DequantizeLinear"


def test_broadcast_and_constant_adds_stay_float():
    net = Net(3, 8, 8)
    a = net.conv("x", 8, out="a")
    b = net.op("Add", a, net.op("GlobalAveragePool", a, out="g"), out="b")
    net.op("Add", b, net.const(np.ones((1, 8, 1, 1), np.float32)), out="y")
    result = quantized(net.model("y"), net.samples())
    assert result.report.float_nodes == ("node_b", "node_y")
    assert set(View(result).points()) == {"x", "a", "g"}


def test_moving_operators_share_the_scale():
    net = Net(3, 8, 8)
    a = net.op("LeakyRelu", net.conv("x", 8, out="c"), out="a")
    p = net.op("MaxPool", a, kernel_shape=[2, 2], strides=[2, 2], out="p")
    scales = net.const(np.array([1, 1, 2, 2], np.float32))
    u = net.op("Resize", p, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", out="u")
    f = net.op("Flatten", u, out="f")
    net.gemm(f, 8 * 64, 5, out="y")
    points = check(net, "y", points={"x", "c", "a", "p", "u", "f", "y"}).points()
    assert points["a"] == points["p"] == points["u"] == points["f"]


def test_linear_resize_stays_float():
    net = Net(3, 4, 4)
    u = net.op("Resize", net.conv("x", 4), "", net.const(np.array([1, 1, 2, 2], np.float32)), mode="linear", out="u")
    net.conv(u, 4, out="y")
    assert quantized(net.model("y"), net.samples()).report.float_nodes == ("node_u",)


def test_concat_shares_one_scale_up_through_pools():
    net = Net(3, 8, 8)
    a = net.op("MaxPool", net.conv("x", 4, out="a"), kernel_shape=[3, 3], pads=[1] * 4, out="p")
    b = net.op("Relu", net.conv("x", 4), out="b")
    net.conv(net.concat(a, b, out="c"), 4, out="y")
    points = check(net, "y", points={"x", "a", "p", "b", "c", "y"}).points()
    assert points["a"] == points["p"] == points["b"] == points["c"]


def test_concat_input_with_other_readers_is_requantized():
    net = Net(3, 8, 8)
    a = net.op("Relu", net.conv("x", 4), out="a")
    b = net.conv(a, 4, out="b")
    net.conv(net.concat(a, b, out="c"), 4, out="y")
    view = check(net, "y", points={"x", "a", "a_DequantizeLinear_Output", "b", "c", "y"})
    points = view.points()
    assert points["a_DequantizeLinear_Output"] == points["b"] == points["c"] != points["a"]


def test_nested_concats_share_one_scale():
    net = Net(3, 8, 8)
    inner = net.concat(net.conv("x", 4, out="a"), net.conv("x", 4, out="b"), out="inner")
    net.concat(net.conv("x", 4, out="d"), inner, out="y")
    points = check(net, "y", points={"x", "a", "b", "d", "inner", "y"}).points()
    assert len({points[name] for name in ("a", "b", "d", "inner", "y")}) == 1


def test_average_pools_have_scales_of_their_own():
    net = Net(3, 8, 8)
    a = net.op("Relu", net.conv("x", 4), out="a")
    p = net.op("AveragePool", a, kernel_shape=[2, 2], strides=[2, 2], out="p")
    net.op("GlobalAveragePool", p, out="y")
    points = check(net, "y", points={"x", "a", "p", "y"}).points()
    assert len({points[name][0] for name in ("a", "p", "y")}) == 3


def test_gemm_chain_with_dynamic_batch():
    net = Net(12)
    a = net.op("Relu", net.gemm("x", 12, 20), out="a")
    net.gemm(a, 20, 7, out="y")
    view = check(net, "y", points={"x", "a", "y"})
    assert view.proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "n"
    for count in (1, 9):
        assert run(view.proto, net.samples(count))[0].shape == (count, 7)


def test_gemm_with_weights_not_transposed_and_scalar_bias():
    net = Net(12)
    net.op("Gemm", "x", net.const(net.weights(12, 7)), net.const(np.float32([0.3])), out="y")
    view = check(net, "y", points={"x", "y"})
    weights = view.producer[view.node("Gemm").input[1]]
    assert weights.attribute[0].i == 1
    assert view.arrays[weights.input[0]].shape == (12, 7)


def test_depthwise_and_grouped_convolutions():
    net = Net(8, 9, 9)
    a = net.op("Relu", net.conv("x", 8, group=8, strides=[2, 2]), out="a")
    net.conv(a, 12, group=4, bias=False, out="y")
    view = check(net, "y", points={"x", "a", "y"})
    assert view.arrays[view.producer[view.node("Conv").input[1]].input[1]].shape == (8,)


def test_float_parts_keep_their_neighbours():
    net = Net(3, 8, 8)
    f = net.op("Flatten", net.conv("x", 4, out="c"), out="f")
    net.op("Softmax", net.gemm(f, 256, 6, out="logits"), out="y")
    view = check(net, "y", "logits", points={"x", "c", "f", "logits"})
    assert view.fed_by(view.node("Softmax")) == "DequantizeLinear"
    assert view.producer["y"].op_type == "Softmax"
    assert view.producer["logits"].op_type == "DequantizeLinear"


def test_a_float_tensor_keeps_its_float_readers():
    net = Net(3, 8, 8)
    s = net.op("Softmax", "x", axis=1, out="s")
    net.op("LpNormalization", s, out="z")
    net.conv(s, 4, out="y")
    view = check(net, "y", "z", points={"s", "y"})
    assert view.fed_by(view.node("LpNormalization")) == "Softmax"
    assert view.fed_by(view.node("Conv")) == "DequantizeLinear"


def test_scalar_arithmetic_next_to_a_layer_is_a_function():
    net = Net(3, 8, 8)
    scaled = net.op("Div", net.op("Sub", "x", net.const(np.float32(0.5))), net.const(np.float32(0.25)), out="s")
    net.conv(scaled, 4, out="y")
    check(net, "y", points={"x", "s", "y"})


def test_excluded_nodes_stay_float():
    net = Net(3, 8, 8)
    net.conv(net.op("Relu", net.conv("x", 8, out="c"), out="a"), 4, out="y")
    result = quantized(net.model("y"), net.samples(), exclude=frozenset({"node_c"}))
    assert result.report.float_nodes == ("node_c",)
    assert set(View(result).points()) == {"c", "a", "y"}
