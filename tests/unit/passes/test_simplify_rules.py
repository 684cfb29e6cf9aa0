"""Simplification operator by operator: what goes, what stays, and that the outputs are the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from sliceflow.errors import InternalError
from sliceflow.frontend import load_model
from sliceflow.passes.equivalence import largest_difference
from sliceflow.passes.remove_channels import RemoveChannels
from sliceflow.passes.simplify import SimplifyOptions, simplify
from tests.support.models import Graph, operators, random_feeds, run_model


def conv(g: Graph, source: str, inputs: int, outputs: int, *, zero=(), kernel: int = 3, pad: int = 1, **options) -> str:
    """A convolution whose output channels ``zero`` have no weights; biases are between 0.5 and 1.5."""
    weights = g.rng.standard_normal((outputs, inputs // options.get("group", 1), kernel, kernel))
    weights[list(zero)] = 0
    bias = g.random(outputs, low=0.5, high=1.5)
    return g.node("Conv", source, g.constant(weights), bias, pads=[pad] * 4, **options)


def outputs_of(model: ir.Model) -> dict[str, int]:
    """Output channels of every convolution, by name."""
    return {node.name: node.outputs[0].shape[1] for node in model.graph if node.op_type in ("Conv", "ConvTranspose")}


def check(
    model: onnx.ModelProto, *, sizes=(8, 12), limit: float = 1e-5, options: SimplifyOptions | None = None
) -> ir.Model:
    """Simplify with the check on, and compare again at other sizes."""
    result = load_model(model)
    simplify(result, options or SimplifyOptions())
    for size in sizes:
        feeds = random_feeds(model, 2, size, open_size=size)
        for expected, found in zip(run_model(model, feeds), run_model(result, feeds), strict=True):
            assert expected.shape == found.shape
            assert np.abs(expected - found).max() <= limit * np.abs(expected).max()
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    return result


def image(g: Graph, channels: int = 3) -> str:
    return g.input("N", channels, "H", "W")


@pytest.mark.parametrize(("pad", "left"), [(0, 5), (1, 6)])
def test_constants_move_into_the_bias_or_into_one_channel(pad, left):
    g = Graph(1)
    y = g.node("Relu", conv(g, image(g), 3, 8, zero=(1, 4, 6)))
    found = check(g.model(conv(g, y, 8, 4, pad=pad)))
    assert list(outputs_of(found).values()) == [left, 4]


@pytest.mark.parametrize("op", ["Relu", "Sigmoid", "HardSwish", "Tanh", "Elu", "Softplus", "Gelu", "Mish", "Selu"])
def test_constants_pass_through_activations(op):
    g = Graph(2)
    y = g.node(op, conv(g, image(g), 3, 8, zero=(0, 7)))
    assert list(outputs_of(check(g.model(conv(g, y, 8, 4, pad=0)))).values()) == [6, 4]


def test_a_live_filter_whose_weights_add_up_to_zero_stays():
    g = Graph(3)
    weights = g.rng.standard_normal((4, 3, 2, 2))
    weights[2] -= weights[2].mean()
    weights[2, 0, 0, 0] -= weights[2].astype(np.float32).sum()
    weights[1] = [[[1, -1], [-1, 1]]] * 3
    assert weights[1].sum() == 0
    y = g.node("Conv", image(g), g.constant(weights), g.random(4))
    assert list(outputs_of(check(g.model(conv(g, g.node("Relu", y), 4, 2)))).values()) == [4, 2]


def test_a_channel_without_readers_goes_whatever_it_holds():
    g = Graph(4)
    y = g.node("Relu", conv(g, image(g), 3, 6))
    weights = g.rng.standard_normal((4, 6, 3, 3))
    weights[:, [0, 5]] = 0
    found = check(g.model(g.node("Conv", y, g.constant(weights), pads=[1] * 4)))
    assert list(outputs_of(found).values()) == [4, 4]


def test_a_whole_pruned_layer_keeps_one_channel():
    g = Graph(5)
    y = g.node("Relu", conv(g, image(g), 3, 6, zero=range(6)))
    assert list(outputs_of(check(g.model(conv(g, y, 6, 4, pad=0)))).values()) == [1, 4]


def test_outputs_of_the_model_keep_their_shape():
    g = Graph(6)
    assert list(outputs_of(check(g.model(conv(g, image(g), 3, 6, zero=(1, 2))))).values()) == [6]


@pytest.mark.parametrize("first", [True, False])
def test_a_residual_branch_without_weights_goes_as_a_whole(first):
    g = Graph(21)
    x = conv(g, g.input("N", 3, 8, 8), 3, 6)
    inner = g.node("Relu", conv(g, x, 6, 6))
    weights, bias = g.constant(np.zeros((6, 6, 3, 3))), g.constant(np.zeros(6))
    branch = g.node("Conv", inner, weights, bias, pads=[1] * 4)
    total = g.node("Add", *((branch, x) if first else (x, branch)))
    found = check(g.model(conv(g, g.node("Relu", total), 6, 4)), sizes=(8,))
    assert operators(found) == ["Conv", "Relu", "Conv"]


def test_a_zero_term_that_makes_the_sum_larger_stays():
    g = Graph(22)
    x = g.input("N", 3, 8, 8)
    branch = g.node("Conv", x, g.constant(np.zeros((6, 3, 3, 3))), pads=[1] * 4)
    total = g.node("Add", g.node("GlobalAveragePool", conv(g, x, 3, 6)), branch)
    assert "Add" in operators(check(g.model(g.node("Relu", total)), sizes=(8,)))


def test_residual_branches_keep_the_union():
    g = Graph(7)
    x = image(g)
    total = g.node("Add", conv(g, x, 3, 6, zero=(0, 1, 2)), conv(g, x, 3, 6, zero=(1, 2, 3)))
    found = check(g.model(conv(g, g.node("Relu", total), 6, 4, pad=0)))
    assert list(outputs_of(found).values()) == [4, 4, 4]


@pytest.mark.parametrize("direct", [True, False])
def test_residual_branches_with_channels_of_their_own(direct):
    g = Graph(23)
    x = image(g)
    y = conv(g, x, 3, 6, zero=(0, 1, 2))
    other = conv(g, x, 3, 6, zero=(1, 2, 3))
    total = g.node("Add", y, other if direct else g.node("Sigmoid", other))
    model = g.model(conv(g, g.node("Relu", total), 6, 4, pad=0))
    found = check(model, options=SimplifyOptions(scatter=1.0))
    # Channels 1 and 2 are gone everywhere; 0 is the only one left that is constant in the first branch alone.
    assert list(outputs_of(found).values()) == [4, 4, 4]
    g = Graph(24)
    x = image(g)
    y = conv(g, x, 3, 8, zero=(0, 1, 2, 3, 4))
    other = conv(g, x, 3, 8, zero=(4,))
    total = g.node("Add", y, other if direct else g.node("Sigmoid", other))
    model = g.model(conv(g, g.node("Relu", total), 8, 4, pad=0))
    found = check(model, options=SimplifyOptions(scatter=1.0))
    assert list(outputs_of(found).values()) == [4, 7, 4]
    assert ("Gather" in operators(found), operators(found).count("Add")) == (True, 1 if direct else 2)
    assert "Gather" not in operators(check(model, options=SimplifyOptions(scatter=1e6)))


def test_groups_keep_equally_many_channels():
    g = Graph(8)
    y = conv(g, image(g), 3, 8, zero=(0, 1, 4))
    y = conv(g, y, 8, 8, zero=(0, 1, 2, 5), kernel=1, pad=0, group=2)
    found = check(g.model(conv(g, y, 8, 4, kernel=1, pad=0)))
    assert list(outputs_of(found).values()) == [6, 6, 4]


def test_a_group_that_is_pruned_goes_as_a_whole():
    g = Graph(9)
    y = conv(g, conv(g, image(g), 3, 8), 8, 8, zero=(2, 3), group=4)
    found = check(g.model(conv(g, y, 8, 4, kernel=1, pad=0)))
    assert list(outputs_of(found).values()) == [6, 6, 4]
    assert [node.attributes.get_int("group") for node in found.graph] == [1, 3, 1]


@pytest.mark.parametrize(("include", "left"), [(0, 5), (1, 6)])
def test_average_pools_that_count_their_padding(include, left):
    g = Graph(10)
    y = g.node("Relu", conv(g, image(g), 3, 8, zero=(1, 4, 6)))
    y = g.node("AveragePool", y, kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=include)
    assert list(outputs_of(check(g.model(conv(g, y, 8, 4, kernel=1, pad=0)))).values()) == [left, 4]


def test_transposed_convolution():
    g = Graph(11)
    y = g.node("Relu", conv(g, image(g), 3, 8, zero=(1, 4, 6)))
    weights = g.rng.standard_normal((8, 5, 3, 3))
    weights[:, 3] = 0
    y = g.node("ConvTranspose", y, g.constant(weights), g.random(5), strides=[2, 2], pads=[1] * 4)
    assert list(outputs_of(check(g.model(conv(g, y, 5, 4, pad=0)))).values()) == [6, 4, 4]


def test_columns_behind_flatten():
    g = Graph(12)
    y = g.node("MaxPool", conv(g, g.input("N", 3, 8, 8), 3, 6, zero=(0, 3)), kernel_shape=[2, 2], strides=[2, 2])
    flat = g.node("Reshape", y, g.constant([-1, 96], "int64"))
    found = check(g.model(g.node("Gemm", flat, g.random(4, 96), g.random(4), transB=1)))
    assert list(outputs_of(found).values()) == [4]
    assert [n.inputs[1].shape for n in found.graph if n.op_type == "Gemm"] == [ir.Shape([4, 64])]


@pytest.mark.parametrize("kind", ["slice", "gather", "split", "shuffle", "depth", "resize", "pad", "nhwc"])
def test_operators_that_move_channels(kind):
    g = Graph(13)
    y = g.node("Relu", conv(g, g.input("N", 3, 8, 8), 3, 8, zero=(0, 1, 2, 3, 5)))
    left, channels = [3], 8
    if kind == "slice":
        y = g.node("Slice", y, *(g.constant([n], "int64") for n in (2, 7, 1)))
        left, channels = [2], 5
    elif kind == "gather":
        y = g.node("Gather", y, g.constant([7, 3, 4, 4], "int64"), axis=1)
        left, channels = [2], 4
    elif kind == "split":
        g.node("Split", y, g.constant([3, 5], "int64"), outputs=["a", "b"], axis=1)
        y = g.node("Concat", "b", "a", axis=1)
        left = [4]  # at least one channel of each part
    elif kind == "shuffle":
        y = g.node("Reshape", y, g.constant([0, 2, 4, 8, 8], "int64"))
        y = g.node("Transpose", y, perm=[0, 2, 1, 3, 4])
        y = g.node("Reshape", y, g.constant([0, 8, 8, 8], "int64"))
    elif kind == "depth":
        y, left, channels = g.node("DepthToSpace", y, blocksize=2), [8], 2
    elif kind == "resize":
        y = g.node("Resize", y, "", "", g.constant([1, 8, 16, 12], "int64"), mode="linear")
    elif kind == "pad":
        y = g.node("Pad", y, g.constant([0, 0, 2, 2, 0, 0, 1, 1], "int64"), mode="reflect")
    else:
        y, left = g.node("Transpose", g.node("Transpose", y, perm=[0, 2, 3, 1]), perm=[0, 3, 1, 2]), [8]
    found = check(g.model(conv(g, y, channels, 4, pad=0)), sizes=(8,) if kind != "resize" else ())
    assert list(outputs_of(found).values()) == [*left, 4]


def test_excitation_of_a_constant_zero_goes_with_its_gate():
    g = Graph(14)
    x = g.node("Relu", g.node("Neg", conv(g, image(g), 3, 6, zero=(0, 1))))
    gate = g.node("Sigmoid", conv(g, g.node("GlobalAveragePool", x), 6, 6, kernel=1, pad=0))
    found = check(g.model(conv(g, g.node("Mul", x, gate), 6, 4)))
    assert list(outputs_of(found).values()) == [4, 4, 4]


def test_unknown_operators_and_subgraphs_hold_their_channels():
    g = Graph(15)
    y = conv(g, image(g), 3, 6, zero=(0, 1))
    z = g.node("LRN", conv(g, y, 6, 5, zero=(2,), pad=0), size=3)
    model = g.model(conv(g, z, 5, 4, pad=0))
    found = check(model)
    assert [held.op for held in simplify(load_model(model)).held] == ["LRN"]
    assert list(outputs_of(found).values()) == [4, 5, 4]
    g = Graph(16)
    y = conv(g, image(g), 3, 6, zero=(0, 1))
    same = helper.make_graph(
        [helper.make_node("Abs", [y], ["inner"])], "b", [], [helper.make_tensor_value_info("inner", 1, None)]
    )
    z = g.node("If", g.constant(True, "bool"), then_branch=same, else_branch=same)
    found = load_model(g.model(conv(g, y, 6, 4, pad=0), z))
    simplify(found)
    assert outputs_of(found)["conv0"] == 6


def test_quantized_models_lose_channels_whose_value_is_the_zero_point():
    g = Graph(17)
    y = g.quantize(image(g), 0.05, 128)
    stored = g.rng.integers(-127, 128, (6, 3, 3, 3))
    stored[[1, 3]] = 0
    scale, zero = g.random(6, low=0.01, high=0.02), g.constant(np.zeros(6), "int8")
    weights = g.node("DequantizeLinear", g.constant(stored, "int8"), scale, zero, axis=0)
    bias_scale = g.constant(np.full(6, 1e-3))
    integers = g.rng.integers(-900, 900, 6)
    integers[[1, 3]] = [-500, 700]
    bias = g.node("DequantizeLinear", g.constant(integers, "int32"), bias_scale, axis=0)
    y = g.node("Relu", g.node("Conv", y, weights, bias, pads=[1] * 4, name="first"))
    y = g.quantize(y, 0.05, 0)
    weights = g.dequantized((4, 6, 3, 3), axis=0)
    model = g.model(g.node("Conv", y, weights, pads=[1] * 4, name="second"))
    found = check(model)
    assert [(held.node, held.reason[:10]) for held in simplify(load_model(model)).held] == [("second", "1 constant")]
    assert outputs_of(found) == {"first": 5, "second": 4}  # channel 1 is zero behind ReLU, channel 3 is 0.7


@pytest.mark.parametrize(("multiple", "left"), [(1, 5), (3, 6), (4, 8), (16, 8)])
def test_channels_in_multiples(multiple, left):
    g = Graph(25)
    y = conv(g, image(g), 3, 8, zero=(1, 4, 6))
    model = g.model(conv(g, conv(g, y, 8, 8, zero=(0, 1, 4), group=8), 8, 4, pad=0))
    found = check(model, options=SimplifyOptions(multiple=multiple))
    assert list(outputs_of(found).values()) == [left, left, 4]  # channel 6 lives on behind the padded layer


def test_steps_can_be_switched_off():
    g = Graph(18)
    model = g.model(conv(g, conv(g, image(g), 3, 8, zero=(1, 4)), 8, 4, pad=0))
    kept = check(model, options=SimplifyOptions(remove=False))
    assert outputs_of(kept) == {"conv0": 8, "conv1": 4}
    second = numpy_helper.to_array(ir.to_proto(kept.graph[1].inputs[1].const_value))
    assert not second[:, [1, 4]].any()
    assert outputs_of(check(model, options=SimplifyOptions(propagate=False))) == {"conv0": 8, "conv1": 4}
    RemoveChannels()(kept)
    assert outputs_of(kept) == {"conv0": 6, "conv1": 4}


def test_the_report_counts():
    g = Graph(19)
    model = load_model(g.model(conv(g, conv(g, g.input("N", 3, 8, 8), 3, 8, zero=(1, 4)), 8, 4, pad=0)))
    report = simplify(model)
    assert report.totals() == {
        **{"channels_before": 12, "channels_after": 10, "parameters_before": 224 + 292, "parameters_after": 168 + 220},
        **{"macs_before": 64 * 216 + 36 * 288, "macs_after": 64 * 162 + 36 * 216},
    }
    assert report.difference is not None
    assert report.difference < 1e-5
    assert report.held == []


def test_a_second_run_changes_nothing():
    g = Graph(20)
    y = g.node("Relu", conv(g, image(g), 3, 8, zero=(1, 4, 6)))
    model = load_model(g.model(conv(g, conv(g, y, 8, 8, zero=(0, 2)), 8, 4)))
    assert simplify(model).passes
    assert simplify(model).passes == {}


def test_the_check_catches_a_changed_weight(monkeypatch):
    g = Graph(21)
    model = load_model(g.model(conv(g, conv(g, image(g), 3, 8, zero=(1, 4)), 8, 4)))
    call = RemoveChannels.finish

    def broken(self, found):
        call(self, found)
        weight = found.graph[1].inputs[1]
        array = weight.const_value.numpy().copy()
        array[0, 0, 0, 0] *= -1
        weight.const_value = ir.Tensor(array)

    monkeypatch.setattr(RemoveChannels, "finish", broken)
    with pytest.raises(InternalError, match="computes something else"):
        simplify(model)


def test_difference_of_models_that_do_not_fit():
    g = Graph(22)
    one = load_model(g.model(conv(g, image(g), 3, 8)))
    g = Graph(22)
    other = load_model(g.model(conv(g, image(g), 3, 7)))
    assert largest_difference(one, one) == 0
    assert largest_difference(one, other) == np.inf
    assert largest_difference(b"no model", one) is None
    assert operators(one) == ["Conv"]


def test_large_weights_are_compared_too():
    models = []
    for last in (0.5, 0.5, 0.75):
        g = Graph(1)
        weights = np.full((200, 300), 0.25, np.float32)
        weights[-1, -1] = last
        models.append(g.model(g.node("MatMul", g.input("N", 200), g.constant(weights))))
    one, same, other = map(load_model, models)
    assert largest_difference(one, same) == 0
    assert 0 < largest_difference(one, other) < 1
    assert largest_difference(models[0].SerializeToString(), other) > 0
