"""Constant folding, removal of no-ops, flattening, names."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from sliceflow.errors import UserError
from sliceflow.passes.dequantize_layout import DequantizeLayout
from sliceflow.passes.fold_constants import FoldConstants
from sliceflow.passes.name_nodes import NameNodes
from sliceflow.passes.remove_no_ops import RemoveNoOps
from sliceflow.passes.resolve_reshape import ResolveReshape
from sliceflow.passes.sum_to_add import SumToAdd
from sliceflow.passes.to_flatten import ToFlatten
from tests.support.models import Graph, apply, assert_same_outputs, operators


def ints(g, *values):
    return g.constant(list(values), "int64")


def _cast_chain(g):
    return g.node("Cast", g.node("Cast", g.random(4, 3), to=onnx.TensorProto.FLOAT16), to=onnx.TensorProto.FLOAT)


WEIGHTS = {
    "Reshape": lambda g: g.node("Reshape", g.random(12), ints(g, 4, -1)),
    "Reshape 0": lambda g: g.node("Reshape", g.random(4, 3, 1), ints(g, 0, -1)),
    "Unsqueeze": lambda g: g.node("Squeeze", g.node("Unsqueeze", g.random(4, 3), ints(g, 0, -1)), ints(g, 0, 3)),
    "Identity": lambda g: g.node("Identity", g.node("Identity", g.random(4, 3))),
    "Transpose": lambda g: g.node("Transpose", g.random(3, 4)),
    "Cast": _cast_chain,
    "Constant": lambda g: g.node("Constant", value=numpy_helper.from_array(np.ones((4, 3), np.float32))),
    "floats": lambda g: g.node("Reshape", g.node("Constant", value_floats=[1.0, 2.0] * 6), ints(g, 4, 3)),
    "arithmetic": lambda g: g.node(
        "Div", g.node("Sqrt", g.node("Add", g.random(4, 1), g.constant([2, 3, 4]))), g.random(1)
    ),
    "integers": lambda g: g.node("Cast", g.node("Div", ints(g, *range(-6, 6)), ints(g, 5)), to=1),
    "Slice": lambda g: g.node("Slice", g.random(8, 3), ints(g, -1), ints(g, -99), ints(g, 0), ints(g, -2)),
    "Gather": lambda g: g.node("Gather", g.random(9, 3), ints(g, 1, -1, 0, 4), axis=0),
    "Concat": lambda g: g.node("Concat", g.random(2, 3), g.random(2, 3), axis=0),
    "Expand": lambda g: g.node("Expand", g.random(1, 3), ints(g, 4, 1)),
    "Where": lambda g: g.node("Where", g.node("Less", g.random(4, 3), g.random(3)), g.random(1), g.random(4, 1)),
    "Range": lambda g: g.node(
        "Reshape", g.node("Range", g.constant(1.0), g.constant(7.0), g.constant(0.5)), ints(g, 4, 3)
    ),
    "fill": lambda g: g.node(
        "ConstantOfShape", ints(g, 4, 3), value=numpy_helper.from_array(np.full(1, 0.25, np.float32))
    ),
    "product": lambda g: g.node("ReduceProd", g.random(4, 3, 2), ints(g, -1), keepdims=0),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_a_constant_is_folded(kind):
    g = Graph(1)
    source = WEIGHTS[kind](g)
    shaped = source if kind not in ("integers",) else g.node("Reshape", source, ints(g, 4, 3))
    model = g.model(g.node("Add", g.input("N", 4, 3), shaped))
    after, changes = apply(FoldConstants, model)
    assert operators(after) == ["Add"]
    assert changes == len(model.graph.node) - 1
    assert_same_outputs(model, after)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_a_quantized_constant_becomes_integers_and_dequantize_linear(axis):
    g = Graph(2)
    scale = 0.01 if axis is None else np.linspace(0.004, 0.02, (4, 3)[axis])
    weights = g.quantize(g.random(4, 3), scale, 0, "int8", **({} if axis is None else {"axis": axis}))
    model = g.model(g.node("Add", g.input("N", 4, 3), weights))
    after, _ = apply(FoldConstants, model)
    assert operators(after) == ["DequantizeLinear", "Add"]
    assert after.graph.node(0).inputs[0].const_value.numpy().dtype == np.int8
    assert_same_outputs(model, after, steps=0)


def test_the_shape_of_a_tensor_is_folded_as_far_as_it_is_known():
    g = Graph(3)
    x = g.input("N", 4, 5)
    model = g.model(g.node("Shape", x), g.node("Shape", x, start=1), g.node("Relu", x))
    for value in model.graph.output[:2]:
        value.type.tensor_type.elem_type = onnx.TensorProto.INT64
    after, _ = apply(FoldConstants, model)
    assert operators(after) == ["Shape", "Relu"]
    assert_same_outputs(model, after)


PARTS = {
    "Split": lambda g, n: g.node("Split", g.random(7, 3), ints(g, 2, 0, 5), outputs=n, axis=0),
    "Split in equal parts": lambda g, n: g.node("Split", g.random(3, 9), outputs=n, axis=-1, num_outputs=3),
    "Split with a smaller part": lambda g, n: g.node("Split", g.random(3, 8), outputs=n, axis=1, num_outputs=3),
    "Split of integers": lambda g, n: g.node("Split", ints(g, *range(6)), outputs=n, num_outputs=3),
    "TopK": lambda g, n: g.node("TopK", g.random(4, 9), ints(g, 4), outputs=n[:2]),
    "TopK with equal entries": lambda g, n: g.node(
        "TopK", g.constant([[2, 1, 2, 0, 1, 2], [0, 0, 0, 0, 0, 1]]), ints(g, 5), outputs=n[:2]
    ),
    "TopK of the smallest": lambda g, n: g.node(
        "TopK", ints(g, 3, -1, 3, 0, -1), ints(g, 4), outputs=n[:2], axis=0, largest=0
    ),
    "Unique": lambda g, n: g.node("Unique", ints(g, 5, 3, 5, 1, 3, 5), outputs=[*n, "counts"]),
    "Unique as they come": lambda g, n: g.node("Unique", ints(g, 5, 3, 5, 1, 3, 5), outputs=[*n, "counts"], sorted=0),
    "Unique rows": lambda g, n: g.node(
        "Unique", g.constant([[1, 2], [0, 4], [1, 2], [0, 4], [0, 1]]), outputs=[*n, "counts"], axis=0
    ),
    "Dropout": lambda g, n: g.node("Dropout", g.random(3, 4), outputs=n[:2]),
}


@pytest.mark.parametrize("read", ["all", "first", "last"])
@pytest.mark.parametrize("kind", PARTS)
def test_a_constant_of_several_parts_is_folded(kind, read):
    g = Graph(1)
    PARTS[kind](g, ["a", "b", "c"])
    made = list(g.nodes[-1].output)
    chosen = made if read == "all" else made[:1] if read == "first" else made[-1:]
    parts = [g.node("Cast", name, to=onnx.TensorProto.FLOAT) for name in chosen]
    model = g.model(*(g.node("Mul", g.input(1), part) for part in parts))
    after, _ = apply(FoldConstants, model)
    assert operators(after) == ["Mul"] * len(parts)
    assert_same_outputs(model, after)


@pytest.mark.parametrize("sizes", [(2, 2, 2), (4, 4), (8, -1, 0), (7,)])
def test_parts_that_do_not_fit_are_refused(sizes):
    g = Graph(1)
    g.node("Split", g.random(7), ints(g, *sizes), outputs=["a", "b", "c"])
    with pytest.raises(UserError, match="cannot be split"):
        apply(FoldConstants, g.model(g.node("Add", g.input(1), "a")))


def test_a_huge_fill_takes_no_memory():
    g = Graph(4)
    y = g.node("Transpose", g.node("Reshape", g.node("ConstantOfShape", ints(g, 1 << 28)), ints(g, 1 << 14, -1)))
    after, _ = apply(FoldConstants, g.model(g.node("MatMul", g.input("N", 1 << 14), y)))
    array = after.graph.node(0).inputs[1].const_value.numpy()
    assert array.shape == (1 << 14, 1 << 14)
    assert not any(array.strides)


@pytest.mark.parametrize("op", ["ConstantOfShape", "Expand", "Range", "Gather", "many"])
def test_size_bombs_are_refused(op):
    g = Graph(5)
    if op == "ConstantOfShape":
        y = g.node(op, ints(g, 1 << 40))
    elif op == "Expand":
        y = g.node(op, g.random(1), ints(g, 1 << 20, 1 << 20))
    elif op == "Range":
        y = g.node(op, g.constant(0.0), g.constant(1e30), g.constant(1.0))
    elif op == "Gather":
        rows = g.node("Expand", ints(g, 0), ints(g, 1 << 20))
        y = g.node(op, g.random(1, 1 << 12), rows, axis=0)
    else:
        fills = [g.node("ConstantOfShape", ints(g, 300_000_000 + i)) for i in range(5)]
        y = g.node("Concat", *(g.node("ReduceSum", fill) for fill in fills), axis=0)
    with pytest.raises(UserError, match="constant"):
        apply(FoldConstants, g.model(g.node("Add", g.input(1), y)))


NO_OPS = {
    "Identity": lambda g, x: g.node("Identity", x),
    "Dropout": lambda g, x: g.node("Dropout", x, g.constant(0.5)),
    "Cast": lambda g, x: g.node("Cast", x, to=onnx.TensorProto.FLOAT),
    "Concat": lambda g, x: g.node("Concat", x, axis=1),
    "Sum": lambda g, x: g.node("Sum", x),
    "Max": lambda g, x: g.node("Max", x),
    "Pad": lambda g, x: g.node("Pad", x, ints(g, *[0] * 8)),
    "Transpose": lambda g, x: g.node("Transpose", x, perm=[0, 1, 2, 3]),
    "Reshape 0": lambda g, x: g.node("Reshape", x, ints(g, 0, 3, -1, 4)),
    "Reshape -1": lambda g, x: g.node("Reshape", x, ints(g, -1, 3, 5, 4)),
    "MaxPool": lambda g, x: g.node("MaxPool", x, kernel_shape=[1, 1], strides=[1, 1]),
    "AveragePool": lambda g, x: g.node("AveragePool", x, kernel_shape=[1, 1]),
    "Resize": lambda g, x: g.node("Resize", x, "", g.constant([1, 1, 1, 1]), mode="nearest"),
    "Add 0": lambda g, x: g.node("Add", g.constant(np.zeros((3, 1, 1))), x),
    "Div 1": lambda g, x: g.node("Div", x, g.constant(1.0)),
}


@pytest.mark.parametrize("kind", NO_OPS)
def test_a_no_op_is_removed(kind):
    g = Graph(6)
    model = g.model(g.node("Relu", NO_OPS[kind](g, g.node("Tanh", g.input("N", 3, 5, 4)))))
    after, _ = apply(RemoveNoOps, model)
    assert operators(after) == ["Tanh", "Relu"]
    assert_same_outputs(model, after)


OPS_THAT_LOOK_ALIKE = {
    "Cast": lambda g, x: g.node("Cast", g.node("Cast", x, to=onnx.TensorProto.INT32), to=onnx.TensorProto.FLOAT),
    "Transpose": lambda g, x: g.node("Transpose", x, perm=[0, 1, 3, 2]),
    "MaxPool": lambda g, x: g.node("MaxPool", x, kernel_shape=[1, 1], strides=[2, 2]),
    "Add": lambda g, x: g.node("Add", x, g.constant(np.zeros((1, 3, 5, 4, 1)))),
    "Sub": lambda g, x: g.node("Sub", g.constant(0.0), x),
    "Reshape": lambda g, x: g.node("Reshape", x, ints(g, 0, 3, 4, 5)),
}


@pytest.mark.parametrize("kind", OPS_THAT_LOOK_ALIKE)
def test_what_changes_something_stays(kind):
    g = Graph(7)
    model = g.model(g.node("Relu", OPS_THAT_LOOK_ALIKE[kind](g, g.node("Tanh", g.input("N", 3, 5, 4)))))
    assert apply(RemoveNoOps, model)[1] == 0


def test_names_of_inputs_and_outputs_survive():
    g = Graph(8)
    x = g.input("N", 3)
    model = g.model(g.node("Identity", x), g.node("Identity", g.node("Relu", x)), g.node("Identity", g.random(2)))
    after, changes = apply(RemoveNoOps, model)
    assert (changes, operators(after)) == (1, ["Identity", "Relu", "Identity"])
    assert_same_outputs(model, after)


@pytest.mark.parametrize("target", [(0, -1), (0, 60), (-1, 60)])
def test_reshape_to_flatten(target):
    g = Graph(9)
    model = g.model(g.node("Reshape", g.node("Relu", g.input("N", 3, 5, 4)), ints(g, *target)))
    after, _ = apply(ToFlatten, model)
    assert operators(after) == ["Relu", "Flatten"]
    assert_same_outputs(model, after)


def test_other_spellings_of_flatten():
    g = Graph(10)
    squeezed = g.node("Squeeze", g.input("N", 3, 1, 1), ints(g, 2, 3))
    fixed = g.node("Reshape", g.input(2, 3, 2), ints(g, 2, 6))
    axis = g.node("Flatten", g.input("N", 3, 2, 2), axis=-3)
    model = g.model(squeezed, fixed, axis)
    after, changes = apply(ToFlatten, model)
    assert (changes, operators(after)) == (3, ["Flatten"] * 3)
    assert_same_outputs(model, after)


def test_reshapes_that_mix_the_batch_stay():
    g = Graph(11)
    x = g.input("N", 4, 3)
    assert apply(ToFlatten, g.model(g.node("Reshape", x, ints(g, -1, 3)), g.node("Flatten", x, axis=2)))[1] == 0


def test_a_target_computed_from_the_batch_becomes_constant():
    g = Graph(12)
    x = g.input("N", 3, 4)
    batch = g.node("Unsqueeze", g.node("Gather", g.node("Shape", x), g.constant(0, "int64")), ints(g, 0))
    rest = g.node("Slice", g.node("Shape", x), ints(g, 1), ints(g, 2))
    model = g.model(g.node("Reshape", x, g.node("Concat", batch, ints(g, 2, 2), rest, axis=0)))
    after, changes = apply(ResolveReshape, model)
    assert changes == 1
    assert list(after.graph.node(-1).inputs[1].const_value.numpy()) == [0, 2, 2, 3]
    assert_same_outputs(model, after)


def test_sums_become_adds():
    g = Graph(13)
    x = g.input("N", 3)
    model = g.model(g.node("Sum", x, g.random(3), g.random(1)), g.node("Sum", x, x), g.node("Sum", x))
    after, _ = apply(SumToAdd, model)
    assert operators(after) == ["Add", "Add", "Add", "Sum"]
    assert_same_outputs(model, after)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_layout_changes_go_before_dequantize_linear(axis):
    g = Graph(14)
    y = g.node("Transpose", g.dequantized([3, 4], axis=axis), perm=[1, 0])
    y = g.node("Reshape", y, ints(g, 4, 3)) if axis is None else y
    model = g.model(g.node("Add", g.input("N", 4, 3), y))
    after, changes = apply(DequantizeLayout, model)
    assert changes == (2 if axis is None else 1)
    assert operators(after) == ["DequantizeLinear", "Add"]
    assert_same_outputs(model, after, steps=0)


def test_names():
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Relu", ["a"], ["b"], name="n")]
    nodes += [helper.make_node("Relu", ["b"], ["c"], name="n"), helper.make_node("Relu", ["c"], ["y"], name="Relu_0")]
    value = helper.make_tensor_value_info("x", 1, [1]), helper.make_tensor_value_info("y", 1, [1])
    model = ir.from_proto(helper.make_model(helper.make_graph(nodes, "g", value[:1], value[1:])))
    NameNodes()(model)
    assert [node.name for node in model.graph] == ["Relu_0_2", "n", "n_2", "Relu_0"]
